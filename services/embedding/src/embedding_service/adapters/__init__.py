"""Engines, one module each, and the checkpoints that they read."""
