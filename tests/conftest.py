"""Fixtures of the tests that cross services."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.system import SAMPLES, System, running_system


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The system on embedded stores; tests that share it must not stop any of its services."""
    catalogue = {"PRODUCTS_FILE": str(SAMPLES / "products.csv")}
    yield from running_system(tmp_path_factory.mktemp("system"), catalogue)


@pytest.fixture
def client(system: System) -> Iterator[httpx.Client]:
    """A REST client of the shared system."""
    with system.client() as used:
        yield used
