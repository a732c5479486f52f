"""The SQLite file of runs: its tables and its connections.

A batch is what one request brought to a run. `shared` holds the texts that its rows have unless they say otherwise, by
field; `fields` names the fields in which they may differ. A row's `texts` are in the order of these fields: null where
it has what is shared, "" where the cell is empty. `origins` are numbers in `known_origins`, or stand in full.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servicekit import errors

_BUSY_SECONDS = 20.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY,
    code TEXT NOT NULL,
    website TEXT NOT NULL,
    template_id TEXT NOT NULL,
    own INTEGER NOT NULL,
    created TEXT NOT NULL,
    closed TEXT,
    revision INTEGER NOT NULL DEFAULT 0,
    changed TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS runs_open ON runs (code, website, created) WHERE closed IS NULL AND own = 0;
CREATE TABLE IF NOT EXISTS rows (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    sku TEXT NOT NULL,
    batch INTEGER NOT NULL,
    family TEXT NOT NULL,
    texts TEXT NOT NULL,
    origins TEXT NOT NULL,
    findings TEXT NOT NULL,
    PRIMARY KEY (run_id, position),
    UNIQUE (run_id, sku)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    shared TEXT NOT NULL,
    shared_origins TEXT NOT NULL,
    fields TEXT NOT NULL,
    known_origins TEXT NOT NULL,
    PRIMARY KEY (run_id, number)
) WITHOUT ROWID;
"""


class Database:
    """Opens connections; each is for one thread and lasts as long as its block."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def prepare(self) -> None:
        """Makes the file and its tables where they are missing.

        Raises:
            errors.Unavailable: RUNS_UNAVAILABLE.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self.connection() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(_SCHEMA)

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """A connection; what was changed is committed at the end of the block, or rolled back.

        Raises:
            errors.Unavailable: RUNS_UNAVAILABLE.
        """
        try:
            connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS)
            try:
                connection.execute("PRAGMA foreign_keys=ON")
                connection.execute("PRAGMA synchronous=FULL")
                with connection:
                    yield connection
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise errors.Unavailable(
                "the database of runs cannot be used: check that DATA_DIR is writable and has space",
                reason="RUNS_UNAVAILABLE",
            ) from error
