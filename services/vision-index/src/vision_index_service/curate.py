"""Looks after what is stored: deleting, telling pairs apart, counting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from objectstore import ObjectRef, ObjectStore
from servicekit import errors
from vision_index_service.claims import IMAGES, Claims
from vision_index_service.inflight import KeyedLocks
from vision_index_service.model import EmbeddingModel, Filter, Mark, VectorStore
from vision_index_service.reading import Reader
from vision_index_service.search import Search
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
        self._claims = Claims(objects)

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
        one, other = await asyncio.gather(self._search.resolve(model, first), self._search.resolve(model, second))
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
        return Stats(dict(zip(buckets, counts, strict=True)), space, model, self._reader.thresholds(model))

    async def _delete(self, ref: ObjectRef, dry_run: bool) -> tuple[Deleted, str]:
        """Object first: a crash then leaves a row without object, never a picture that a repair would bring back."""
        space = await self._vectors.space(await self._reader.model())
        spaces = [space, *await self._vectors.other_spaces(space)]
        where = Filter(bucket=ref.bucket, key=ref.key)
        found = {name: await self._vectors.find(name, where, 10) for name in spaces}
        rows = [row for there in found.values() for row in there]
        if dry_run:
            known = bool(rows) or await self._exists(ref)
            return (Deleted.DELETED, "would be deleted") if known else (Deleted.NOT_FOUND, "")
        async with self._locks.hold(rows[0].id if rows else ""):
            existed = await self._objects.delete(ref.bucket, ref.key)
            for name, there in found.items():
                await self._vectors.delete(name, [row.id for row in there])
            for sha_bytes in {row.print.sha_bytes for row in rows}:
                await self._claims.drop(ref.bucket, sha_bytes)
        return (Deleted.DELETED, "") if existed or rows else (Deleted.NOT_FOUND, "")

    async def _exists(self, ref: ObjectRef) -> bool:
        try:
            await self._objects.head(ref.bucket, ref.key)
        except errors.NotFound:
            return False
        return True
