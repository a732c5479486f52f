"""What a run has done, in SQLite, so that it goes on after a stop: tasks, records, pictures, uploads.

Each finished page is one transaction. The write-ahead log keeps a committed transaction through a kill -9;
`synchronous` is NORMAL, so a power cut may cost the last pages, which are then scraped again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scrapers.browse.errors import FailureKind
from scrapers.outcome import Failure, Picture, Upload
from scrapers.record import Record
from scrapers.sites import SearchResult

SCHEMA_VERSION = "1"
TaskKind = Literal["search", "product"]
# Statuses that another run tries again; `gone`, `done` and `duplicate` stay. `later` is beyond the limits of the run.
_AGAIN = ("failed", "unparsed", "disallowed")
_NO_FAILURE = ("waiting", "later", "done", "duplicate")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS tasks (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, url TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'waiting', reason TEXT NOT NULL DEFAULT '', UNIQUE (kind, key)
) STRICT;
CREATE INDEX IF NOT EXISTS tasks_by_status ON tasks (status, kind, id);
CREATE TABLE IF NOT EXISTS products (
    product_id TEXT PRIMARY KEY, task INTEGER NOT NULL UNIQUE REFERENCES tasks (id), record TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS pictures (
    product_id TEXT NOT NULL, url TEXT NOT NULL, file TEXT NOT NULL, media_type TEXT NOT NULL, width INTEGER NOT NULL,
    height INTEGER NOT NULL, bytes INTEGER NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (product_id, url)
) STRICT;
CREATE TABLE IF NOT EXISTS uploads (
    product_id TEXT NOT NULL, url TEXT NOT NULL, status TEXT NOT NULL, verdict TEXT NOT NULL, stored_url TEXT NOT NULL,
    matches INTEGER NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (product_id, url)
) STRICT;
"""


class StoreError(Exception):
    """The state file cannot be used as asked; the sentence says what to do."""


@dataclass(frozen=True, slots=True)
class Task:
    """A page to scrape. `key` is a product id, or the address of a search page."""

    id: int
    kind: TaskKind
    key: str
    url: str


@dataclass(frozen=True, slots=True)
class Counts:
    """Product pages by how they stand."""

    waiting: int = 0
    done: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        """All product pages known so far."""
        return self.waiting + self.done + self.failed


