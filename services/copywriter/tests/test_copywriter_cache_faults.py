"""A cache file that is damaged, locked or read-only: a clear error, and nothing lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from copywriter_service.adapters.cache_sql import SqlCache
from copywriter_service.adapters.writer import Ask, Draft
from copywriter_service.copywriter import Copywriter
from copywriter_service.domain import AdapterInfo, CopyText, Cost, Order, Origin, Part, StoredPart, TimeLeft
from servicekit import errors

FILE = "copywriter.db"
TITLE = StoredPart("S1", "ama_ear", "en-IN", Part.TITLE, "Gold studs", Origin.MODEL, "m", "p", "a" * 64, "f" * 64)
NOBODY = 65534


async def filled(folder: Path, entries: int = 300) -> None:
    """A cache of several pages, closed."""
    cache = SqlCache(None, folder)
    await cache.open()
    await cache.write([StoredPart(**{**vars(TITLE), "sku": f"S{number}"}) for number in range(entries)])
    await cache.close()


def copies(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{FILE}.damaged-*"))


# -- damaged -----------------------------------------------------------------------------------


def garbage(data: bytes) -> bytes:
    return b"this was a database once" * 500


def half(data: bytes) -> bytes:
    return data[: len(data) // 2 // 4096 * 4096]


def torn_pages(data: bytes) -> bytes:
    return data[:8192] + b"\xff" * 8192 + data[16384:]


@pytest.mark.parametrize("damage", [garbage, half, torn_pages])
async def test_a_damaged_file_is_told_kept_and_left_alone(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    await filled(tmp_path)
    file = tmp_path / FILE
    damaged = damage(file.read_bytes())
    file.write_bytes(damaged)
    # Twice: a process that is started again and again leaves one copy.
    for _ in range(2):
        cache = SqlCache(None, tmp_path)
        with pytest.raises(errors.DataLoss) as caught:
            await cache.open()
        await cache.close()
        assert caught.value.reason == "CACHE_DAMAGED"
        assert "restore it from a backup" in caught.value.message
        assert str(tmp_path) not in caught.value.message
    assert file.read_bytes() == damaged
    assert [copy.read_bytes() for copy in copies(tmp_path)] == [damaged]


async def test_a_file_that_is_damaged_while_it_is_used(tmp_path: Path) -> None:
    await filled(tmp_path)
    cache = SqlCache(None, tmp_path)
    await cache.open()
    cache._engine.dispose()
    file = tmp_path / FILE
    file.write_bytes(file.read_bytes()[:4096] + b"\xff" * (file.stat().st_size - 4096))
    damaged = file.read_bytes()
    attempts = (lambda: cache.read("S1", "en-IN"), lambda: cache.write([TITLE]), lambda: cache.acquire("k", "h", 5))
    for attempt in attempts:
        with pytest.raises(errors.DataLoss) as caught:
            await attempt()
        assert caught.value.reason == "CACHE_DAMAGED"
    await cache.close()
    assert [copy.read_bytes() for copy in copies(tmp_path) if "wal" not in copy.name] == [damaged]


async def test_a_copy_that_cannot_be_made_hides_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(source: Path, target: Path) -> None:
        target.write_bytes(b"half a copy")
        raise OSError(28, "No space left on device")

    (tmp_path / FILE).write_bytes(garbage(b""))
    monkeypatch.setattr("shutil.copy2", full)
    cache = SqlCache(None, tmp_path)
    with caplog.at_level(logging.ERROR), pytest.raises(errors.DataLoss):
        await cache.open()
    assert "No space left" in caplog.text
    monkeypatch.undo()
    with pytest.raises(errors.DataLoss):
        await cache.open()
    await cache.close()
    assert [copy.read_bytes() for copy in copies(tmp_path) if not copy.name.endswith(".part")] == [garbage(b"")]


# -- read-only ---------------------------------------------------------------------------------


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that others than its owner may look into; pytest's are private."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


@contextlib.contextmanager
def read_only(folder: Path, *, files: bool) -> Iterator[None]:
    """Takes the right to write away: from the files, or from the folder that they are in.

    Root may write anything, so a test that runs as root gives its rights up meanwhile.
    """
    paths = list(folder.iterdir()) if files else [folder]
    modes = [path.stat().st_mode for path in paths]
    root = os.geteuid() == 0
    for path, mode in zip(paths, modes, strict=True):
        path.chmod(mode & 0o7555)
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for path, mode in zip(paths, modes, strict=True):
            path.chmod(mode)


@pytest.mark.parametrize("files", [True, False])
async def test_a_read_only_file_or_folder_is_told_at_the_start(files: bool, open_folder: Path) -> None:
    await filled(open_folder)
    before = (open_folder / FILE).read_bytes()
    with read_only(open_folder, files=files):
        cache = SqlCache(None, open_folder)
        with pytest.raises(errors.FailedPrecondition) as caught:
            await cache.open()
        await cache.close()
    assert caught.value.reason == "CACHE_READ_ONLY"
    assert "write access to DATA_DIR" in caught.value.message
    assert (open_folder / FILE).read_bytes() == before
    assert copies(open_folder) == []


async def test_a_folder_that_cannot_be_made_is_told(open_folder: Path) -> None:
    cache = SqlCache(None, open_folder / "data")
    with read_only(open_folder, files=False), pytest.raises(errors.FailedPrecondition) as caught:
        await cache.open()
    await cache.close()
    assert caught.value.reason == "CACHE_READ_ONLY"
    assert str(open_folder) not in caught.value.message


async def test_a_file_that_becomes_read_only_loses_nothing(open_folder: Path, make_order: Callable[..., Order]) -> None:
    cache = SqlCache(None, open_folder)
    writer = Scripted()
    copywriter = Copywriter(cache, writer)
    await copywriter.open()
    await copywriter.write(make_order(sku="S1"))
    cache._engine.dispose()
    with read_only(open_folder, files=True):
        with pytest.raises(errors.FailedPrecondition) as caught:
            await copywriter.write(make_order(sku="S2"))
        assert caught.value.reason == "CACHE_READ_ONLY"
        cache._engine.dispose()
    # Told before anything was paid for.
    assert writer.asked == 1
    assert (await copywriter.write(make_order(sku="S1"))).cached
    assert not (await copywriter.write(make_order(sku="S2"))).cached
    await copywriter.close()


# -- locked ------------------------------------------------------------------------------------


class Scripted:
    """A paid writer that does something first."""

    origin = Origin.MODEL
    prompt_version = "copy-test"
    info = AdapterInfo("copy", "scripted", embedded=False, model_id="m")

    def __init__(self, first: Callable[[], object] = lambda: None) -> None:
        self.asked = 0
        self._first = first

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def write(self, ask: Ask, time_left: TimeLeft) -> Draft:
        self.asked += 1
        self._first()
        bullets = tuple(f"Aspect number {number}" for number in range(10))
        return Draft(CopyText("Gold-tone studs", bullets, "Gold-tone studs for festive days.").only(ask.parts), Cost(1))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits for locks."""
    monkeypatch.setattr("copywriter_service.adapters.cache_sql.BUSY_SECONDS", 0.1)
    monkeypatch.setattr("copywriter_service.copywriter._PAUSES", (0.2, 0.2))


