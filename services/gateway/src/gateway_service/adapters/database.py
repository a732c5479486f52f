"""The gateway's relational state: an SQLite file by default, PostgreSQL by URL; one code path."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from servicekit import errors

logger = logging.getLogger(__name__)

T = TypeVar("T")

METADATA = sa.MetaData()

# Statements are short; a few threads keep the loop free, and SQLite takes one writer at a time anyway.
THREADS = 4
# Longest wait for another's write, in seconds.
BUSY_SECONDS = 15
FILE_NAME = "gateway.db"


class Database:
    """Short transactions on a few threads.

    Opened by its first use, so that a gateway without jobs makes no file; `url` None: the file in `data_dir`.
    """

    def __init__(self, url: str | None, data_dir: Path) -> None:
        self._url = url
        self._folder = data_dir
        self._engine: Engine | None = None
        self._opening = asyncio.Lock()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="gateway-db")
        self.embedded = url is None or url.startswith("sqlite")

    async def run(self, work: Callable[[Connection], T], *, writes: bool = True) -> T:
        """Runs `work` in a transaction of its own.

        Raises:
            errors.Unavailable: The database cannot be reached, is locked or full; the log says more.
        """
        engine = await self._opened()

        def transaction() -> T:
            with engine.connect().execution_options(writes=writes) as connection, connection.begin():
                return work(connection)

        return await self._on_thread(transaction)

    def insert(self, table: sa.Table) -> Any:
        """An insert that knows `on_conflict_do_...` of the database in use."""
        return sqlite.insert(table) if self.embedded else postgresql.insert(table)

    async def close(self) -> None:
        """Ends connections and threads."""
        await asyncio.to_thread(self._threads.shutdown)
        if self._engine is not None:
            self._engine.dispose()

    async def _opened(self) -> Engine:
        async with self._opening:
            if self._engine is None:
                self._engine = await self._on_thread(self._open)
            return self._engine

    async def _on_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except (DBAPIError, OSError) as error:
            logger.error("the gateway's database failed: %s", error)
            raise errors.Unavailable(
                "the gateway's database cannot be used now; check DATABASE_URL or DATA_DIR",
                reason="DATABASE_UNAVAILABLE",
                retry_after=1.0,
            ) from error

    def _open(self) -> Engine:
        if self._url is not None and not self._url.startswith("sqlite"):
            engine = sa.create_engine(
                postgres_url(self._url),
                pool_size=THREADS,
                pool_pre_ping=True,
                hide_parameters=True,
                connect_args={
                    "connect_timeout": BUSY_SECONDS,
                    "options": f"-c lock_timeout={BUSY_SECONDS}s -c statement_timeout={2 * BUSY_SECONDS}s",
                },
            )
        else:
            engine = self._open_sqlite()
        for attempt in range(3):
            try:
                METADATA.create_all(engine)
                break
            except DBAPIError:
                # Replicas that start together make the same tables.
                if attempt == 2:
                    raise
        return engine

    def _open_sqlite(self) -> Engine:
        file = self._folder / FILE_NAME
        if self._url is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            # Orders and secrets of webhooks are nobody else's to read.
            os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
        target = self._url or sa.URL.create("sqlite", database=str(file))
        return _sqlite_engine(target)


def _sqlite_engine(target: str | sa.URL) -> Engine:
    """An engine for an SQLite file that many threads and processes may use, and whose commits survive a power cut."""
    engine = sa.create_engine(target, pool_size=THREADS, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS})

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:
        # The driver begins no transactions of its own; `_begin` does.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # Writers queue here, where the driver waits; a reader that turns writer later would fail at once.
        writes = connection.get_execution_options().get("writes", True)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def postgres_url(url: str) -> str:
    """The URL's usual forms, with the driver that the package depends on."""
    for scheme in ("postgres://", "postgresql://"):
        if url.startswith(scheme):
            return "postgresql+psycopg://" + url.removeprefix(scheme)
    return url
