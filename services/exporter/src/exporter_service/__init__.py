"""Marketplace workbooks, filled and validated."""
