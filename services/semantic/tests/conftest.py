"""Fixtures: the fake analyzer, the fake shop, settings of a service of its own."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Tests are imported by path, so that the folder of what they share has to be named.
sys.path.insert(0, str(Path(__file__).parent))

from semantic_world import FakeShop, RunningAnalyzer, running_analyzer, running_shop

from semantic_service.settings import Settings


@pytest.fixture
async def analyzer() -> AsyncIterator[RunningAnalyzer]:
    async with running_analyzer() as running:
        yield running


@pytest.fixture
def shop() -> Iterator[FakeShop]:
    with running_shop() as running:
        yield running


@pytest.fixture
def settings(analyzer: RunningAnalyzer, tmp_path: Path) -> Callable[..., Settings]:
    """Settings of a service of its own, with changes by name."""

    def make(**changes: Any) -> Settings:
        values: dict[str, Any] = {
            "data_dir": tmp_path / "data",
            "analyzer_addr": analyzer.address,
            "copywriter_addr": "127.0.0.1:1",
            "semantic_sync_seconds": 0.0,
            "semantic_wish_seconds": 5.0,
        }
        return Settings(_env_file=None, **(values | changes))

    return make
