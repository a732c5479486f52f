"""Titles, bullet points and descriptions that keep the rules."""
