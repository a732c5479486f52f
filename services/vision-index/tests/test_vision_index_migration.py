"""Rows of an older schema are moved to today's, by a shadow collection that takes the name."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException
from vision_index_world import FakeEmbedding, free_port, milvus_server, photo, serving, wired

from servicekit import errors
from vision_index_service.adapters import milvus_migration, milvus_rows
from vision_index_service.adapters.milvus_store import MilvusStore
from vision_index_service.ingest import Upload
from vision_index_service.model import EmbeddingModel, Filter, Reason
from vision_index_service.settings import Settings

MODEL = EmbeddingModel("m1", "m", 8, 1.0, 5.0)
OLD, NEW = (milvus_rows.collection_name("t", "m1", version) for version in (1, milvus_rows.SCHEMA_VERSION))


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server, so that two replicas may use it at once."""
    at = free_port()
    with milvus_server(tmp_path_factory.mktemp("milvus"), at):
        yield at


def settings(port: int) -> Settings:
    return Settings(_env_file=None, collection_name="t", milvus_host="127.0.0.1", milvus_port=port)  # type: ignore[call-arg]


@pytest.fixture
def client(port: int) -> Iterator[MilvusClient]:
    made = MilvusClient(f"http://127.0.0.1:{port}", dedicated=True)
    for name in made.list_collections():
        made.drop_collection(name)
    yield made
    made.close()


def entity(number: int, **more: Any) -> dict[str, Any]:
    """A row as version 1 wrote it."""
    strings = {name: f"{name}-{number}" for name in milvus_rows._STRINGS if name != "original_key"}
    hashes = {name: f"{number:064x}" for name in strings if name.startswith("hash_")}
    return {
        "id": f"{number * 7919:040x}"[::-1],
        **strings,
        **hashes,
        "colors": "00" * 72,
        "bucket": "blyskimg" if number % 3 == 0 else "alyaimg",
        "width": number,
        "height": 4,
        "created": number,
        "norm": 1.5,
        "vector": np.full(8, number, dtype=np.float32),
        **more,
    }


def make_old(client: MilvusClient, count: int, name: str = OLD) -> None:
    """A collection as version 1 made it: no partitions, no columns of version 2."""
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
    for column, size in milvus_rows._STRINGS.items():
        if column != "original_key":
            schema.add_field(column, DataType.VARCHAR, max_length=size)
    for column, kind in milvus_rows._NUMBERS.items():
        if column != "print_version":
            schema.add_field(column, kind)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=8)
    client.create_collection(name, schema=schema)
    client.create_index(name, milvus_rows.indexes(client, schema, embedded=True), sync=False)
    client.load_collection(name)
    client.upsert(name, [entity(number) for number in range(count)])


@contextlib.asynccontextmanager
async def opened(port: int) -> AsyncIterator[MilvusStore]:
    store = MilvusStore(settings(port))
    yield store
    await store.close()


async def test_every_row_is_there_with_its_vector(port: int, client: MilvusClient, monkeypatch: Any) -> None:
    monkeypatch.setattr(milvus_migration, "_PAGE", 16)
    make_old(client, 60)
    async with opened(port) as store:
        await store.check()
        assert await store.space(MODEL) == NEW
        assert await store.count(NEW, Filter()) == 60
        assert await store.count(NEW, Filter(bucket="blyskimg")) == 20
        told = entity(7)
        row = (await store.get(NEW, [told["id"]]))[told["id"]]
        assert (row.key, row.url, row.print.frame, row.created) == ("object_key-7", "url-7", 7, 7)
        assert (row.original_key, row.print.version) == ("", 1)
        found = await store.search(NEW, told["vector"], Filter(bucket=row.bucket), 1)
        assert (found[0].row, found[0].distance) == (row, 0.0)
        assert await store.other_spaces(NEW) == []
    assert sorted(client.list_collections()) == [OLD, NEW]  # the old one is kept
    async with opened(port) as store:  # and not moved again
        await store.space(MODEL)
        await store.delete(NEW, [entity(7)["id"]])
    async with opened(port) as store:
        await store.check()
        assert await store.count(NEW, Filter()) == 59


