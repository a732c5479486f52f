"""Compares objects and rows: reports first, mends when told to, deletes only when told so too."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from objectstore import ObjectStore
from servicekit import errors
from vision_index_service.claims import Claims
from vision_index_service.inflight import KeyedLocks
from vision_index_service.intake import Aim, Intake
from vision_index_service.look_metrics import counted
from vision_index_service.model import Filter, Row, VectorStore
from vision_index_service.progress import Meter, Problem, ProblemKind, Report
from vision_index_service.reading import Reader
from vision_index_service.reindex import Gate
from vision_index_service.shelf import Found, Shelf

logger = logging.getLogger(__name__)
_PAGE = 500
_STALE = timedelta(minutes=15)
"""Age from which a claim without an object is of an upload that was cut off: far beyond any caller's deadline."""
_SAFE_SHARE = 0.5
_SAFE_ROWS = 20

REPORT: frozenset[ProblemKind] = frozenset()
MEND = frozenset({ProblemKind.OBJECT_WITHOUT_ROW, ProblemKind.WRONG_URL, ProblemKind.OTHER_MODEL})
MEND_AND_DELETE = MEND | {ProblemKind.ROW_WITHOUT_OBJECT}
OTHER_MODEL_ONLY = frozenset({ProblemKind.OTHER_MODEL})


@dataclass
class _Look:
    """What a bucket holds, and what was seen of it so far; about 600 bytes of memory per picture."""

    bucket: str
    pictures: dict[str, Found]
    unseen: dict[str, Found] = field(init=False)
    of_other_model: dict[str, str] = field(default_factory=dict)
    originals_with_row: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.unseen = dict(self.pictures)