@pytest.fixture
def other(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Another process's connection to the cache's file."""
    with contextlib.closing(sqlite3.connect(tmp_path / FILE, isolation_level=None, check_same_thread=False)) as found:
        yield found


async def test_a_file_that_is_locked_at_the_start_is_told(
    tmp_path: Path, other: sqlite3.Connection, quick: None
) -> None:
    await filled(tmp_path)
    other.execute("BEGIN EXCLUSIVE")
    cache = SqlCache(None, tmp_path)
    with pytest.raises(errors.Unavailable) as caught:
        await cache.open()
    assert (caught.value.reason, caught.value.retry_after) == ("CACHE_LOCKED", 1.0)
    other.execute("ROLLBACK")
    await cache.open()
    assert len(await cache.read("S1", "en-IN")) == 1
    await cache.close()


async def test_nothing_is_paid_for_while_the_file_is_locked(
    tmp_path: Path, other: sqlite3.Connection, quick: None, make_order: Callable[..., Order]
) -> None:
    writer = Scripted()
    copywriter = Copywriter(SqlCache(None, tmp_path), writer)
    await copywriter.open()
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(errors.Unavailable) as caught:
        await copywriter.write(make_order())
    assert (caught.value.reason, writer.asked) == ("CACHE_LOCKED", 0)
    other.execute("ROLLBACK")
    assert (await copywriter.write(make_order())).copy.title
    await copywriter.close()


@pytest.mark.parametrize("for_good", [False, True])
async def test_a_paid_text_is_not_lost_when_the_file_is_locked_meanwhile(
    for_good: bool, tmp_path: Path, other: sqlite3.Connection, quick: None, make_order: Callable[..., Order]
) -> None:
    writer = Scripted(lambda: other.execute("BEGIN IMMEDIATE"))
    copywriter = Copywriter(SqlCache(None, tmp_path), writer)
    await copywriter.open()
    writing = asyncio.create_task(copywriter.write(make_order()))
    if not for_good:
        while not writer.asked:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.15)
        other.execute("ROLLBACK")
    outcome = await writing
    told = [finding.message for finding in outcome.findings if finding.rule == "not_stored"]
    assert outcome.copy.title
    assert bool(told) is for_good
    assert all("locked by another process" in message for message in told)
    if for_good:
        other.execute("ROLLBACK")
    assert bool(await copywriter._cache.read("SKU-1", "en-IN")) is not for_good
    await copywriter.close()
