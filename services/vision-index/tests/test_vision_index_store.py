"""What every vector store does: on Milvus Lite in a file, and on a server (Milvus, when MILVUS_HOST is set)."""

from __future__ import annotations

import asyncio
import signal
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymilvus import MilvusClient
from vision_index_world import drop_collections, free_port, milvus_server

from servicekit import deadlines, errors
from vision_index_service.adapters import milvus_rows, milvus_store
from vision_index_service.adapters.milvus_rows import collection_name
from vision_index_service.adapters.milvus_store import MilvusStore
from vision_index_service.model import EmbeddingModel, Filter, Mark, Print, Row, Vector
from vision_index_service.settings import Settings

MODEL = EmbeddingModel("m1", "m", 8, 1.0, 5.0)


@pytest.fixture(params=["lite", "server"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MilvusStore]:
    given: dict[str, Any] = {"data_dir": tmp_path, "collection_name": f"test_{uuid.uuid4().hex[:8]}"}
    if request.param == "server":
        given |= request.getfixturevalue("server_address")
    made = MilvusStore(Settings(_env_file=None, **given))
    assert made.embedded == (request.param == "lite")
    yield made
    await made.close()
    if request.param == "server":
        await drop_collections(given)


def entry(name: str, bucket: str = "alyaimg", x: float = 0.0, **changes: Any) -> tuple[Row, Vector]:
    seen = Print(f"bytes-{name}", f"pixels-{name}", 3, 4, "image/png", 2**255 + 1, 0, 7, 2**256 - 1, bytes(range(72)))
    row = Row(name, bucket, f"images/{name}", "http://x/ü", "alya", seen, "m1", "S-1", 'ohr\'ring "ü".jpg', 5, 1.5)
    vector = np.zeros(8, dtype=np.float32)
    vector[0] = x
    return replace(row, **changes), vector


async def test_gives_back_every_field(store: MilvusStore) -> None:
    space = await store.space(MODEL)
    row, vector = entry("a", x=2.5)
    await store.upsert(space, [(row, vector)])
    assert await store.get(space, ["a", "missing"]) == {"a": row}
    assert await store.get(space, []) == {}
    assert await store.vectors(space, []) == {}
    found = await store.vectors(space, ["a", "missing"])
    assert found.keys() == {"a"}
    assert np.array_equal(found["a"], vector)
    entries = await store.entries(space, ["a", "missing"])
    assert {id_: row for id_, (row, _) in entries.items()} == {"a": row}
    assert np.array_equal(entries["a"][1], vector)


async def test_searches_exactly_and_filtered(store: MilvusStore) -> None:
    space = await store.space(MODEL)
    assert await store.search(space, np.zeros(8, dtype=np.float32), Filter(), 5) == []
    await store.upsert(
        space,
        [
            *(entry(f"a{n}", x=float(n), created=n) for n in range(10)),
            *(entry(f"b{n}", "blyskimg", x=float(n) / 10, created=n) for n in range(10)),
        ],
    )
    zero = np.zeros(8, dtype=np.float32)
    found = await store.search(space, zero, Filter(bucket="alyaimg"), 3)
    assert [(n.row.id, n.distance) for n in found] == [("a0", 0.0), ("a1", 1.0), ("a2", 4.0)]
    others = await store.search(space, zero, Filter(not_bucket="alyaimg"), 100)
    assert {n.row.bucket for n in others} == {"blyskimg"}
    assert len(others) == 10
    dated = await store.search(space, zero, Filter(bucket="alyaimg", created_from=3, created_before=5), 100)
    assert [n.row.id for n in dated] == ["a3", "a4"]
    assert await store.count(space, Filter()) == 20
    assert await store.count(space, Filter(bucket="blyskimg")) == 10
    assert [row.id for row in await store.find(space, Filter(sha_pixels="pixels-a7"), 10)] == ["a7"]
    assert await store.find(space, Filter(bucket="blyskimg", sha_pixels="pixels-a7"), 10) == []


@pytest.mark.parametrize("key", ['a" or id != "', "a\\", 'a\\"b', "ü/é 漢", "it's", "{x}", "%_"])
async def test_no_key_says_more_than_itself(store: MilvusStore, key: str) -> None:
    space = await store.space(MODEL)
    await store.upsert(space, [entry("odd", key=key), entry("plain")])
    assert [row.id for row in await store.find(space, Filter(key=key), 10)] == ["odd"]


async def test_upserts_replace_and_deletes_repeat(store: MilvusStore) -> None:
    space = await store.space(MODEL)
    await store.upsert(space, [])
    for sku in ("1", "2"):
        await store.upsert(space, [entry("a", sku=sku)])
    assert await store.count(space, Filter()) == 1
    assert (await store.get(space, ["a"]))["a"].sku == "2"
    for _ in range(2):
        await store.delete(space, ["a", "never"])
        assert await store.count(space, Filter()) == 0


async def test_models_have_collections_of_their_own(store: MilvusStore) -> None:
    first = await store.space(MODEL)
    second = await store.space(replace(MODEL, id="m2", dimension=4))
    assert first != second
    await store.upsert(first, [entry("a")])
    assert await store.count(second, Filter()) == 0
    assert await store.other_spaces(second) == [first]
    assert await store.other_spaces(first) == [second]
    assert collection_name("x", "m1") == collection_name("x", "m1") != collection_name("x", "m2")


async def test_marks_last_until_revoked(store: MilvusStore) -> None:
    one, other = Mark.of("a", "b"), Mark.of("a", "c")
    assert await store.marked([one, other]) == set()
    await store.mark(one, "anna", 1)
    await store.mark(one, "anna", 2)
    assert await store.marked([Mark.of("b", "a"), other]) == {one}
    for _ in range(2):
        await store.unmark(one)
        assert await store.marked([one]) == set()
    assert await store.marked([]) == set()


async def test_many_writers_at_once(store: MilvusStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushing in between loses nothing."""
    monkeypatch.setattr(milvus_store, "FLUSH_EVERY", 10)
    space = await store.space(MODEL)

    async def write(n: int) -> None:
        await store.upsert(space, [entry(f"r{n}", x=float(n))])
        assert f"r{n}" in await store.get(space, [f"r{n}"])

    await asyncio.gather(*(write(n) for n in range(45)))
    assert await store.count(space, Filter()) == 45
    found = await store.search(space, entry("q", x=44.0)[1], Filter(), 2)
    assert [n.row.id for n in found] == ["r44", "r43"]


@pytest.mark.parametrize(("version", "inverted"), [("v2.3.5-lite", 0), ("v2.4.1", 2), ("2.10.0", 2), ("v3.0", 2)])
def test_filters_have_indexes_where_the_server_knows_them(version: str, inverted: int) -> None:
    made = milvus_rows.indexes(MilvusClient, milvus_rows.schema(8), embedded=False, version=version)
    assert Counter(index.index_type for index in made) == Counter({"HNSW": 1, "INVERTED": inverted})


async def test_a_failed_call_is_logged_once(store: MilvusStore, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(errors.ServiceError):
        await store.count("no_such_collection", Filter())
    assert [record.name for record in caplog.records if record.levelname != "INFO"] == [
        "vision_index_service.adapters.milvus_connection"
    ]


async def test_collections_made_at_once_are_one(tmp_path: Path) -> None:
    made = MilvusStore(Settings(_env_file=None, data_dir=tmp_path))
    names = await asyncio.gather(*(made.space(MODEL) for _ in range(8)))
    assert len(set(names)) == 1
    await made.close()
    again = MilvusStore(Settings(_env_file=None, data_dir=tmp_path))
    assert await again.space(MODEL) == names[0]
    assert await again.count(names[0], Filter()) == 0
    await again.close()


async def test_a_server_that_is_killed_slow_or_back(tmp_path: Path) -> None:
    """Down and hanging: a typed error within the deadline. Back: it goes on by itself, and nothing is lost."""
    port = free_port()
    settings = Settings(
        _env_file=None, collection_name="t", milvus_host="127.0.0.1", milvus_port=port, vector_store_timeout=20.0
    )
    store = MilvusStore(settings)

    async def within(seconds: float, work: Callable[[], Coroutine[Any, Any, object]]) -> object:
        async def call() -> object:
            deadlines.enter(seconds)
            return await work()

        return await asyncio.create_task(call())

    async def refused(seconds: float) -> None:
        started = time.monotonic()
        with pytest.raises((errors.Unavailable, errors.DeadlineExceeded)) as raised:
            await within(seconds, lambda: store.space(MODEL))
            await within(seconds, lambda: store.count(space, Filter()))
        assert time.monotonic() - started < seconds + 0.5
        assert str(port) not in raised.value.message

    space = ""
    await refused(1.0)
    with milvus_server(tmp_path / "m.db", port) as process:
        space = await store.space(MODEL)
        await store.upsert(space, [entry("a")])
        process.send_signal(signal.SIGSTOP)
        await refused(1.0)
        process.send_signal(signal.SIGCONT)
        assert await store.count(space, Filter()) == 1
        process.kill()
        process.wait()
        await refused(1.0)
    with milvus_server(tmp_path / "m.db", port):
        back = time.monotonic()
        while True:
            try:
                await within(2.0, lambda: store.space(MODEL))
                assert await within(2.0, lambda: store.get(space, ["a"])) == {"a": entry("a")[0]}
                break
            except (errors.Unavailable, errors.DeadlineExceeded):
                assert time.monotonic() - back < 5.0
    await store.close()
