"""Three shops on this machine, with the markup of the real ones in three generations, and their bad days."""
