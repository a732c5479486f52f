"""Every field of a listing that a picture can tell."""
