"""Outside systems: the database of runs. Objects are kept through libs/objectstore."""
