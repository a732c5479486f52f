"""The cache's behaviour, the same on both databases."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from copywriter_service.adapters.cache import ImportedEntry
from copywriter_service.adapters.cache_sql import SqlCache
from copywriter_service.domain import Origin, Part, StoredPart
from servicekit import errors

TITLE = StoredPart("S1", "ama_ear", "en-IN", Part.TITLE, "Gold studs", Origin.MODEL, "m", "p", "a" * 64, "f" * 64)
BULLETS = replace(TITLE, part=Part.BULLETS, content=("one", "two"))


async def stored(cache: SqlCache, sku: str = "S1") -> dict[tuple[str, Part], StoredPart]:
    return {(part.code, part.part): part for part in await cache.read(sku, "en-IN")}


async def test_what_is_written_is_read_as_it_was(cache: SqlCache) -> None:
    odd = replace(TITLE, part=Part.DESCRIPTION, content='Quotes " and \u0000 and 😀 and \n lines')
    await cache.write([TITLE, BULLETS, odd])
    found = await stored(cache)
    assert [replace(part, updated=0.0) for part in found.values()] == [BULLETS, odd, TITLE]
    assert all(part.updated > 1.7e9 for part in found.values())
    assert await cache.read("S1", "hi-IN") == []
    assert await cache.read("S2", "en-IN") == []


async def test_a_persons_text_is_never_replaced(cache: SqlCache) -> None:
    key = ("S1", "ama_ear", "en-IN")
    edit = replace(TITLE, content="By hand", origin=Origin.PERSON)
    await cache.write([TITLE])
    await cache.put_edit(key, [edit])
    await cache.write([replace(TITLE, content="By a model again")])
    assert (await stored(cache))["ama_ear", Part.TITLE].content == "By hand"
    # A new edit replaces the old one whole: the title is nobody's now.
    await cache.put_edit(key, [replace(BULLETS, origin=Origin.PERSON)])
    assert list(await stored(cache)) == [("ama_ear", Part.BULLETS)]


async def test_composed_text_does_not_replace_a_models(cache: SqlCache) -> None:
    composed = replace(TITLE, content="Composed", origin=Origin.COMPOSED)
    await cache.write([composed])
    await cache.write([TITLE])
    await cache.write([composed])
    assert (await stored(cache))["ama_ear", Part.TITLE].content == "Gold studs"
    await cache.write([replace(composed, picture_sha256="b" * 64)])
    assert (await stored(cache))["ama_ear", Part.TITLE].content == "Composed"


async def test_a_picture_is_noted_once(cache: SqlCache) -> None:
    await cache.write([replace(TITLE, picture_sha256=""), BULLETS])
    await cache.bind("S1", "en-IN", "c" * 64, [("ama_ear", Part.TITLE), ("ama_ear", Part.BULLETS)])
    found = await stored(cache)
    assert found["ama_ear", Part.TITLE].picture_sha256 == "c" * 64
    assert found["ama_ear", Part.BULLETS].picture_sha256 == "a" * 64


async def test_pages_hold_every_entry_once(cache: SqlCache) -> None:
    skus = ["A", "B", "a%b", "a_b", "aa", "é", "जे"]
    parts = [replace(TITLE, sku=sku, code=code) for sku in skus for code in ("ama_ear", "mee_ear")]
    await cache.write([*parts, replace(BULLETS, sku="B")])
    seen: list[tuple[str, str]] = []
    after = None
    while page := await cache.page(3, after, ""):
        assert len(page) <= 3
        seen += [(entry[0].sku, entry[0].code) for entry in page]
        after = (page[-1][0].sku, page[-1][0].code, page[-1][0].language)
    assert seen == sorted((part.sku, part.code) for part in parts)
    assert [entry[0].sku for entry in await cache.page(9, None, "a_")] == ["a_b", "a_b"]
    assert await cache.delete("B", "mee_ear") == 1
    assert await cache.delete("B", None) == 1
    assert await cache.delete("B", None) == 0
    for sku in skus:
        await cache.delete(sku, None)


async def test_imports_keep_their_order_and_replace_their_own(cache: SqlCache) -> None:
    imported = replace(TITLE, code="", origin=Origin.IMPORTED, picture_sha256="")
    await cache.import_entries([ImportedEntry("Z", '{"x": 1}', ()), ImportedEntry("S1", '{"title": "a"}', (imported,))])
    await cache.import_entries([ImportedEntry("S1", '{"title": "b"}', (replace(imported, content="b"),))])
    holdings = await cache.holdings()
    assert list(holdings.imported.items()) == [("Z", '{"x": 1}'), ("S1", '{"title": "b"}')]
    assert [part.content for part in holdings.parts] == ["b"]
    for sku in ("Z", "S1"):
        await cache.delete(sku, None)
    assert (await cache.holdings()).imported == {}


async def test_a_lease_has_one_holder(cache: SqlCache) -> None:
    taken = await asyncio.gather(*(cache.acquire("k", f"holder-{number}", 30) for number in range(8)))
    assert sum(taken) == 1
    holder = f"holder-{taken.index(True)}"
    assert await cache.renew("k", holder, 30)
    assert not await cache.renew("k", "somebody", 30)
    await cache.release("k", "somebody")
    assert not await cache.acquire("k", "next", 30)
    await cache.release("k", holder)
    assert await cache.acquire("k", "next", 30)
    await cache.release("k", "next")


HOLD = """
import asyncio, pathlib, sys
from copywriter_service.adapters.cache_sql import SqlCache

async def main():
    cache = SqlCache(sys.argv[1] or None, pathlib.Path(sys.argv[2]))
    await cache.open()
    print(await cache.acquire("k", "dead", float(sys.argv[3])), flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_killed_holder_loses_its_lease(cache: SqlCache, database_url: str | None, tmp_path: Path) -> None:
    arguments = [sys.executable, "-W", "ignore", "-c", HOLD, database_url or "", str(tmp_path), "1.0"]
    process = await asyncio.to_thread(subprocess.Popen, arguments, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert (await asyncio.to_thread(process.stdout.readline)).strip() == "True"
    finally:
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.communicate)
    async with asyncio.timeout(10):
        while not await cache.acquire("k", "heir", 30):
            await asyncio.sleep(0.05)
    await cache.release("k", "heir")


async def test_a_locked_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("copywriter_service.adapters.cache_sql.BUSY_SECONDS", 0.1)
    cache = SqlCache(None, tmp_path)
    await cache.open()
    other = sqlite3.connect(tmp_path / "copywriter.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(errors.Unavailable) as caught:
        await cache.write([TITLE])
    assert caught.value.reason == "CACHE_LOCKED"
    assert await cache.read("S1", "en-IN") == []
    other.execute("ROLLBACK")
    other.close()
    await cache.write([TITLE])
    await cache.close()


async def test_a_database_that_is_not_there_is_told(tmp_path: Path) -> None:
    cache = SqlCache("postgresql://nobody:secret@127.0.0.1:9/none", tmp_path)
    with pytest.raises(errors.Unavailable) as caught:
        await cache.open()
    await cache.close()
    assert caught.value.reason == "CACHE_UNREACHABLE"
    assert "secret" not in caught.value.message