class Store:
    """The state of one run. One process at a time may hold it.

    Raises:
        StoreError: another process holds it, it is of another run, or it is no state file.
    """

    def __init__(self, path: Path, run: str) -> None:
        """`run` names what is scraped; the same file goes on only with the same run."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, timeout=1.0, isolation_level=None)
        try:
            # Exclusive: a second process is refused instead of scraping the same pages.
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            with self._transaction():
                for statement in _SCHEMA.split(";"):
                    self._database.execute(statement)
            self._claim(path, run)
        except sqlite3.OperationalError as error:
            self._database.close()
            if "locked" in str(error):
                raise StoreError(f"{path} is in use: another run writes it; wait for it or stop it") from error
            raise StoreError(f"{path} cannot be used: {error}") from error
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise StoreError(f"{path} is no state file ({error}): move it away, or give another --state") from error
        except StoreError:
            self._database.close()
            raise

    def _claim(self, path: Path, run: str) -> None:
        known = dict(self._database.execute("SELECT name, value FROM meta").fetchall())
        if known.get("schema", SCHEMA_VERSION) != SCHEMA_VERSION:
            raise StoreError(f"{path} was written by another version: give another --out, or --fresh to start anew")
        if known.get("run", run) != run:
            raise StoreError(
                f"{path} holds another run ({known['run']}): give another --out, or --fresh to drop it and start anew"
            )
        for name, value in (("schema", SCHEMA_VERSION), ("run", run)):
            self._database.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (name, value))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def close(self) -> None:
        """Lets go of the file."""
        self._database.close()

    def add_search(self, url: str, status: str = "waiting") -> None:
        """A search page to open, unless it is known already."""
        statement = "INSERT OR IGNORE INTO tasks (kind, key, url, status) VALUES ('search', ?, ?, ?)"
        self._database.execute(statement, (url, url, status))

    def add_products(self, results: Iterable[SearchResult], limit: int) -> int:
        """Product pages to open; those beyond the limit are kept for a larger one. How many were new."""
        with self._transaction():
            return self._add_products(results, limit)

    def _add_products(self, results: Iterable[SearchResult], limit: int) -> int:
        statement = "INSERT OR IGNORE INTO tasks (kind, key, url, status) VALUES ('product', ?, ?, ?)"
        wanted = self._wanted("product")
        new = 0
        for result in results:
            status = "waiting" if wanted < limit else "later"
            added = self._database.execute(statement, (result.product_id, result.url, status)).rowcount
            new += added
            wanted += added
        return new

    def _wanted(self, kind: TaskKind) -> int:
        return self._number(f"SELECT count(*) FROM tasks WHERE kind = '{kind}' AND status <> 'later'")  # noqa: S608

    def reach(self, limit: int, pages: int) -> None:
        """Lets wait what an earlier run left beyond its limits and this one's allow."""
        statement = (
            "UPDATE tasks SET status = 'waiting' WHERE id IN "
            "(SELECT id FROM tasks WHERE kind = ? AND status = 'later' ORDER BY id LIMIT ?)"
        )
        with self._transaction():
            self._database.execute(statement, ("product", max(0, limit - self._wanted("product"))))
            if self._wanted("product") < limit:
                self._database.execute(statement, ("search", max(0, pages - self._wanted("search"))))

    def try_again(self) -> int:
        """Lets failed pages of an earlier run wait again; how many."""
        marks = ", ".join("?" * len(_AGAIN))
        changed = self._database.execute(
            f"UPDATE tasks SET status = 'waiting', reason = '' WHERE status IN ({marks})",  # noqa: S608 - only marks
            _AGAIN,
        )
        return changed.rowcount

    def next(self, taken: Collection[int]) -> Task | None:
        """The first waiting task that is not taken: products first, so that few pages wait in memory or on screen."""
        rows = self._database.execute(
            "SELECT id, kind, key, url FROM tasks WHERE status = 'waiting' ORDER BY kind = 'search', id LIMIT ?",
            (len(taken) + 1,),
        )
        return next((Task(*row) for row in rows.fetchall() if row[0] not in taken), None)

    def finish_search(self, task: Task, results: Iterable[SearchResult], next_url: str, limit: int, pages: int) -> int:
        """Records a search page: its products, and the next page unless nothing was new. How many were new."""
        with self._transaction():
            new = self._add_products(results, limit)
            if next_url and new:
                within = self._wanted("product") < limit and self._wanted("search") < pages
                self.add_search(next_url, "waiting" if within else "later")
            self._finish(task, "done")
        return new

    def save(self, task: Task, record: Record) -> bool:
        """Records a product; False when the same product came from another address already."""
        with self._transaction():
            added = self._database.execute(
                "INSERT OR IGNORE INTO products VALUES (?, ?, ?)",
                (record.product_id, task.id, record.model_dump_json()),
            )
            new = added.rowcount > 0
            self._finish(task, "done" if new else "duplicate")
        return new

    def fail(self, task: Task, kind: FailureKind, reason: str) -> None:
        """Records that a page could not be had."""
        self._finish(task, kind, reason)

    def _finish(self, task: Task, status: str, reason: str = "") -> None:
        self._database.execute("UPDATE tasks SET status = ?, reason = ? WHERE id = ?", (status, reason[:500], task.id))

    def counts(self) -> Counts:
        """Product pages by how they stand; a duplicate counts as done."""
        by_status = dict(
            self._database.execute(
                "SELECT status, count(*) FROM tasks WHERE kind = 'product' GROUP BY status"
            ).fetchall()
        )
        by_status.pop("later", 0)
        waiting, done = by_status.pop("waiting", 0), by_status.pop("done", 0) + by_status.pop("duplicate", 0)
        return Counts(waiting, done, sum(by_status.values()))

    def waiting_searches(self) -> int:
        """Search pages still to open."""
        return self._number("SELECT count(*) FROM tasks WHERE kind = 'search' AND status = 'waiting'")

    def records(self) -> Iterator[Record]:
        """Every product, in the order in which it was asked for or found. Writing between two of them is safe."""
        statement = "SELECT task, record FROM products WHERE task > ? ORDER BY task LIMIT 100"
        last = 0
        while rows := self._database.execute(statement, (last,)).fetchall():
            for _, text in rows:
                yield Record.model_validate_json(text)
            last = rows[-1][0]

    def failures(self) -> list[Failure]:
        """Every page that could not be had."""
        marks = ", ".join("?" * len(_NO_FAILURE))
        statement = f"SELECT kind, key, url, status, reason FROM tasks WHERE status NOT IN ({marks}) ORDER BY id"  # noqa: S608
        return [Failure(*row) for row in self._database.execute(statement, _NO_FAILURE).fetchall()]

    def pictures(self) -> dict[tuple[str, str], Picture]:
        """Every picture tried, by product and address."""
        rows = self._database.execute("SELECT * FROM pictures").fetchall()
        return {(row[0], row[1]): Picture(*row) for row in rows}

    def save_picture(self, picture: Picture) -> None:
        """Records a picture, or why it could not be had."""
        values = (picture.product_id, picture.url, picture.file, picture.media_type)
        sizes = (picture.width, picture.height, picture.bytes)
        self._database.execute(
            "INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*values, *sizes, picture.reason)
        )

    def uploads(self) -> dict[tuple[str, str], Upload]:
        """Every upload tried, by product and address."""
        rows = self._database.execute("SELECT * FROM uploads").fetchall()
        return {(row[0], row[1]): Upload(*row) for row in rows}

    def save_upload(self, upload: Upload) -> None:
        """Records what the gateway said."""
        values = (upload.product_id, upload.url, upload.status, upload.verdict, upload.stored_url)
        self._database.execute(
            "INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?, ?, ?, ?)", (*values, upload.matches, upload.reason)
        )

    def _number(self, statement: str) -> int:
        return int(self._database.execute(statement).fetchone()[0])


def drop(path: Path) -> None:
    """Removes a state file and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
