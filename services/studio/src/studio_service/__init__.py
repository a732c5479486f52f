"""The screens that a seller works in; a client of the REST API like any other."""
