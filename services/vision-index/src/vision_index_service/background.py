"""Long work that the configuration asks for after the start, while the service already serves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from servicekit import errors
from vision_index_service.progress import Report
from vision_index_service.reindex import Reindex
from vision_index_service.repair import MEND_AND_DELETE, OTHER_MODEL_ONLY, Repair

logger = logging.getLogger(__name__)
_RETRY_S = 30.0
_TELL_EVERY_S = 30.0


@dataclass(frozen=True)
class Wishes:
    """What to do after the start."""

    clean_orphans: bool = False
    reindex: bool = False
    embed_other_model: bool = False


NO_WISHES = Wishes()


class Background:
    """One task that does one wish after the other, and each again until it went through."""

    def __init__(self, reindex: Reindex, repair: Repair, wishes: Wishes, retry_seconds: float = _RETRY_S) -> None:
        """``retry_seconds``: the wait after something behind stayed away."""
        self._reindex, self._repair, self._wishes, self._retry = reindex, repair, wishes, retry_seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins, and returns at once."""
        self._task = asyncio.create_task(self._run())

    async def done(self) -> None:
        """Waits until everything went through."""
        if self._task is not None:
            await self._task

    async def stop(self) -> None:
        """Ends it where it is; a re-index goes on there the next time."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        if self._wishes.clean_orphans:
            await self._until_done("repair", lambda: self._repair.run("", MEND_AND_DELETE, careful=True))
        if self._wishes.reindex:
            await self._until_done("re-index", self._reindex.run)
        elif self._wishes.embed_other_model:
            await self._until_done("embedding after a change of model", self._other_model)

    async def _other_model(self) -> AsyncIterator[Report]:
        if await self._repair.has_other_models():
            async for report in self._repair.run("", OTHER_MODEL_ONLY):
                yield report

    async def _until_done(self, what: str, work: Callable[[], AsyncIterator[Report]]) -> None:
        while True:
            try:
                await self._follow(what, work())
                return
            except errors.ServiceError as error:
                logger.warning("%s: %s; trying again in %.0f s", what, error.message, self._retry)
            except Exception:
                # A fault of our own in work that nobody waits for must not end the service.
                logger.exception("%s failed", what)
                return
            await asyncio.sleep(self._retry)

    async def _follow(self, what: str, reports: AsyncIterator[Report]) -> None:
        loop = asyncio.get_running_loop()
        told = loop.time()
        last: Report | None = None
        problems = 0
        async for report in reports:
            last = report
            problems += len(report.problems)
            for problem in report.problems:
                if not problem.mended:
                    logger.warning("%s: %s %s %s", what, problem.kind.name, problem.url, problem.detail)
            if loop.time() - told >= _TELL_EVERY_S:
                told = loop.time()
                logger.info(
                    "%s: %d of %d, %.1f/s", what, report.progress.done, report.progress.total, report.progress.rate
                )
        if last is not None:
            logger.info(
                "%s: finished, %d of %d well, %d problems", what, last.progress.done, last.progress.total, problems
            )
