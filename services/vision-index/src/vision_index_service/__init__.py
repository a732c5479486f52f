"""Duplicate verdicts and the picture index."""
