"""Pieces of the Catalogue screen."""
