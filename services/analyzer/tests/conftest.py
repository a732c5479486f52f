"""What the analyzer's tests share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode leaves the tests' own helpers unseen

from analyzer_world import RedisServer

from servicekit import deadlines


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    """A real Redis on a socket of its own."""
    with RedisServer.running() as server:
        yield server


@pytest.fixture(autouse=True)
def no_deadline() -> None:
    """A deadline of an earlier test does not hold."""
    deadlines.enter(None)
