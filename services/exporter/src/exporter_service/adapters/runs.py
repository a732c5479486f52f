"""Runs and their rows in SQLite: what is in a workbook survives a restart and can be written again at any time."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import orjson

from exporter_service.adapters.database import Database
from exporter_service.adapters.staging import Stage, finding, unpacked_family
from exporter_service.model import Finding, Origin, Variation
from exporter_service.xlsx.filling import Batch
from servicekit import errors

logger = logging.getLogger(__name__)

_RUN = "id, code, website, template_id, own, created, closed IS NOT NULL, revision"


@dataclass(frozen=True)
class Run:
    """A run: one workbook.

    Attributes:
        own: made by a single Export; never the one that a new product is added to unasked.
        created: UTC; part of the workbook's key, so that two runs never share one.
        revision: counts the changes of its rows.
    """

    id: str
    code: str
    website: str
    template_id: str
    own: bool
    created: datetime
    closed: bool
    revision: int

    @property
    def stem(self) -> str:
        """Key of the workbook without its extension."""
        return f"excel_files/{self.created:%Y%m%dT%H%M%SZ}_{self.code}_{self.id}"


class Snapshot:
    """Rows of a run at one moment, in their order; nothing is held in memory."""

    def __init__(self, connection: sqlite3.Connection, run_id: str) -> None:
        self._connection = connection
        self._run_id = run_id
        self.revision, self.count = connection.execute(
            "SELECT revision, (SELECT count(*) FROM rows WHERE run_id = runs.id) FROM runs WHERE id = ?", (run_id,)
        ).fetchone()

    def batches(self) -> dict[int, Batch]:
        """What the rows of each batch share, by its number."""
        found = self._connection.execute("SELECT number, shared, fields FROM batches WHERE run_id = ?", (self._run_id,))
        return {number: Batch(orjson.loads(shared), orjson.loads(fields)) for number, shared, fields in found}

    def texts(self) -> Iterator[tuple[int, list[str | None]]]:
        """Batch of each row, and its texts in the order of the batch's fields; None where it has what is shared."""
        rows = self._connection.execute(
            "SELECT batch, texts FROM rows WHERE run_id = ? ORDER BY position", (self._run_id,)
        )
        return ((batch, orjson.loads(texts)) for batch, texts in rows)

    def shared_origins(self) -> Iterator[tuple[int, str, str, str]]:
        """Of each batch its number and, as JSON, the origins of what its rows share, the fields in which they may
        differ, and the origins that are named by number."""
        return iter(
            self._connection.execute(
                "SELECT number, shared_origins, fields, known_origins FROM batches WHERE run_id = ? ORDER BY number",
                (self._run_id,),
            )
        )

    def origins(self) -> Iterator[tuple[str, int, str]]:
        """SKU and batch of each row, and the origins of its cells in the order of the batch's fields, as JSON."""
        return iter(
            self._connection.execute(
                "SELECT sku, batch, origins FROM rows WHERE run_id = ? ORDER BY position", (self._run_id,)
            )
        )

    def findings(self) -> Iterator[tuple[str, tuple[Finding, ...]]]:
        """SKU of each row, and what was found in it."""
        rows = self._connection.execute(
            "SELECT sku, findings FROM rows WHERE run_id = ? ORDER BY position", (self._run_id,)
        )
        return ((sku, tuple(finding(each) for each in orjson.loads(found))) for sku, found in rows)

    def families(self) -> dict[str, Variation]:
        """Place in its family of each product that has one, by SKU, in the order of the rows."""
        return _families(self._connection, self._run_id)


