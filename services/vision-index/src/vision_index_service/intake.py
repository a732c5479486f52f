"""Takes stored objects into the index: reads them, embeds them in batches, writes their rows.

A re-index, a repair and the import of an earlier index are this, for different objects. While one batch is
written the next two are read and embedded, so that the embedding service never waits for the index.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TypeVar

import numpy as np

from objectstore import ObjectStore
from servicekit import deadlines, errors
from vision_index_service.candidates import norm
from vision_index_service.claims import Claim, Claims, row_id
from vision_index_service.fingerprint import VERSION
from vision_index_service.inflight import KeyedLocks
from vision_index_service.model import EmbeddingModel, Filter, Print, Row, Vector, VectorStore
from vision_index_service.progress import Problem, ProblemKind
from vision_index_service.reading import Reader
from vision_index_service.shelf import Found, Shelf

logger = logging.getLogger(__name__)
T = TypeVar("T")
_AHEAD = 2  # batches being read and embedded while one is written
_BATCH_BYTES = 32 * 2**20
_READERS = 8
_DECODERS = 2
_WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0)  # for a store or the embedding service to come back
_FAULTS = (errors.Unavailable, errors.ResourceExhausted, errors.DeadlineExceeded, errors.Cancelled)
_KEY = re.compile(r"(?P<stamp>\d{8}T\d{6}Z)_[0-9a-f-]{36}_(?P<slug>.+)")


@dataclass(frozen=True)
class Aim:
    """The model to embed with, its collection, and those of other models."""

    model: EmbeddingModel
    space: str
    others: tuple[str, ...]


@dataclass
class _Item:
    """One object on its way; ``stored`` is the vector of the known row, where that is one of today's model."""

    found: Found
    image: bytes = b""
    id: str = ""
    known: Row | None = None
    stored: Vector | None = None
    claim: Claim | None = None
    print: Print | None = None
    vector: Vector | None = None
    problem: Problem | None = None
    gone: bool = False

    @property
    def goes_on(self) -> bool:
        """False once it failed, or was deleted since it was listed."""
        return self.problem is None and not self.gone


@dataclass(frozen=True)
class Taken:
    """A finished batch: what was in it, and what is wrong with some of it."""

    batch: Sequence[Found]
    problems: tuple[Problem, ...]


@dataclass
class _Run:
    """What batches of one run share: claims by the key they decided, and the key that each row was taken from."""

    aim: Aim
    claims: dict[str, Claim]
    taken: dict[str, str] = field(default_factory=dict)


