"""Benchmarks of the semantic service: quality of ranking, and speed."""
