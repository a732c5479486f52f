"""The SQLite file of runs: its tables, its connections, and how older files are brought up to date."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servicekit import errors

_BUSY_SECONDS = 20.0
_VERSION = 2
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
    changed TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS runs_open ON runs (code, website, created) WHERE closed IS NULL AND own = 0;
CREATE TABLE IF NOT EXISTS rows (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    sku TEXT NOT NULL,
    batch INTEGER NOT NULL DEFAULT 0,
    family TEXT NOT NULL DEFAULT '',
    texts TEXT NOT NULL,
    origins TEXT NOT NULL,
    findings TEXT NOT NULL,
    PRIMARY KEY (run_id, position),
    UNIQUE (run_id, sku)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    texts TEXT NOT NULL,
    origins TEXT NOT NULL,
    known TEXT NOT NULL,
    PRIMARY KEY (run_id, number)
) WITHOUT ROWID;
"""
# From version 0, which had neither batches nor families: a row without a batch holds all its cells.
_UPGRADES = (
    "ALTER TABLE runs ADD COLUMN changed TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE rows ADD COLUMN batch INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE rows ADD COLUMN family TEXT NOT NULL DEFAULT ''",
)


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
            # Two processes may start at once: the second waits, and then finds nothing left to do.
            connection.execute("BEGIN IMMEDIATE")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            old = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'rows'").fetchone()
            if version == 0 and old is not None:
                for statement in _UPGRADES:
                    connection.execute(statement)
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_VERSION}")

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