class SqliteRuns:
    """The runs of all processes that share the file. Methods block for disk time; call them in a thread."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path)

    def prepare(self) -> None:
        """Makes the file and its tables where they are missing."""
        self._database.prepare()

    def create(self, code: str, website: str, template_id: str, own: bool) -> Run:
        """Opens a run."""
        run_id, now = uuid4().hex, datetime.now(UTC).isoformat()
        with self._database.connection() as connection:
            connection.execute(
                "INSERT INTO runs (id, code, website, template_id, own, created, changed) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (run_id, code, website, template_id, own, now, now),
            )
        return self.get(run_id)

    def get(self, run_id: str) -> Run:
        """A run. Raises errors.NotFound: RUN_NOT_FOUND."""
        with self._database.connection() as connection:
            found = connection.execute(f"SELECT {_RUN} FROM runs WHERE id = ?", (run_id,)).fetchone()  # noqa: S608
        if found is None:
            raise errors.NotFound(f"there is no run {run_id!r}: start one", reason="RUN_NOT_FOUND")
        return _run(found)

    def newest_open(self, code: str, website: str) -> Run | None:
        """The open run of a code that was started last."""
        with self._database.connection() as connection:
            found = connection.execute(
                f"SELECT {_RUN} FROM runs WHERE code = ? AND website = ? AND closed IS NULL AND own = 0"  # noqa: S608
                " ORDER BY created DESC LIMIT 1",
                (code, website),
            ).fetchone()
        return None if found is None else _run(found)

    def close(self, run_id: str) -> bool:
        """Closes a run; its rows stay. False when it was closed already."""
        with self._database.connection() as connection:
            changed = connection.execute(
                "UPDATE runs SET closed = ? WHERE id = ? AND closed IS NULL", (datetime.now(UTC).isoformat(), run_id)
            )
            return changed.rowcount == 1

    def discard(self, run_id: str) -> None:
        """Forgets a run that never became a workbook."""
        with self._database.connection() as connection:
            connection.execute("DELETE FROM runs WHERE id = ?", (run_id,))

    def families(self, run_id: str) -> dict[str, Variation]:
        """Place in its family of each product of a run that has one, by SKU, in the order of the rows."""
        with self._database.connection() as connection:
            return _families(connection, run_id)

    def forget(self, days: int, most: int) -> int:
        """Forgets runs, rows included, that nobody changed for `days` days, and the longest unchanged ones beyond
        `most`; open runs stay, and so do the workbooks in the store.

        Returns:
            How many were forgotten.
        """
        before = (datetime.now(UTC) - timedelta(days=days)).isoformat()
        ended = "(closed IS NOT NULL OR own = 1)"
        last = "max(changed, created)"
        with self._database.connection() as connection:
            old = connection.execute(f"DELETE FROM runs WHERE {ended} AND {last} < ?", (before,))  # noqa: S608
            spare = connection.execute(
                f"DELETE FROM runs WHERE {ended} AND id IN"  # noqa: S608
                f" (SELECT id FROM runs WHERE {ended} ORDER BY {last} DESC LIMIT -1 OFFSET ?)",
                (most,),
            )
            count = old.rowcount + spare.rowcount
        if count:
            logger.info("forgot the rows of %s old runs", count)
        return count

    @contextmanager
    def stage(self, shared: Mapping[str, str], shared_origins: Mapping[str, Origin]) -> Iterator[Stage]:
        """Collects rows outside of any run. For use in one thread."""
        with self._database.connection() as connection:
            yield Stage(connection, shared, shared_origins)

    @contextmanager
    def snapshot(self, run_id: str) -> Iterator[Snapshot]:
        """Rows of a run, unmoved by what others write meanwhile. For use in one thread."""
        with self._database.connection() as connection:
            connection.execute("BEGIN")
            yield Snapshot(connection, run_id)


def _families(connection: sqlite3.Connection, run_id: str) -> dict[str, Variation]:
    found = connection.execute(
        "SELECT sku, family FROM rows WHERE run_id = ? AND family <> '' ORDER BY position", (run_id,)
    )
    return {sku: unpacked_family(told) for sku, told in found}


def _run(found: Sequence[object]) -> Run:
    run_id, code, website, template_id, own, created, closed, revision = found
    moment = datetime.fromisoformat(str(created))
    return Run(
        str(run_id), str(code), str(website), str(template_id), bool(own), moment, bool(closed), int(str(revision))
    )
