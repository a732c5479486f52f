"""The vector store: Milvus, Zilliz Cloud, or Milvus Lite, with the same calls for all three."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby, product
from operator import itemgetter
from typing import Any

from pymilvus import CollectionSchema, MilvusClient
from pymilvus.exceptions import MilvusException

from servicekit import errors
from vision_index_service.adapters import milvus_rows as rows
from vision_index_service.adapters.milvus_connection import AT_ONCE, MilvusConnection
from vision_index_service.adapters.milvus_ledger import MilvusLedger
from vision_index_service.adapters.milvus_migration import Migration
from vision_index_service.model import EmbeddingModel, Filter, Mark, Neighbour, Row, Vector
from vision_index_service.settings import Settings

logger = logging.getLogger(__name__)
_STRONG = {"consistency_level": "Strong"}
_HEX = "0123456789abcdef"
_PAGE = 4000
"""Rows of a page of ``scan``; a server gives no more than 16,384 at once."""
FLUSH_EVERY = 256
"""Rows. Milvus Lite searches rows that are not flushed 5 to 20 times slower."""
_LOOKS, _LOOK_SECONDS = 10, 0.2
"""How often a collection is looked for that another replica seems to be making."""


class MilvusStore:
    """One implementation for all three; only opening, flushing and counting differ.

    A call may time out and still be carried out; every write here is repeatable.
    """

    def __init__(self, settings: Settings) -> None:
        """Connects on the first call."""
        self._connection = MilvusConnection(settings, self._doubt)
        self._base = settings.collection_name
        self._buckets = tuple(settings.websites.values())
        self._ledger = MilvusLedger(self._connection, self._base, self._ensure_plain)
        self._lock, self._ensuring = threading.Lock(), threading.Lock()
        self._ready: set[str] = set()
        self._unflushed: dict[str, int] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._writes = 0
        self._migration: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """See ``VectorStore.name``."""
        return self._connection.name

    @property
    def embedded(self) -> bool:
        """See ``VectorStore.embedded``."""
        return self._connection.embedded

    async def check(self) -> None:
        """See ``VectorStore.check``."""
        await asyncio.shield(self._migrating())

    async def space(self, model: EmbeddingModel) -> str:
        """See ``VectorStore.space``."""
        name = rows.collection_name(self._base, model.id)
        if name not in self._ready:
            await self._migrated()
            await self.ensure(name, lambda: rows.schema(model.dimension))
        return name

    async def other_spaces(self, space: str) -> list[str]:
        """See ``VectorStore.other_spaces``."""
        pattern = re.compile(rf"{re.escape(self._base)}_[0-9a-f]{{8}}_v{rows.SCHEMA_VERSION}")

        def look(client: MilvusClient) -> list[str]:
            names = client.list_collections(timeout=self._left())
            found = [name for name in names if name != space and pattern.fullmatch(name)]
            for name in found:
                if name not in self._ready:
                    self._add_partitions(client, name)
                    self._load(client, name)
            return found

        return await self._connection.run(look)

    async def get(self, space: str, ids: Collection[str]) -> dict[str, Row]:
        """See ``VectorStore.get``."""
        found = [rows.to_row(entity) for entity in await self._by_id(space, ids, rows.COLUMNS)]
        return {row.id: row for row in found if row.bucket in self._buckets}

    async def vectors(self, space: str, ids: Collection[str]) -> dict[str, Vector]:
        """See ``VectorStore.vectors``."""
        found = await self._by_id(space, ids, ["id", rows.VECTOR])
        return {entity["id"]: rows.to_vector(entity) for entity in found}

    async def entries(self, space: str, ids: Collection[str]) -> dict[str, tuple[Row, Vector]]:
        """See ``VectorStore.entries``."""
        found = await self._by_id(space, ids, [*rows.COLUMNS, rows.VECTOR])
        return {e["id"]: (rows.to_row(e), rows.to_vector(e)) for e in found if e["bucket"] in self._buckets}

    async def find(self, space: str, where: Filter, limit: int) -> list[Row]:
        """See ``VectorStore.find``."""
        found = await self._connection.run(
            lambda client: client.query(
                space,
                filter=rows.expression(where),
                output_fields=rows.COLUMNS,
                limit=limit,
                partition_names=rows.partitions(where, self._buckets),
                timeout=self._left(),
                **_STRONG,
            )
        )
        return [rows.to_row(entity) for entity in found]

    async def scan(self, space: str, bucket: str) -> AsyncIterator[list[Row]]:
        """See ``VectorStore.scan``."""
        async for page in self.pages(space, rows.COLUMNS, _PAGE, [rows.partition_name(bucket)]):
            yield [rows.to_row(entity) for entity in page]

    async def search(self, space: str, vector: Vector, where: Filter, limit: int) -> list[Neighbour]:
        """See ``VectorStore.search``."""
        params = {} if self.embedded else {"ef": max(2 * limit, 128)}
        found = await self._connection.run(
            lambda client: client.search(
                space,
                data=[vector],
                anns_field=rows.VECTOR,
                filter=rows.expression(where),
                limit=limit,
                output_fields=rows.COLUMNS,
                search_params={"metric_type": "L2", "params": params},
                partition_names=rows.partitions(where, self._buckets),
                timeout=self._left(),
                **_STRONG,
            )
        )
        # Milvus computes |a|^2 + |b|^2 - 2ab, which may end a little below zero for equal vectors.
        return [Neighbour(rows.to_row(hit["entity"]), max(0.0, float(hit["distance"]))) for hit in found[0]]

    async def upsert(self, space: str, entries: Sequence[tuple[Row, Vector]]) -> None:
        """See ``VectorStore.upsert``."""
        await self.write(space, [rows.to_entity(row, vector) for row, vector in entries])

    async def delete(self, space: str, ids: Collection[str]) -> None:
        """See ``VectorStore.delete``."""
        if ids:
            with self._changing():
                await self._connection.run(
                    lambda client: client.delete(space, ids=list(ids), timeout=self._left(), **AT_ONCE)
                )

    async def count(self, space: str, where: Filter) -> int:
        """See ``VectorStore.count``."""
        if self.embedded and where == Filter(bucket=where.bucket) and where.bucket is not None:
            return await self._count_embedded(space, where.bucket)
        # With the bucket as a term: Milvus Lite, as a server too, forgets the partitions where it counts.
        found = await self._connection.run(
            lambda client: client.query(
                space,
                filter=rows.expression(where, with_bucket=True),
                output_fields=["count(*)"],
                partition_names=rows.partitions(where, self._buckets),
                timeout=self._left(),
                **_STRONG,
            )
        )
        return int(found[0]["count(*)"])

    async def marked(self, marks: Collection[Mark]) -> set[Mark]:
        """See ``VectorStore.marked``."""
        return await self._ledger.marked(marks)

    async def mark(self, mark: Mark, said_by: str, created: int) -> None:
        """See ``VectorStore.mark``."""
        await self._ledger.mark(mark, said_by, created)

    async def unmark(self, mark: Mark) -> None:
        """See ``VectorStore.unmark``."""
        await self._ledger.unmark(mark)

    async def note(self, name: str) -> Mapping[str, object] | None:
        """See ``VectorStore.note``."""
        return await self._ledger.note(name)

    async def set_note(self, name: str, value: Mapping[str, object] | None) -> None:
        """See ``VectorStore.set_note``."""
        await self._ledger.set_note(name, value)

    async def close(self) -> None:
        """See ``VectorStore.close``."""
        if self._migration is not None:
            self._migration.cancel()
            await asyncio.gather(self._migration, return_exceptions=True)
        await self._connection.close(self._flush_all)

    async def pages(
        self, name: str, columns: list[str], size: int, partitions: list[str] | None = None
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Every entity of a collection, by ranges of ids, which are spread evenly: hashes in hex digits.

        Milvus promises no order for pages by offset.
        """

        def read(client: MilvusClient, ids: str) -> list[dict[str, Any]]:
            more: dict[str, Any] = {"partition_names": partitions} if partitions else {}
            found = client.query(
                name, filter=ids, output_fields=columns, limit=size, timeout=self._left(), **more, **_STRONG
            )
            return [dict(entity) for entity in found]

        entities = await self.total(name)
        depth = max(0, math.ceil(math.log(max(1, entities) / (size / 2), 16))) if entities > size else 0
        ahead = ["".join(digits) for digits in product(_HEX, repeat=depth)][::-1]
        while ahead:
            prefix = ahead.pop()
            ids = rows.id_range(prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1)) if prefix else ""
            page = await self._connection.run(lambda client, ids=ids: read(client, ids))  # type: ignore[misc]
            if len(page) == size:
                ahead += [prefix + digit for digit in reversed(_HEX)]
            elif page:
                yield page

    async def write(self, name: str, entities: list[dict[str, Any]]) -> None:
        """Upserts entities of today's schema, each into its bucket's partition."""
        by_bucket = sorted(entities, key=itemgetter("bucket"))
        parts = [(bucket, list(part)) for bucket, part in groupby(by_bucket, key=itemgetter("bucket"))]

        def write(client: MilvusClient) -> None:
            for bucket, part in parts:
                partition = rows.partition_name(bucket)
                client.upsert(name, part, partition_name=partition, timeout=self._left(), **AT_ONCE)
            self._count_for_flush(client, name, len(entities))

        if entities:
            with self._changing():
                await self._connection.run(write)

    async def total(self, name: str) -> int:
        """How many entities a collection has."""

        def read(client: MilvusClient) -> int:
            found = client.query(name, filter="", output_fields=["count(*)"], timeout=self._left(), **_STRONG)
            return int(found[0]["count(*)"])

        return await self._connection.run(read)

    async def ensure(self, name: str, schema: Callable[[], CollectionSchema]) -> None:
        """Makes and loads a collection of pictures, with a partition for each bucket."""
        if name not in self._ready:
            await self._connection.run(lambda client: self._ensure(client, name, schema(), partitioned=True))

    async def _ensure_plain(self, name: str, schema: Callable[[], CollectionSchema]) -> None:
        if name not in self._ready:
            await self._connection.run(lambda client: self._ensure(client, name, schema(), partitioned=False))

    def _ensure(self, client: MilvusClient, name: str, schema: CollectionSchema, partitioned: bool) -> None:
        """Each step may be repeated after a crash, and by another replica."""
        with self._ensuring:
            if name in self._ready:
                return
            if not client.has_collection(name, timeout=self._left()):
                try:
                    client.create_collection(name, schema=schema, consistency_level="Strong", timeout=self._left())
                    logger.info("made the collection %s", name)
                except MilvusException:
                    if not self._made_by_another(client, name):
                        raise
            if not client.list_indexes(name, timeout=self._left()):
                self._index(client, name, schema)
            if partitioned:
                self._add_partitions(client, name)
            self._load(client, name)

    def _made_by_another(self, client: MilvusClient, name: str) -> bool:
        """Whether another replica was faster, or is making the collection at this moment."""
        for _ in range(_LOOKS):
            if client.has_collection(name, timeout=self._left()):
                return True
            time.sleep(_LOOK_SECONDS)
        return False

    def _index(self, client: MilvusClient, name: str, schema: CollectionSchema) -> None:
        version = "" if self.embedded else str(client.get_server_version(timeout=self._left()))
        indexes = rows.indexes(client, schema, self.embedded, version)
        try:
            # Not waited for: the collection is empty, and Milvus Lite cannot be asked.
            client.create_index(name, indexes, timeout=self._left(), sync=False)
        except MilvusException:
            if not client.list_indexes(name, timeout=self._left()):  # else another replica was faster
                raise

    def _add_partitions(self, client: MilvusClient, name: str) -> None:
        there = client.list_partitions(name, timeout=self._left())
        for partition in map(rows.partition_name, self._buckets):
            if partition not in there:
                try:
                    client.create_partition(name, partition, timeout=self._left())
                except MilvusException:
                    if not client.has_partition(name, partition, timeout=self._left()):
                        raise

    def _load(self, client: MilvusClient, name: str) -> None:
        """A collection is searched only once it is loaded, after a reopen too."""
        client.load_collection(name, timeout=self._left())
        self._ready.add(name)

    def _migrating(self) -> asyncio.Task[None]:
        """The move of older collections: started once, and again when it failed."""
        if self._migration is None or (
            self._migration.done() and (self._migration.cancelled() or self._migration.exception() is not None)
        ):
            migration = Migration(self._connection, self._base, self)
            # In a context of its own: it outlives the call that started it, and its deadline.
            self._migration = asyncio.create_task(migration.run(), context=contextvars.Context())
        return self._migration

    async def _migrated(self) -> None:
        moving = self._migrating()
        await asyncio.wait({moving}, timeout=min(1.0, self._left()))
        if not moving.done():
            raise errors.Unavailable(
                "the index is being moved to a new schema; try again shortly",
                reason="VECTOR_STORE_MIGRATING",
                retry_after=5.0,
            )
        moving.result()

    async def _by_id(self, space: str, ids: Collection[str], columns: list[str]) -> list[Mapping[str, Any]]:
        if not ids:
            return []

        def read(client: MilvusClient) -> list[Mapping[str, Any]]:
            return list(client.get(space, ids=list(ids), output_fields=columns, timeout=self._left(), **_STRONG))

        return await self._connection.run(read)

    async def _count_embedded(self, space: str, bucket: str) -> int:
        """Milvus Lite counts a filter by reading whole rows, 0.14 ms each; its statistics are exact and cheap, and
        this process, which alone can write, knows when they change."""
        known = self._counts.get((space, bucket))
        if known is not None:
            return known
        before = self._writes
        stats = await self._connection.run(
            lambda client: client.get_partition_stats(space, rows.partition_name(bucket), timeout=self._left())
        )
        if self._writes == before:
            self._counts[space, bucket] = int(stats["row_count"])
        return int(stats["row_count"])

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Around a write, also one that fails: it may have been carried out."""
        self._writes += 1
        try:
            yield
        finally:
            self._writes += 1
            self._counts.clear()

    def _count_for_flush(self, client: MilvusClient, space: str, written: int) -> None:
        if not self.embedded:
            return
        with self._lock:
            due = self._unflushed.get(space, 0) + written
            self._unflushed[space] = 0 if due >= FLUSH_EVERY else due
        if due >= FLUSH_EVERY:
            client.flush(space, timeout=self._left())

    def _flush_all(self, client: MilvusClient) -> None:
        for space in [name for name, count in self._unflushed.items() if count]:
            client.flush(space, timeout=self._left())

    def _doubt(self) -> None:
        self._ready.clear()  # a server that was restarted wants its collections loaded again

    def _left(self) -> float:
        return self._connection.left()
