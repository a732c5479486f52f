"""An engine of plain tasks: the same work, kept by nobody. For tests, and for an application that is opened without
its process: what runs ends with it, and the store says so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence

from gateway_service.jobs.ports import Tasks

logger = logging.getLogger(__name__)


class InlineEngine:
    """Runs workflows as tasks of this process.

    Args:
        per_job: Products of one job worked on at once.
        total: Products of all jobs worked on at once.
    """

    def __init__(self, *, per_job: int = 8, total: int = 16) -> None:
        self._per_job = per_job
        self._total = asyncio.Semaphore(total)
        self._mine: dict[str, asyncio.Semaphore] = {}
        self._tasks: Tasks | None = None
        self._running: dict[str, asyncio.Task[None]] = {}
        self._begun: set[str] = set()

    async def open(self, tasks: Tasks) -> None:
        """Takes what is to be run."""
        self._tasks = tasks

    async def start(self, job_id: str, attempt: int) -> None:
        """Starts an attempt, once."""
        self._run(f"{job_id}:{attempt}", self._work.start(self, job_id, attempt))

    async def children(self, job_id: str, attempt: int, positions: Sequence[int]) -> None:
        """Starts a product for each position, once."""
        for position in positions:
            self._run(f"{job_id}:{attempt}:{position}", self._product(job_id, attempt, position))

    async def finish(self, job_id: str, attempt: int) -> None:
        """Starts the finish of an attempt, once."""
        self._run(f"{job_id}:{attempt}:finish", self._work.finish(self, job_id, attempt))

    async def notify(self, job_id: str, attempt: int) -> None:
        """Starts the delivery of the webhook, once."""
        self._run(f"{job_id}:{attempt}:notify", self._work.notify(self, job_id, attempt))

    async def keep(self, name: str, step: Callable[[], Awaitable[str]]) -> str:
        """Runs the step."""
        return await step()

    async def sleep(self, seconds: float) -> None:
        """Sleeps."""
        await asyncio.sleep(seconds)

    async def take_over(self, replicas: Sequence[str]) -> None:
        """Nothing of theirs was kept."""

    async def is_idle(self, job_id: str) -> bool:
        """True where no task of the job runs."""
        return not any(name.startswith(f"{job_id}:") for name in self._running)

    async def forget(self, job_ids: Sequence[str]) -> None:
        """Nothing was kept."""

    async def close(self) -> None:
        """Ends what runs."""
        for task in list(self._running.values()):
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    @property
    def _work(self) -> Tasks:
        assert self._tasks is not None, "the engine was not opened"
        return self._tasks

    async def _product(self, job_id: str, attempt: int, position: int) -> None:
        # First the job's own bound: a large job then never fills the queue that all jobs share.
        mine = self._mine.setdefault(job_id, asyncio.Semaphore(self._per_job))
        async with mine, self._total:
            await self._work.product(self, job_id, attempt, position)

    def _run(self, name: str, work: Coroutine[None, None, None]) -> None:
        if name in self._begun:
            work.close()
            return
        self._begun.add(name)
        task = asyncio.get_running_loop().create_task(work)
        self._running[name] = task
        task.add_done_callback(lambda done: self._ended(name, done))

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        self._running.pop(name, None)
        if not task.cancelled() and task.exception() is not None:
            logger.error("a part of a job failed", exc_info=task.exception())
