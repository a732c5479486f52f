"""Looks after what is stored: deleting, telling pairs apart, counting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from objectstore import ObjectRef, ObjectStore
from servicekit import errors
from vision_index_service.claims import Claims
from vision_index_service.inflight import KeyedLocks
from vision_index_service.model import EmbeddingModel, Filter, Mark, Row, VectorStore
from vision_index_service.reading import Reader
from vision_index_service.search import Search
from vision_index_service.shelf import IMAGES, Shelf
from vision_index_service.thresholds_file import Curve
from vision_index_service.verdict import Thresholds

MAX_DELETED = 1000
_DELETES_AT_ONCE = 8
_MAX_SAID_BY = 256


class Deleted(Enum):
    """What became of an address to delete."""

    DELETED = 1
    NOT_FOUND = 2
    REFUSED = 3
    FAILED = 4


@dataclass(frozen=True)
class Stats:
    """Rows per website, and what the service works with."""

    rows: dict[str, int]
    collection: str
    model: EmbeddingModel
    thresholds: Thresholds
    curve: Curve | None


class Curator:
    """Changes only what it is told to, by exact address."""

    def __init__(
        self,
        reader: Reader,
        vectors: VectorStore,
        objects: ObjectStore,
        search: Search,
        locks: KeyedLocks,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``locks`` are shared with those who store."""
        self._reader, self._vectors, self._objects = reader, vectors, objects
        self._search, self._locks, self._clock = search, locks, clock
        self._claims, self._shelf = Claims(objects), Shelf(objects)

    async def delete(self, addresses: Sequence[str], dry_run: bool = False) -> list[tuple[Deleted, str]]:
        """Removes pictures by address: a result and a sentence for each, in order. Safe to repeat."""
        if len(addresses) > MAX_DELETED:
            raise errors.InvalidArgument(
                f"{len(addresses)} addresses are too many; send at most {MAX_DELETED}",
                reason="TOO_MANY_ADDRESSES",
                fields={"urls": f"at most {MAX_DELETED}"},
            )
        refs = [self._objects.parse_url(address) for address in addresses]
        gate = asyncio.Semaphore(_DELETES_AT_ONCE)

        async def one(ref: ObjectRef) -> tuple[Deleted, str]:
            async with gate:
                try:
                    return await self._delete(ref, dry_run)
                except errors.ServiceError as error:
                    return Deleted.FAILED, error.message

        ours = {ref for ref in refs if ref is not None and ref.key.startswith(IMAGES)}
        done = dict(zip(ours, await asyncio.gather(*(one(ref) for ref in ours)), strict=True))
        refused = (Deleted.REFUSED, "this is no address of a picture of ours")
        return [done.get(ref, refused) if ref is not None else refused for ref in refs]

    async def mark_distinct(self, first: str, second: str, said_by: str, revoke: bool = False) -> None:
        """Remembers, or forgets, that two stored pictures show different products."""
        model = await self._reader.model()
        one, other = await asyncio.gather(
            self._search.resolve(model, first, any_model=True), self._search.resolve(model, second, any_model=True)
        )
        if one.print.sha_bytes == other.print.sha_bytes:
            raise errors.InvalidArgument("both are the same file; name two different pictures", reason="SAME_PICTURE")
        mark = Mark.of(one.print.sha_bytes, other.print.sha_bytes)
        if revoke:
            await self._vectors.unmark(mark)
        else:
            await self._vectors.mark(mark, said_by[:_MAX_SAID_BY], int(self._clock().timestamp() * 1000))

    async def stats(self) -> Stats:
        """Counts rows, and tells the model and the thresholds in use."""
        model = await self._reader.model()
        space = await self._vectors.space(model)
        buckets = self._objects.websites
        counts = await asyncio.gather(*(self._vectors.count(space, Filter(bucket=b)) for b in buckets.values()))
        rows = dict(zip(buckets, counts, strict=True))
        return Stats(rows, space, model, self._reader.thresholds(model), self._reader.curve(model))

    async def _delete(self, ref: ObjectRef, dry_run: bool) -> tuple[Deleted, str]:
        """Object first: a crash then leaves a row without object, never a picture that a repair would bring back."""
        space = await self._vectors.space(await self._reader.model())
        spaces = [space, *await self._vectors.other_spaces(space)]
        rows = [row for name in spaces for row in await self._rows(name, ref)]
        if dry_run:
            known = bool(rows) or await self._shelf.exists(ref.bucket, ref.key)
            return (Deleted.DELETED, "would be deleted") if known else (Deleted.NOT_FOUND, "")
        async with self._locks.hold(rows[0].id if rows else ""):
            originals = {row.original_key for row in rows} or {
                info.key for info in (await self._shelf.originals(ref.bucket, ref.key)).values()
            }
            existed = await self._shelf.remove(ref.bucket, ref.key, max(originals, default=""))
            # Looked up again: a re-index may have written a row just before the object went.
            for name in spaces:
                there = await self._rows(name, ref)
                rows += there
                await self._vectors.delete(name, [row.id for row in there])
            for row_id in {row.id for row in rows}:
                await self._claims.drop(ref.bucket, row_id)
        return (Deleted.DELETED, "") if existed or rows else (Deleted.NOT_FOUND, "")

    async def _rows(self, space: str, ref: ObjectRef) -> list[Row]:
        return await self._vectors.find(space, Filter(bucket=ref.bucket, key=ref.key), 10)