class Repair:
    """Objects without rows, rows without objects, wrong addresses, rows of another model."""

    def __init__(
        self,
        intake: Intake,
        reader: Reader,
        vectors: VectorStore,
        objects: ObjectStore,
        locks: KeyedLocks,
        gate: Gate,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``locks`` are shared with those who store, ``gate`` with other long work."""
        self._intake, self._reader, self._vectors, self._objects = intake, reader, vectors, objects
        self._locks, self._gate, self._clock = locks, gate, clock
        self._shelf, self._claims = Shelf(objects), Claims(objects)
        self._process_started = clock()

    async def run(
        self, website: str = "", mend: frozenset[ProblemKind] = REPORT, careful: bool = False
    ) -> AsyncGenerator[Report, None]:
        """Looks through a website, or all; problems of the kinds in ``mend`` are mended.

        ``careful``: rows are not deleted where half of them and more have no object, which tells of a wrong bucket
        rather than of lost pictures. Raises ``errors.Aborted`` while other long work runs.
        """
        reports = self._run(website, mend, careful)
        async with aclosing(reports if website else counted(reports)) as told:
            async for report in told:
                yield report

    async def _run(self, website: str, mend: frozenset[ProblemKind], careful: bool) -> AsyncGenerator[Report, None]:
        buckets = [self._objects.bucket_for(website)] if website else list(self._objects.websites.values())
        async with self._gate.only("a repair"):
            aim = await self._intake.aim()
            looks = [await self._look(bucket, mend) for bucket in buckets]
            meter = Meter(total=sum(len(look.pictures) for look in looks))
            yield meter.report()
            for look in looks:
                for space in (aim.space, *aim.others):
                    async for report in self._rows(aim, space, look, mend, careful, meter):
                        yield report
                async with aclosing(self._pictures(aim, look, mend, meter)) as reports:
                    async for report in reports:
                        yield report
                yield meter.report(await self._left_originals(look))
                if mend >= MEND:
                    await self._finish_claims(aim, look)

    async def has_other_models(self) -> bool:
        """True when pictures were embedded with another model than today's."""
        return bool((await self._intake.aim()).others)

    async def _look(self, bucket: str, mend: frozenset[ProblemKind]) -> _Look:
        if ProblemKind.OBJECT_WITHOUT_ROW in mend:
            await self._finish_originals(bucket)
        return _Look(bucket, {found.key: found for found in await self._shelf.pictures(bucket)})

    async def _rows(
        self, aim: Aim, space: str, look: _Look, mend: frozenset[ProblemKind], careful: bool, meter: Meter
    ) -> AsyncGenerator[Report, None]:
        """Goes through the rows of one model: whether their objects are there, and their addresses right."""
        lost: list[Row] = []
        async for page in self._vectors.scan(space, look.bucket):
            problems: list[Problem] = []
            for row in page:
                if row.key not in look.pictures:
                    lost.append(row)
                    look.originals_with_row.add(row.original_key)
                elif space == aim.space:
                    look.unseen.pop(row.key, None)
                    if not self._right(row):
                        problems.append(await self._wrong_url(space, row, ProblemKind.WRONG_URL in mend))
                elif row.key in look.unseen:
                    look.of_other_model[row.key] = row.id
            if space == aim.space:
                right = sum(row.key in look.pictures for row in page) - len(problems)
                mended = sum(problem.mended for problem in problems)
                meter.add(right + mended, len(problems) - mended)
            yield meter.report(tuple(problems))
        delete = ProblemKind.ROW_WITHOUT_OBJECT in mend
        if delete and careful and len(lost) >= _SAFE_ROWS and len(lost) >= _SAFE_SHARE * len(look.pictures):
            logger.error(
                "%d rows of %s have no object; none is deleted: is it the right bucket?", len(lost), look.bucket
            )
            delete = False
        for start in range(0, len(lost), _PAGE):
            found = [await self._lost(space, row, delete, space != aim.space) for row in lost[start : start + _PAGE]]
            told = tuple(problem for problem in found if problem)
            meter.total += len(told)
            meter.add(sum(problem.mended for problem in told), sum(not problem.mended for problem in told))
            yield meter.report(told)

    def _right(self, row: Row) -> bool:
        return row.url == self._objects.url(row.bucket, row.key) and row.website == self._objects.website_of(row.bucket)

    async def _wrong_url(self, space: str, row: Row, mend: bool) -> Problem:
        url = self._objects.url(row.bucket, row.key)
        detail = f"the row says {row.url}"
        if mend:
            async with self._locks.hold(row.id):
                now = (await self._vectors.entries(space, [row.id])).get(row.id)
                mend = now is not None and now[0].key == row.key  # else it was deleted meanwhile, or sent again
                if now is not None and mend:
                    right = replace(now[0], url=url, website=self._objects.website_of(row.bucket))
                    await self._vectors.upsert(space, [(right, now[1])])
        return Problem(ProblemKind.WRONG_URL, url, row.id, mend, detail)

    async def _lost(self, space: str, row: Row, delete: bool, of_other_model: bool) -> Problem | None:
        """A row whose object was not listed. None when it is there after all: it was stored since, or the row went."""
        async with self._locks.hold(row.id):
            if await self._shelf.exists(row.bucket, row.key) or not await self._vectors.get(space, [row.id]):
                return None
            if delete:
                if row.original_key:
                    await self._objects.delete(row.bucket, row.original_key)
                await self._vectors.delete(space, [row.id])
        detail = "the row was deleted" if delete else "upload the picture again, or have such rows deleted"
        if of_other_model:
            detail = f"of the model {row.model_id}; {detail}"
        return Problem(
            ProblemKind.ROW_WITHOUT_OBJECT, self._objects.url(row.bucket, row.key), row.id, mended=delete, detail=detail
        )

    async def _pictures(
        self, aim: Aim, look: _Look, mend: frozenset[ProblemKind], meter: Meter
    ) -> AsyncGenerator[Report, None]:
        """What no row of today's model was seen of: embedded with another one, or not at all."""
        other = [found for key, found in look.unseen.items() if key in look.of_other_model]
        orphans = [found for key, found in look.unseen.items() if key not in look.of_other_model]
        for kind, pictures in ((ProblemKind.OTHER_MODEL, other), (ProblemKind.OBJECT_WITHOUT_ROW, orphans)):
            for start in range(0, len(pictures), _PAGE):
                page = pictures[start : start + _PAGE]
                since = await self._stored_since(aim, look.bucket, page)
                left = [found for found in page if found.key not in since]
                meter.add(len(page) - len(left))
                if kind in mend:
                    async with aclosing(self._mended(aim, kind, left, look, meter)) as reports:
                        async for report in reports:
                            yield report
                else:
                    problems = tuple(self._problem(kind, found, look) for found in left)
                    meter.add(0, len(problems))
                    yield meter.report(problems)

    async def _mended(
        self, aim: Aim, kind: ProblemKind, pictures: Sequence[Found], look: _Look, meter: Meter
    ) -> AsyncGenerator[Report, None]:
        async with aclosing(self._intake.run(aim, pictures)) as batches:
            async for taken in batches:
                failed = {problem.url for problem in taken.problems}
                urls = {self._objects.url(found.bucket, found.key): found for found in taken.batch}
                mended = tuple(
                    replace(self._problem(kind, found, look), mended=True, detail="")
                    for url, found in urls.items()
                    if url not in failed
                )
                meter.add(len(mended), len(taken.problems))
                yield meter.report(taken.problems + mended)

    def _problem(self, kind: ProblemKind, found: Found, look: _Look) -> Problem:
        other = kind is ProblemKind.OTHER_MODEL
        detail = "only another model's collection has it" if other else "no row knows this object"
        url = self._objects.url(found.bucket, found.key)
        return Problem(kind, url, look.of_other_model.get(found.key, ""), detail=detail)

    async def _stored_since(self, aim: Aim, bucket: str, page: Sequence[Found]) -> set[str]:
        keys = tuple(found.key for found in page)
        return {row.key for row in await self._vectors.find(aim.space, Filter(bucket=bucket, keys=keys), len(keys) * 2)}

    async def _finish_originals(self, bucket: str) -> None:
        """An upload of an exotic file may be cut off between the file and the JPEG that is shown for it."""
        shown = {found.key for found in await self._shelf.pictures(bucket)}
        claims = {claim.key: claim async for _, claim in self._claims.all(bucket)}
        for key, info in (await self._shelf.originals(bucket)).items():
            claim = claims.get(key)
            if key in shown or claim is None or claim.original_key != info.key:
                continue
            try:
                image = await self._shelf.read(bucket, key, info.key)
                jpeg = await self._reader.shown(image)
            except (errors.NotFound, errors.InvalidArgument):
                continue
            if jpeg is not None:
                await self._objects.put(bucket, key, jpeg, "image/jpeg")

    async def _left_originals(self, look: _Look) -> tuple[Problem, ...]:
        """Originals that no picture and no row belongs to. A picture stored since the listing is asked for again."""
        detail = "the file that a picture came as, and the picture is gone; it may be deleted"
        left = [
            info.key
            for key, info in (await self._shelf.originals(look.bucket)).items()
            if key not in look.pictures
            and info.key not in look.originals_with_row
            and not await self._shelf.exists(look.bucket, key)
        ]
        return tuple(
            Problem(ProblemKind.OBJECT_WITHOUT_ROW, self._objects.url(look.bucket, key), detail=detail) for key in left
        )

    async def _finish_claims(self, aim: Aim, look: _Look) -> None:
        """Drops claims of uploads that are finished, or were cut off before anything of the picture was stored."""
        async for row_id, claim in self._claims.all(look.bucket):
            made = datetime.fromtimestamp(claim.created / 1000, UTC)
            # With Milvus Lite there is no other process: whoever claimed before this one started is gone.
            before = self._process_started if self._vectors.embedded else self._clock() - _STALE
            async with self._locks.hold(row_id):
                stored = bool(await self._vectors.get(aim.space, [row_id]))
                empty = made < before and not await self._shelf.exists(look.bucket, claim.key)
                if stored or empty:
                    await self._claims.drop(look.bucket, row_id)
