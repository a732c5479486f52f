"""Embeds the stored pictures again, from their objects, and goes on where a crash stopped it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from objectstore import ObjectStore
from servicekit import errors
from vision_index_service.intake import Aim, Intake, patiently
from vision_index_service.model import VectorStore
from vision_index_service.progress import Meter, Report
from vision_index_service.shelf import Found, Shelf

logger = logging.getLogger(__name__)


class Gate:
    """Lets one long work through at a time, so that a re-index and a repair do not do the same twice."""

    def __init__(self) -> None:
        self._inside = ""

    @asynccontextmanager
    async def only(self, what: str) -> AsyncIterator[None]:
        """Raises ``errors.Aborted`` while another one is inside."""
        if self._inside:
            raise errors.Aborted(
                f"{self._inside} is under way; wait until it has ended", reason="MAINTENANCE_RUNNING", retry_after=30.0
            )
        self._inside = what
        try:
            yield
        finally:
            self._inside = ""


@dataclass(frozen=True)
class _Plan:
    """What is left to do for one bucket; ``done`` and ``failed`` are of an earlier run that was cut off."""

    bucket: str
    pictures: list[Found]
    done: int
    failed: int


class Reindex:
    """Writes rows of the buckets it lists, and no others; deletes none."""

    def __init__(self, intake: Intake, vectors: VectorStore, objects: ObjectStore, gate: Gate) -> None:
        """``gate`` is shared with other long work."""
        self._intake, self._vectors, self._objects, self._gate = intake, vectors, objects, gate
        self._shelf = Shelf(objects)

    async def run(self, website: str = "", restart: bool = False) -> AsyncGenerator[Report, None]:
        """Embeds every picture of a website, or of all, again; a report after each batch.

        After each batch the last key is noted beside the rows, so that the next run goes on there unless it is
        told to ``restart``. Raises as ``Intake.run``, and ``errors.Aborted`` while other long work runs.
        """
        buckets = [self._objects.bucket_for(website)] if website else list(self._objects.websites.values())
        async with self._gate.only("a re-index"):
            aim = await patiently(self._intake.aim)
            plans = [await self._patient_plan(aim, bucket, restart) for bucket in buckets]
            meter = Meter(
                total=sum(len(plan.pictures) + plan.done + plan.failed for plan in plans),
                done=sum(plan.done for plan in plans),
                failed=sum(plan.failed for plan in plans),
            )
            logger.info("re-index of %s: %d pictures", ", ".join(buckets), meter.total)
            yield meter.report()
            for plan in plans:
                async with aclosing(self._bucket(aim, plan, meter)) as reports:
                    async for report in reports:
                        yield report
            # Kept until all are finished: a run that is cut off in the second bucket does not start with the first.
            for bucket in buckets:
                await self._set(aim, bucket, None)
            logger.info("re-index of %s is finished", ", ".join(buckets))

    async def _bucket(self, aim: Aim, plan: _Plan, meter: Meter) -> AsyncGenerator[Report, None]:
        failed = plan.failed
        async with aclosing(self._intake.run(aim, plan.pictures)) as batches:
            async for taken in batches:
                failed += len(taken.problems)
                await self._set(aim, plan.bucket, {"after": taken.batch[-1].key, "failed": failed})
                meter.add(len(taken.batch) - len(taken.problems), len(taken.problems))
                yield meter.report(taken.problems)

    async def _set(self, aim: Aim, bucket: str, state: dict[str, object] | None) -> None:
        await patiently(lambda: self._vectors.set_note(_note(aim, bucket), state))

    async def _patient_plan(self, aim: Aim, bucket: str, restart: bool) -> _Plan:
        return await patiently(lambda: self._plan(aim, bucket, restart))

    async def _plan(self, aim: Aim, bucket: str, restart: bool) -> _Plan:
        pictures, state = await asyncio.gather(
            self._shelf.pictures(bucket), self._vectors.note(_note(aim, bucket)) if not restart else _nothing()
        )
        if not state:
            return _Plan(bucket, pictures, 0, 0)
        after, failed = str(state["after"]), int(str(state["failed"]))
        left = [found for found in pictures if found.key > after]
        behind = len(pictures) - len(left)
        logger.info("going on in %s after %d pictures", bucket, behind)
        return _Plan(bucket, left, max(0, behind - failed), min(failed, behind))


def _note(aim: Aim, bucket: str) -> str:
    return f"reindex/{aim.space}/{bucket}"


async def _nothing() -> None:
    return None
