"""The cache in a relational database: an SQLite file by default, PostgreSQL by URL; one code path."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from copywriter_service.adapters import title_index
from copywriter_service.adapters.cache import Holdings, ImportedEntry, Key
from copywriter_service.adapters.cache_errors import keep_damaged, typed
from copywriter_service.adapters.cache_tables import (
    COLLECTIONS,
    IMPORTED,
    KEY,
    LAYOUT,
    LEASES,
    METADATA,
    PARTS,
    TITLE_WORDS,
    part_of,
    row_of,
)
from copywriter_service.domain import DEFAULT_LANGUAGE, AdapterInfo, CopyText, Origin, Part, StoredPart
from servicekit import errors

T = TypeVar("T")

# Statements are short; a few threads keep the loop free, and SQLite takes one writer at a time anyway.
THREADS = 4
# Longest wait for another process's write, in seconds.
BUSY_SECONDS = 5
FILE_NAME = "copywriter.db"
# Alike titles that are looked at: the nearest few of them are told.
MAX_CANDIDATES = 200
# Collections whose texts are kept: years of a busy merchandiser, in a few megabytes.
MAX_COLLECTIONS = 10_000


class SqlCache:
    """The cache behind one SQLAlchemy engine, used from a few threads.

    Args:
        url: Of the database; None: the file in `data_dir`.
        data_dir: Folder of the file, made when it is missing.
    """

    def __init__(self, url: str | None, data_dir: Path) -> None:
        self._file = None if url else data_dir / FILE_NAME
        self._engine = _postgres(url) if url and not url.startswith("sqlite") else _sqlite(url, self._file)
        self._dialect = self._engine.dialect.name
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="cache")
        detail = "" if self._file is None else "on disk"
        self.info = AdapterInfo("cache", self._dialect, embedded=self._dialect == "sqlite", detail=detail)

    async def open(self) -> None:
        """Makes tables where they are missing and checks that an SQLite file is sound.

        Raises:
            errors.DataLoss: CACHE_DAMAGED: the file is damaged; a copy of it is kept beside it.
        """
        if self._file is not None:
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise errors.FailedPrecondition(
                    "cannot make the folder of the copy cache; check DATA_DIR", reason="CACHE_READ_ONLY"
                ) from error
        await self._run(self._check, writes=False)
        # Replicas that start together may make the same table at the same time.
        await self._run(self._prepare, again=3)

    async def close(self) -> None:
        """Ends all connections and threads."""
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()

    def _check(self, connection: Connection) -> None:
        if self._dialect == "sqlite":
            answer = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
            if answer != "ok":
                raise DBAPIError("PRAGMA quick_check", None, Exception(f"malformed: {answer}"))

    def _prepare(self, connection: Connection) -> None:
        METADATA.create_all(connection)
        title_index.fill(connection, self._insert(TITLE_WORDS))

    async def _run(self, work: Callable[[Connection], T], *, writes: bool = True, again: int = 1) -> T:
        """Runs `work` in a transaction on a thread, in up to `again` attempts."""

        def transaction() -> T:
            with self._engine.connect().execution_options(writes=writes) as connection, connection.begin():
                return work(connection)

        loop = asyncio.get_running_loop()
        for attempt in itertools.count(1):
            try:
                return await loop.run_in_executor(self._threads, transaction)
            except DBAPIError as error:
                if attempt < again:
                    await asyncio.sleep(0.1 * attempt)
                    continue
                found = typed(error)
                if found.reason == "CACHE_DAMAGED" and self._file is not None:
                    await loop.run_in_executor(self._threads, keep_damaged, self._file)
                raise found from error
        raise AssertionError("the loop ends by returning or raising")

    # -- parts ---------------------------------------------------------------------------------

    async def read(self, sku: str, language: str) -> list[StoredPart]:
        """Parts of a SKU under every marketplace code."""
        query = sa.select(PARTS).where(PARTS.c.sku == sku, PARTS.c.language == language)
        return await self._run(lambda connection: [part_of(row) for row in connection.execute(query)], writes=False)

    async def write(self, parts: Sequence[StoredPart]) -> None:
        """Stores written parts; a person's text stays, and composed text replaces no model's of the same picture."""
        if not parts:
            return
        statement = self._insert(PARTS)
        new = statement.excluded
        kept = sa.or_(
            PARTS.c.origin == Origin.PERSON.value,
            sa.and_(
                new.origin == Origin.COMPOSED.value,
                sa.or_(PARTS.c.origin == Origin.MODEL.value, PARTS.c.origin == Origin.IMPORTED.value),
                PARTS.c.picture_sha256 == new.picture_sha256,
            ),
        )
        upsert = _upsert(statement, PARTS, where=sa.not_(kept))
        rows = [row_of(part, time.time()) for part in parts]

        def work(connection: Connection) -> None:
            connection.execute(upsert, rows)
            self._index_titles(connection, parts)

        await self._run(work)

    async def put_edit(self, key: Key, parts: Sequence[StoredPart]) -> None:
        """Stores a person's parts and forgets that person's earlier ones of the same entry."""
        forget = sa.delete(PARTS).where(_is(key), PARTS.c.origin == Origin.PERSON.value)
        upsert = _upsert(self._insert(PARTS), PARTS)
        rows = [row_of(part, time.time()) for part in parts]

        def work(connection: Connection) -> None:
            connection.execute(forget)
            connection.execute(upsert, rows)
            title_index.refresh(connection, [key], self._insert(TITLE_WORDS))

        await self._run(work)

    async def bind(self, sku: str, language: str, picture_sha256: str, places: Collection[tuple[str, Part]]) -> None:
        """Notes the picture of parts whose picture was not known."""
        these = sa.tuple_(PARTS.c.code, PARTS.c.part).in_([(code, part.value) for code, part in places])
        update = sa.update(PARTS).values(picture_sha256=picture_sha256)
        update = update.where(PARTS.c.sku == sku, PARTS.c.language == language, PARTS.c.picture_sha256 == "", these)
        await self._run(lambda connection: connection.execute(update))

    async def titles_with(
        self, words: Collection[str], probes: int, language: str, codes: Collection[str], sku: str
    ) -> list[tuple[str, str]]:
        """SKU and title of other SKUs' entries whose titles are alike to one of these words."""
        return await self._run(
            lambda connection: title_index.candidates(connection, words, probes, language, codes, sku, MAX_CANDIDATES),
            writes=False,
        )

    async def delete(self, sku: str, code: str | None) -> int:
        """Forgets entries of a SKU; the number of entries."""
        where = [PARTS.c.sku == sku] + ([] if code is None else [PARTS.c.code == code])
        entries = sa.select(sa.func.count()).select_from(sa.select(*KEY).where(*where).distinct().subquery())

        def work(connection: Connection) -> int:
            count = int(connection.execute(entries).scalar_one())
            connection.execute(sa.delete(PARTS).where(*where))
            title_index.forget(connection, sku, code)
            if code is None:
                connection.execute(sa.delete(IMPORTED).where(IMPORTED.c.sku == sku))
            return count

        return await self._run(work)

    async def page(self, limit: int, after: Key | None, sku_prefix: str) -> list[list[StoredPart]]:
        """Up to `limit` entries that come after a key, each as its parts."""
        keys = sa.select(*KEY).distinct().order_by(*KEY).limit(limit)
        if after is not None:
            keys = keys.where(sa.tuple_(*KEY) > sa.tuple_(*after))
        if sku_prefix:
            keys = keys.where(sa.func.substr(PARTS.c.sku, 1, len(sku_prefix)) == sku_prefix)

        def work(connection: Connection) -> list[list[StoredPart]]:
            wanted = [tuple(row) for row in connection.execute(keys)]
            if not wanted:
                return []
            between = PARTS.c.sku.between(wanted[0][0], wanted[-1][0])
            found: dict[tuple[Any, ...], list[StoredPart]] = {key: [] for key in wanted}
            for row in connection.execute(sa.select(PARTS).where(between)):
                part = part_of(row)
                found.get((part.sku, part.code, part.language), []).append(part)
            return list(found.values())

        return await self._run(work, writes=False)

    # -- import and export ---------------------------------------------------------------------

    async def import_entries(self, entries: Sequence[ImportedEntry], layout: str = "") -> None:
        """Stores imported entries; a SKU that was imported before keeps its place in the order."""
        if not entries:
            return
        parts = _upsert(self._insert(PARTS), PARTS, where=PARTS.c.origin != Origin.PERSON.value)
        statement = self._insert(IMPORTED)
        raw = statement.on_conflict_do_update(index_elements=["sku"], set_={"raw": statement.excluded.raw})
        rows = [row_of(part, time.time()) for entry in entries for part in entry.parts]
        languages = {DEFAULT_LANGUAGE, *(part.language for entry in entries for part in entry.parts)}
        changed = [(entry.sku, "", language) for entry in entries for language in languages]

        def work(connection: Connection) -> None:
            for entry in entries:
                earlier = (PARTS.c.sku == entry.sku, PARTS.c.code == "", PARTS.c.origin == Origin.IMPORTED.value)
                connection.execute(sa.delete(PARTS).where(*earlier))
            last = sa.select(sa.func.coalesce(sa.func.max(IMPORTED.c.position), 0))
            first = int(connection.execute(last).scalar_one())
            numbered = [
                {"sku": entry.sku, "position": first + number, "raw": entry.raw}
                for number, entry in enumerate(entries, start=1)
            ]
            connection.execute(raw, numbered)
            if rows:
                connection.execute(parts, rows)
            if layout:
                connection.execute(_upsert(self._insert(LAYOUT), LAYOUT), {"id": 1, "layout": layout})
            title_index.refresh(connection, changed, self._insert(TITLE_WORDS))

        await self._run(work)

    async def holdings(self) -> Holdings:
        """Everything, for an export."""

        def work(connection: Connection) -> Holdings:
            imported = connection.execute(sa.select(IMPORTED).order_by(IMPORTED.c.position))
            parts = connection.execute(sa.select(PARTS).order_by(*KEY))
            layout = connection.execute(sa.select(LAYOUT.c.layout)).scalar() or ""
            return Holdings({row.sku: row.raw for row in imported}, tuple(part_of(row) for row in parts), layout)

        return await self._run(work, writes=False)

    # -- collections ---------------------------------------------------------------------------

    async def collection(self, fingerprint: str) -> CopyText | None:
        """What was kept under a fingerprint."""
        query = sa.select(COLLECTIONS).where(COLLECTIONS.c.fingerprint == fingerprint)
        row = await self._run(lambda connection: connection.execute(query).first(), writes=False)
        return None if row is None else CopyText(title=row.title, description=row.description)

    async def keep_collection(self, fingerprint: str, copy: CopyText) -> None:
        """Keeps title and description; forgets the oldest beyond `MAX_COLLECTIONS`."""
        row = {"fingerprint": fingerprint, "title": copy.title, "description": copy.description, "updated": time.time()}
        keep = _upsert(self._insert(COLLECTIONS), COLLECTIONS)
        newest = sa.select(COLLECTIONS.c.updated).order_by(COLLECTIONS.c.updated.desc())
        too_old = COLLECTIONS.c.updated <= newest.offset(MAX_COLLECTIONS).limit(1).scalar_subquery()

        def work(connection: Connection) -> None:
            connection.execute(keep, row)
            connection.execute(sa.delete(COLLECTIONS).where(too_old))

        await self._run(work)

    # -- leases --------------------------------------------------------------------------------

    async def acquire(self, name: str, holder: str, seconds: float) -> bool:
        """Takes the lease when it is free or has run out."""
        now = self._now()
        statement = self._insert(LEASES).values(name=name, holder=holder, expires=now + seconds)
        take = statement.on_conflict_do_update(
            index_elements=["name"],
            set_={"holder": statement.excluded.holder, "expires": statement.excluded.expires},
            where=LEASES.c.expires < now,
        ).returning(LEASES.c.name)
        return await self._run(lambda connection: connection.execute(take).first() is not None)

    async def renew(self, name: str, holder: str, seconds: float) -> bool:
        """Extends a lease; False when it was lost."""
        update = sa.update(LEASES).where(LEASES.c.name == name, LEASES.c.holder == holder)
        renewed = update.values(expires=self._now() + seconds).returning(LEASES.c.name)
        return await self._run(lambda connection: connection.execute(renewed).first() is not None)

    async def release(self, name: str, holder: str) -> None:
        """Gives a lease back."""
        delete = sa.delete(LEASES).where(LEASES.c.name == name, LEASES.c.holder == holder)
        await self._run(lambda connection: connection.execute(delete))

    def _now(self) -> sa.ColumnElement[float]:
        """The database's own time in seconds since 1970."""
        if self._dialect == "sqlite":
            return sa.literal_column("((julianday('now') - 2440587.5) * 86400.0)", sa.Float)
        return sa.cast(sa.func.extract("epoch", sa.func.clock_timestamp()), sa.Float)

    def _index_titles(self, connection: Connection, parts: Sequence[StoredPart]) -> None:
        keys = [(part.sku, part.code, part.language) for part in parts if part.part is Part.TITLE]
        title_index.refresh(connection, keys, self._insert(TITLE_WORDS))

    def _insert(self, table: sa.Table) -> Any:
        return sqlite.insert(table) if self._dialect == "sqlite" else postgresql.insert(table)


def _upsert(statement: Any, table: sa.Table, where: Any = None) -> Any:
    keys = [column.name for column in table.primary_key]
    values = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=values, where=where)


def _is(key: Key) -> sa.ColumnElement[bool]:
    return sa.and_(*(column == value for column, value in zip(KEY, key, strict=True)))


def _postgres(url: str) -> Engine:
    # The URL's usual forms, with the driver that the package depends on.
    for scheme in ("postgres://", "postgresql://"):
        if url.startswith(scheme):
            url = "postgresql+psycopg://" + url.removeprefix(scheme)
    limits = f"-c statement_timeout={2 * BUSY_SECONDS}s -c lock_timeout={BUSY_SECONDS}s"
    arguments = {"connect_timeout": BUSY_SECONDS, "options": limits}
    return sa.create_engine(url, pool_size=THREADS, pool_pre_ping=True, hide_parameters=True, connect_args=arguments)


def _sqlite(url: str | None, file: Path | None) -> Engine:
    target = url or sa.URL.create("sqlite", database=str(file))
    # Errors must not quote what sellers wrote.
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
