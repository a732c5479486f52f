"""The service as its own process, and against a Chroma server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import chromadb
import pytest
from chromadb.api import ClientAPI
from chromadb.config import Settings as ChromaSettings
from jewelry.semantic.v1 import semantic_pb2, semantic_pb2_grpc
from semantic_world import DIMENSIONS, RunningAnalyzer, Semantic, make_catalogue, running_analyzer, serving

from semantic_service.adapters.chroma_store import _sessions
from semantic_service.settings import Settings
from servicekit import client, errors, testing


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def process(port: int, analyzer: str, data: Path, products: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m semantic_service` until the block ends; then it is stopped as an orchestrator would."""
    variables = {
        "SEMANTIC_ADDR": f"127.0.0.1:{port}",
        "ANALYZER_ADDR": analyzer,
        "DATA_DIR": str(data),
        "PRODUCTS_FILE": str(products),
        "SEMANTIC_SYNC_SECONDS": "0",
        "SEMANTIC_EMBED_BATCH": "10",
    }
    running = subprocess.Popen(
        [sys.executable, "-m", "semantic_service"], env=os.environ | variables, cwd=data.parent, stderr=subprocess.PIPE
    )
    try:
        yield running
    finally:
        if running.poll() is None:
            running.terminate()
        _, log = running.communicate(timeout=30)
        if running.returncode not in (0, -signal.SIGKILL):
            pytest.fail(log.decode())


async def connected(port: int) -> Semantic:
    """A client, once the service is ready."""
    descriptors = [semantic_pb2.DESCRIPTOR.services_by_name["SemanticService"]]
    channel = client.connect(f"127.0.0.1:{port}", descriptors, testing.settings())
    semantic = Semantic(semantic_pb2_grpc.SemanticServiceStub(channel))
    async with asyncio.timeout(60):
        while True:
            try:
                await semantic.status()
            except errors.Unavailable:
                await asyncio.sleep(0.1)
            else:
                return semantic


async def test_a_kill_during_a_sync_loses_no_paid_work(analyzer: RunningAnalyzer, tmp_path: Path) -> None:
    catalogue = make_catalogue(100)
    file = tmp_path / "products.json"
    file.write_text(json.dumps(catalogue))
    (tmp_path / "data").mkdir()
    reached = asyncio.Event()

    async def hold_the_third_write(texts: list[str]) -> None:
        if len(analyzer.servicer.embedded(catalogue)) >= 80:
            reached.set()
            await asyncio.Event().wait()

    analyzer.servicer.before = hold_the_third_write
    port = free_port()
    with process(port, analyzer.address, tmp_path / "data", file) as running:
        async with asyncio.timeout(60):
            await reached.wait()
        running.kill()
        running.wait()
    first = set(analyzer.servicer.embedded(catalogue))
    analyzer.servicer.before = None
    analyzer.servicer.forget()
    with process(port, analyzer.address, tmp_path / "data", file):
        semantic = await connected(port)
        await semantic.sync()
        assert (await semantic.status()).products == 100
        again = set(analyzer.servicer.embedded(catalogue))
    assert first | again == {product["id"] for product in catalogue}
    # Writes go out after each fourth call of ten texts: eighty were embedded, and all of them kept.
    assert len(again) == 20


async def test_the_catalogue_comes_by_itself_when_the_analyzer_starts_late(tmp_path: Path) -> None:
    file = tmp_path / "products.json"
    file.write_text(json.dumps(make_catalogue(12)))
    async with running_analyzer() as analyzer:
        analyzer.servicer.fail = lambda texts: errors.Unavailable("still loading", reason="LOADING", retry_after=60.0)
        settings = Settings(
            _env_file=None,
            data_dir=tmp_path / "data",
            analyzer_addr=analyzer.address,
            products_file=file,
            semantic_sync_seconds=0.05,
        )
        async with serving(settings) as semantic:
            assert (await semantic.status()).last_error == "still loading"
            analyzer.servicer.fail = lambda texts: None
            async with asyncio.timeout(20):
                while (await semantic.status()).products != 12:
                    await asyncio.sleep(0.02)


