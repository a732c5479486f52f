"""Collections found by meaning, always within the filters."""
