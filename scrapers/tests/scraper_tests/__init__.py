"""Tests of the scrapers. A package of its own name, so that helpers can be imported beside the tests."""