@contextmanager
def chroma_server(folder: Path) -> Iterator[str]:
    """Chroma's own server on a free port."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("chroma")), "run", "--path", str(folder), "--port", str(port)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder.parent)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait(10)


@contextmanager
def chroma_client(url: str) -> Iterator[ClientAPI]:
    """A client beside the service's own."""
    host, port = url.removeprefix("http://").split(":")
    client = chromadb.HttpClient(host, int(port), settings=ChromaSettings(anonymized_telemetry=False))
    try:
        yield client
    finally:
        for session in _sessions(client):
            session.close()


def spoil(url: str) -> None:
    """Stores a product that nobody can read back, and a collection of somebody else's."""
    with chroma_client(url) as client:
        client.create_collection("neighbours", embedding_function=None, metadata={"model_id": "bag-1"})
        (ours,) = [held for held in client.list_collections() if held.name.startswith("products-bag-1-")]
        ours.upsert(ids=["broken"], embeddings=[[1.0] * DIMENSIONS], metadatas=[{"record": "{"}])


def names_on(url: str) -> set[str]:
    """Names of the collections on a server."""
    with chroma_client(url) as client:
        return {held.name for held in client.list_collections()}


async def test_a_chroma_server_serves_as_well_as_the_folder(settings: Callable[..., Settings], tmp_path: Path) -> None:
    catalogue = make_catalogue(80)
    file = tmp_path / "products.json"
    file.write_text(json.dumps(catalogue))
    request = {"manual_prompt": "gold kundan jhumka", "max_price": 6000.0, "collection_size": 10}
    async with serving(settings(products_file=file)) as semantic:
        on_disk = await semantic.filter(**request)
    with chroma_server(tmp_path / "server") as url:
        async with serving(settings(products_file=file, chroma_url=url)) as semantic:
            async with asyncio.timeout(30):
                # The server may still be starting; a store that is down is no obstacle to the service.
                while (await semantic.status()).products != 80:
                    try:
                        await semantic.sync()
                    except errors.Unavailable:
                        await asyncio.sleep(0.1)
            on_server = await semantic.filter(**request)
            assert [match.id for match in on_server.matches] == [match.id for match in on_disk.matches]
            status = await semantic.status()
            assert not next(adapter for adapter in status.adapters if adapter.role == "vectors").embedded
            catalogue[0]["price"] = 1
            file.write_text(json.dumps(catalogue[:70]))
            last = await semantic.sync()
            assert (last.added, last.changed, last.removed) == (0, 1, 10)

            # What cannot be read back is rebuilt; what others keep on the same server is left alone.
            await asyncio.to_thread(spoil, url)
            last = await semantic.sync()
            assert last.added == 70
            assert "neighbours" in await asyncio.to_thread(names_on, url)
            assert (await semantic.status()).products == 70
    async with serving(settings(products_file=file, chroma_url=url)) as semantic:
        status = await semantic.status()
        assert status.products == 0
        assert "Chroma server" in status.last_error


async def test_metadata_is_typed_for_other_readers(settings: Callable[..., Settings], tmp_path: Path) -> None:
    catalogue = make_catalogue(60)
    file = tmp_path / "products.json"
    file.write_text(json.dumps(catalogue))
    configured = settings(products_file=file)
    async with serving(configured):
        pass
    reader = chromadb.PersistentClient(
        str(configured.data_dir / "chroma"), settings=ChromaSettings(anonymized_telemetry=False)
    )
    (collection,) = [held for held in reader.list_collections() if held.name.startswith("products-bag-1-")]
    found = collection.get(
        where={
            "$and": [
                {"price": {"$gte": 1000.0}},
                {"price": {"$lte": 5000.0}},
                {"date": {"$gte": 20240101}},
                {"in_stock": {"$eq": True}},
                {"color": {"$in": ["gold", "silver"]}},
            ]
        }
    )
    reader.close()
    expected = [
        product["id"]
        for product in catalogue
        if product["price"] and 1000 <= product["price"] <= 5000 and (product["created_at"] or "") >= "2024"
        if product["in_stock"] and product["color"] in ("Gold", "Silver")
    ]
    assert expected
    assert sorted(found["ids"]) == sorted(expected)
