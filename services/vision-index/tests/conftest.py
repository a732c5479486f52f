"""Fixtures: a fake embedding service on a real socket, and the index wired to it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode leaves the tests' own helpers unseen

from vision_index_world import FakeEmbedding, Wired, serving, wired


@pytest.fixture
def fake() -> FakeEmbedding:
    return FakeEmbedding()


@pytest.fixture
async def port(fake: FakeEmbedding) -> AsyncIterator[int]:
    async with serving(fake) as port:
        yield port


@pytest.fixture
async def world(tmp_path: Path, port: int) -> AsyncIterator[Wired]:
    async with wired(tmp_path, port) as built:
        yield built
