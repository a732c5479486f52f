"""Old runs are forgotten within bounds; what is open or in the store stays."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter_service.adapters.runs import SqliteRuns
from exporter_service.exporting import Exporter, Order
from exporter_service.model import Product
from exporter_service.retention import Retention
from servicekit import errors


def age(tmp_path: Path, run_id: str, when: str) -> None:
    with sqlite3.connect(tmp_path / "exporter" / "runs.sqlite3") as connection:
        connection.execute("UPDATE runs SET created = ?, changed = ? WHERE id = ?", (when, when, run_id))
    connection.close()


def rows(tmp_path: Path) -> tuple[int, int]:
    connection = sqlite3.connect(tmp_path / "exporter" / "runs.sqlite3")
    counts = [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("rows", "batches")]
    connection.close()
    return counts[0], counts[1]


async def test_old_runs_go_with_their_rows_and_their_workbooks_stay(
    exporter: Exporter, runs: SqliteRuns, tmp_path: Path, stored: Callable[[str], bytes]
) -> None:
    old = await exporter.export(Order("mee_ear", [Product("A")]))
    kept = await exporter.export(Order("mee_ear", [Product("B")]))
    opened = await exporter.start_run("mee_ear", "", "")
    await exporter.export(Order("mee_ear", [Product("C")], run_id=opened.id))
    for run_id in (old.run_id, opened.id):
        age(tmp_path, run_id, "2020-01-01T00:00:00+00:00")
    assert runs.forget(days=30, most=100) == 1
    with pytest.raises(errors.NotFound):
        runs.get(old.run_id)
    assert runs.get(kept.run_id)
    assert runs.get(opened.id)
    assert rows(tmp_path) == (2, 2)
    assert stored(old.url).startswith(b"PK")


async def test_no_more_than_so_many_are_kept(exporter: Exporter, runs: SqliteRuns, tmp_path: Path) -> None:
    done = [await exporter.export(Order("mee_ear", [Product(f"S-{number}")])) for number in range(5)]
    for number, each in enumerate(done):
        age(tmp_path, each.run_id, f"2026-11-{number + 1:02}T00:00:00+00:00")
    assert runs.forget(days=36500, most=2) == 3
    assert [runs.get(each.run_id).id for each in done[3:]] == [each.run_id for each in done[3:]]
    with pytest.raises(errors.NotFound):
        runs.get(done[2].run_id)


async def test_a_row_that_is_written_again_leaves_no_old_batch(exporter: Exporter, tmp_path: Path) -> None:
    run = await exporter.start_run("mee_ear", "", "")
    for _ in range(3):
        await exporter.export(Order("mee_ear", [Product("A")], run_id=run.id))
    assert rows(tmp_path) == (1, 1)


async def test_the_watch_looks_at_start_and_stops(exporter: Exporter, runs: SqliteRuns, tmp_path: Path) -> None:
    old = await exporter.export(Order("mee_ear", [Product("A")]))
    age(tmp_path, old.run_id, "2020-01-01T00:00:00+00:00")
    watch = Retention(runs, days=30, most=100)
    watch.start()
    async with asyncio.timeout(20):
        while rows(tmp_path) != (0, 0):
            await asyncio.sleep(0.01)
    await watch.stop()


async def test_a_database_that_cannot_be_used_stops_nobody(tmp_path: Path) -> None:
    watch = Retention(SqliteRuns(tmp_path / "nowhere" / "runs.sqlite3"), days=30, most=100)
    watch.start()
    await asyncio.sleep(0)
    await watch.stop()
    await Retention(SqliteRuns(tmp_path / "x.sqlite3"), days=1, most=1).stop()
