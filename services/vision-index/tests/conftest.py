"""Fixtures: a fake embedding service on a real socket, and the index wired to it."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode leaves the tests' own helpers unseen

from vision_index_world import FakeEmbedding, Wired, drop_collections, free_port, milvus_server, serving, wired

_NAMES = ("milvus_host", "milvus_port", "zilliz_url", "zilliz_token")
CONFIGURED = {name: os.environ[name.upper()] for name in _NAMES if os.environ.get(name.upper())}


@pytest.fixture(autouse=True)
def only_by_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only tests that ask for the configured server reach it."""
    for name in _NAMES:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def fake() -> FakeEmbedding:
    return FakeEmbedding()


@pytest.fixture
async def port(fake: FakeEmbedding) -> AsyncIterator[int]:
    async with serving(fake) as port:
        yield port


@pytest.fixture(scope="session")
def server_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Milvus or Zilliz where one is configured, else a process that speaks its protocol."""
    if CONFIGURED:
        yield dict(CONFIGURED)
        return
    port = free_port()
    with milvus_server(tmp_path_factory.mktemp("milvus"), port):
        yield {"milvus_host": "127.0.0.1", "milvus_port": port}


@pytest.fixture(params=["lite", pytest.param("server", marks=() if CONFIGURED else pytest.mark.slow)])
async def world(request: pytest.FixtureRequest, tmp_path: Path, port: int) -> AsyncIterator[Wired]:
    """The index; on a server too where one is configured, and in `make test-index-server`."""
    if request.param == "lite":
        async with wired(tmp_path, port) as built:
            yield built
        return
    base = f"test_{uuid.uuid4().hex[:8]}"
    given = request.getfixturevalue("server_address") | {"collection_name": base}
    async with wired(tmp_path, port, **given) as built:
        yield built
    await drop_collections(given)
