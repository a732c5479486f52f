"""The paths, one module per capability."""