class Intake:
    """Writes rows of objects; deletes nothing but rows of its own whose object went meanwhile."""

    def __init__(
        self, reader: Reader, vectors: VectorStore, objects: ObjectStore, locks: KeyedLocks, batch_size: int
    ) -> None:
        """``locks`` are shared with those who store and delete."""
        self._reader, self._vectors, self._objects, self._locks = reader, vectors, objects, locks
        self._shelf, self._claims, self._batch_size = Shelf(objects), Claims(objects), batch_size
        self._readers, self._decoders = asyncio.Semaphore(_READERS), asyncio.Semaphore(_DECODERS)

    async def aim(self) -> Aim:
        """What answers now."""
        model = await self._reader.model()
        space = await self._vectors.space(model)
        return Aim(model, space, tuple(await self._vectors.other_spaces(space)))

    async def run(self, aim: Aim, pictures: Sequence[Found]) -> AsyncGenerator[Taken, None]:
        """Takes the pictures of a listing in, batch by batch in their order.

        Raises ``errors.Unavailable`` when something behind stays away, and ``errors.Aborted`` when the model
        changes; what was taken by then stays.
        """
        buckets = {found.bucket for found in pictures}
        # Read after the listing: an object of it without a row has a claim here, or its upload has ended since.
        claims = {claim.key: claim for bucket in buckets async for _, claim in self._claims.all(bucket)}
        run = _Run(aim, claims)
        ahead: deque[tuple[list[Found], asyncio.Task[list[_Item]]]] = deque()
        try:
            for batch in self._batches(pictures):
                ahead.append((batch, asyncio.create_task(self._embedded(run, batch))))
                if len(ahead) > _AHEAD:
                    yield await self._finished(run, *ahead.popleft())
            while ahead:
                yield await self._finished(run, *ahead.popleft())
        finally:
            for _, task in ahead:
                task.cancel()
            await asyncio.gather(*(task for _, task in ahead), return_exceptions=True)

    def _batches(self, pictures: Iterable[Found]) -> Iterator[list[Found]]:
        batch: list[Found] = []
        size = 0
        for found in pictures:
            if batch and (len(batch) == self._batch_size or size + found.size > _BATCH_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(found)
            size += found.size
        if batch:
            yield batch

    async def _finished(self, run: _Run, batch: list[Found], embedding: asyncio.Task[list[_Item]]) -> Taken:
        items = await embedding
        await patiently(lambda: self._write(run, [item for item in items if item.goes_on]))
        return Taken(batch, tuple(item.problem for item in items if item.problem))

    async def _embedded(self, run: _Run, batch: list[Found]) -> list[_Item]:
        """Everything but the writing; reads nothing twice when the embedding service has to be waited for."""
        items = [_Item(found) for found in batch]
        await patiently(lambda: self._read(items))
        alive = [item for item in items if item.goes_on]
        await patiently(lambda: self._look_up(run, alive))
        await patiently(lambda: self._fingerprint([item for item in alive if item.goes_on]))
        await patiently(lambda: self._embed(run, [item for item in alive if item.goes_on]))
        return items

    async def _read(self, items: list[_Item]) -> None:
        async def read(item: _Item) -> None:
            async with self._readers:
                try:
                    found = item.found
                    item.image = await self._shelf.read(found.bucket, found.key, found.original_key)
                    item.id = row_id(found.bucket, hashlib.sha256(item.image).hexdigest())
                except errors.NotFound:
                    item.gone = True
                except errors.InvalidArgument as error:
                    item.problem = self._problem(item, ProblemKind.UNREADABLE, error.message)

        await _all(read(item) for item in items if item.goes_on and not item.id)

    async def _look_up(self, run: _Run, items: list[_Item]) -> None:
        """What is known of the pictures, from today's rows or another model's."""
        wanted = {item.id for item in items}
        entries = await self._vectors.entries(run.aim.space, wanted)
        known = {id: row for id, (row, _) in entries.items()}
        for space in run.aim.others:
            known = await self._vectors.get(space, wanted - known.keys()) | known
        unknown = [item for item in items if item.id not in known]
        by_key = {
            (row.bucket, row.key): row
            for bucket in {item.found.bucket for item in unknown}
            for row in await self._vectors.find(
                run.aim.space,
                Filter(bucket=bucket, keys=tuple(i.found.key for i in unknown if i.found.bucket == bucket)),
                len(unknown) * 2,
            )
        }
        for item in items:
            item.known = known.get(item.id)
            item.stored = entries[item.id][1] if item.id in entries else None
            item.claim = run.claims.get(item.found.key)
            other = by_key.get((item.found.bucket, item.found.key))
            if other is not None:
                told = f"the object is another picture than row {other.id} says; delete the address and upload again"
                item.problem = self._problem(item, ProblemKind.ROW_WITHOUT_OBJECT, told)
                continue
            first = await self._key_of(run, item)
            if first != item.found.key:
                item.problem = self._second_copy(item, first)

    async def _key_of(self, run: _Run, item: _Item) -> str:
        """The key that the picture's row has or gets; another one than the item's for a second copy."""
        known, key = item.known, item.found.key
        if known is not None and (known.key == key or await self._shelf.exists(known.bucket, known.key)):
            return known.key
        return run.taken.setdefault(item.id, key)

    async def _fingerprint(self, items: list[_Item]) -> None:
        async def fingerprint(item: _Item) -> None:
            if item.known is not None and item.known.print.version == VERSION:
                item.print = item.known.print  # of the same bytes: the row's id says so
                return
            async with self._decoders:
                try:
                    item.print = await self._reader.print(item.image)
                except errors.InvalidArgument as error:
                    item.problem = self._problem(item, ProblemKind.UNREADABLE, error.message)

        await _all(fingerprint(item) for item in items if item.print is None)

    async def _embed(self, run: _Run, items: list[_Item]) -> None:
        if not items:
            return
        outcomes, model = await self._reader.vectors([item.image for item in items])
        if model.id != run.aim.model.id:
            raise errors.Aborted("the embedding model changed meanwhile; start again", reason="MODEL_CHANGED")
        for item, outcome in zip(items, outcomes, strict=True):
            item.image = b""
            if isinstance(outcome, errors.ServiceError):
                bad = isinstance(outcome, errors.InvalidArgument)
                kind = ProblemKind.UNREADABLE if bad else ProblemKind.FAILED
                item.problem = self._problem(item, kind, outcome.message)
            else:
                item.vector = outcome

    async def _write(self, run: _Run, items: list[_Item]) -> None:
        """Rows, and then a look whether their objects are still there: a delete may have come between.

        A row that would be the same is not written, which costs more than all the rest: most of a re-index.
        """
        space = run.aim.space
        entries = {item.id: self._entry(run.aim.model, item, item.known) for item in items}
        async with self._locks.hold_all(entries):
            others = [item for item in items if not _same(item, *entries[item.id])]
            # An upload may have ended since; what it says about the picture stays, above all its address.
            since = await self._vectors.get(space, [item.id for item in others])
            changed = []
            for item in others:
                row = since.get(item.id)
                if row is None or row.key in (item.found.key, item.known.key if item.known else ""):
                    changed.append(self._entry(run.aim.model, item, row or item.known))
                elif await self._shelf.exists(item.found.bucket, item.found.key):
                    item.problem = self._second_copy(item, row.key)
            await self._vectors.upsert(space, changed)
            there = await _all(self._is_there(row) for row, _ in changed)
            await self._vectors.delete(
                space, [row.id for (row, _), is_there in zip(changed, there, strict=True) if not is_there]
            )
        for item in items:
            if item.claim is not None:
                await self._claims.drop(item.found.bucket, item.id)

    async def _is_there(self, row: Row) -> bool:
        async with self._readers:
            return await self._shelf.exists(row.bucket, row.key)

    def _entry(self, model: EmbeddingModel, item: _Item, known: Row | None) -> tuple[Row, Vector]:
        found, seen, vector = item.found, item.print, item.vector
        if seen is None or vector is None:
            raise errors.Internal("a picture went on without its print or vector")
        row = replace(
            known or _labelled(item, seen),
            key=found.key,
            original_key=found.original_key,
            url=self._objects.url(found.bucket, found.key),
            website=self._objects.website_of(found.bucket),
            print=seen,
            model_id=model.id,
            norm=norm(vector),
        )
        return row, vector

    def _second_copy(self, item: _Item, first: str) -> Problem:
        told = f"a second copy of {self._objects.url(item.found.bucket, first)}; it may be deleted"
        return self._problem(item, ProblemKind.OBJECT_WITHOUT_ROW, told)

    def _problem(self, item: _Item, kind: ProblemKind, detail: str) -> Problem:
        return Problem(kind, self._objects.url(item.found.bucket, item.found.key), item.id, detail=detail)


def _same(item: _Item, row: Row, vector: Vector) -> bool:
    """True when the collection has exactly this already."""
    return item.known == row and item.stored is not None and np.array_equal(item.stored, vector)


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Repeats what fails because something behind is away, for about 15 s, or as long as the caller can wait."""
    for seconds in _WAITS_S:
        try:
            return await work()
        except _FAULTS as error:
            left = deadlines.remaining()
            if left is not None and left < 2 * seconds:
                raise
            logger.warning("%s; trying again in %.1f s", error.message, seconds)
        await asyncio.sleep(seconds)
    return await work()


def _labelled(item: _Item, seen: Print) -> Row:
    """A row for an object that has none: from its claim, or from what its key and its time tell."""
    found, claim = item.found, item.claim
    stem = PurePosixPath(found.key).stem
    parts = _KEY.fullmatch(stem)
    created = found.modified
    if parts:
        created = datetime.strptime(parts["stamp"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return Row(
        id=item.id,
        bucket=found.bucket,
        key=found.key,
        url="",
        website="",
        print=seen,
        model_id="",
        sku=claim.sku if claim else "",
        original_name=claim.original_name if claim else (parts["slug"] if parts else stem)[:255],
        created=claim.created if claim else int(created.timestamp() * 1000),
        norm=0.0,
    )


async def _all(works: Iterable[Awaitable[T]]) -> list[T]:
    """Waits for all of them, also when one fails; then raises the first failure."""
    outcomes = await asyncio.gather(*works, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