async def test_a_move_that_was_cut_off_goes_on(port: int, client: MilvusClient, monkeypatch: Any) -> None:
    monkeypatch.setattr(milvus_migration, "_PAGE", 4)
    make_old(client, 12)
    rename = MilvusClient.rename_collection
    upsert = MilvusClient.upsert
    writes = 0

    def cut_off(self: MilvusClient, *given: Any, **more: Any) -> Any:
        nonlocal writes
        writes += 1
        if writes > 2:
            raise MilvusException(1, "killed")
        return upsert(self, *given, **more)

    def refused(*given: Any, **more: Any) -> None:
        raise MilvusException(1, "killed")

    for method, fault in (("upsert", cut_off), ("rename_collection", refused)):
        with monkeypatch.context() as patched:
            patched.setattr(MilvusClient, method, fault)
            async with opened(port) as store:
                with pytest.raises(errors.Unavailable):
                    await store.space(MODEL)
        assert NEW not in client.list_collections()
    assert MilvusClient.rename_collection is rename
    async with opened(port) as store:
        assert await store.space(MODEL) == NEW
        assert await store.count(NEW, Filter()) == 12
    assert sorted(client.list_collections()) == [OLD, NEW]


async def test_two_replicas_move_at_once(port: int, client: MilvusClient, monkeypatch: Any) -> None:
    monkeypatch.setattr(milvus_migration, "_PAGE", 4)
    make_old(client, 12)
    async with opened(port) as one, opened(port) as other:
        await asyncio.gather(one.check(), other.check(), return_exceptions=True)
        for store in (one, other):
            assert await store.space(MODEL) == NEW
            assert await store.count(NEW, Filter()) == 12
    assert sorted(client.list_collections()) == [OLD, NEW]


async def test_callers_are_told_while_it_takes_long(port: int, client: MilvusClient, monkeypatch: Any) -> None:
    make_old(client, 2)
    go = asyncio.Event()
    copy = milvus_migration.Migration._copy

    async def slow(self: Any, move: Any) -> None:
        await go.wait()
        await copy(self, move)

    monkeypatch.setattr(milvus_migration.Migration, "_copy", slow)
    async with opened(port) as store:
        with pytest.raises(errors.Unavailable) as refused:
            await store.space(MODEL)
        assert refused.value.reason == "VECTOR_STORE_MIGRATING"
        go.set()
        await store.check()
        assert await store.space(MODEL) == NEW


async def test_a_newer_schema_is_left_alone(port: int, client: MilvusClient, caplog: Any) -> None:
    newer = milvus_rows.collection_name("t", "m1", milvus_rows.SCHEMA_VERSION + 1)
    make_old(client, 2, newer)
    async with opened(port) as store:
        await store.check()
        assert await store.count(await store.space(MODEL), Filter()) == 0
    assert "newer version" in caplog.text
    assert sorted(client.list_collections()) == sorted([newer, NEW])


def test_every_older_version_has_its_upgrade() -> None:
    assert set(milvus_rows.UPGRADES) == set(range(1, milvus_rows.SCHEMA_VERSION))


async def test_a_store_of_version_1_goes_on_serving(tmp_path: Path, fake: FakeEmbedding) -> None:
    """The same in a folder, through the whole index: what was stored is found, and no picture is embedded again."""
    async with serving(fake) as port:
        async with wired(tmp_path, port) as world:
            first = await world.index.ingest.upload(Upload(photo("ALY-EAR-001"), sku="S-1"))
            space = await world.vectors.space(await world.embedder.model())
            # Back to what version 1 looked like: the same rows under the old name, without partitions.
            rows = [row async for page in world.vectors.scan(space, "alyaimg") for row in page]
            vector = (await world.vectors.vectors(space, [rows[0].id]))[rows[0].id]
            old = space.replace(f"_v{milvus_rows.SCHEMA_VERSION}", "_v1")

            def back(client: MilvusClient) -> None:
                client.drop_collection(space)
                schema = milvus_rows.schema(len(vector))
                client.create_collection(old, schema=schema)
                client.create_index(old, milvus_rows.indexes(client, schema, embedded=True), sync=False)
                client.load_collection(old)
                client.upsert(old, [milvus_rows.to_entity(rows[0], vector)])

            await world.vectors._connection.run(back)
        fake.embedded = 0
        async with wired(tmp_path, port) as world:
            again = await world.index.ingest.upload(Upload(photo("ALY-EAR-001")))
            assert (again.url, again.decision.reason) == (first.url, Reason.SAME_BYTES)
            assert fake.embedded == 0
            assert await world.rows() == 1
