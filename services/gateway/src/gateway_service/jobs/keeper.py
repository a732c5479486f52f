"""What has to be looked after all the time: signs of life, what others left, what was never begun, what is old."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Protocol

from gateway_service.jobs import gauges
from gateway_service.jobs.ports import Engine, Store
from servicekit import errors

logger = logging.getLogger(__name__)

BEAT_SECONDS = 2.0
# A job is stored, then started; a process that dies between the two leaves one that waits for ever.
UNSTARTED_SECONDS = 10.0
PRUNE_SECONDS = 3600.0
# A job that runs while none of its workflows does was left by one that broke, such as over a database that failed.
IDLE_SECONDS = 60.0
# As often as metrics are fetched.
COUNT_SECONDS = 15.0


class Replicas(Protocol):
    """Signs of life of all processes."""

    async def beat(self) -> None:
        """Says that this process lives."""
        ...

    async def claim_dead(self, seconds: float) -> list[str]:
        """Names of replicas without a sign of life for so long; nobody else is given them meanwhile."""
        ...

    async def forget(self, name: str) -> None:
        """Removes a replica whose work was taken over."""
        ...

    async def leave(self) -> None:
        """Lets others take over at once."""
        ...


class Keeper:
    """Runs beside the jobs of an open engine.

    Args:
        takeover_seconds: A replica that says nothing for so long is dead.
        keep_days: Jobs that ended are deleted after so many days.
    """

    def __init__(
        self, store: Store, engine: Engine, replicas: Replicas, *, takeover_seconds: float, keep_days: float
    ) -> None:
        self._store = store
        self._engine = engine
        self._replicas = replicas
        self._takeover_seconds = takeover_seconds
        self._keep_seconds = keep_days * 86_400
        self._pruned = 0.0
        self._looked = 0.0
        self._counted = -COUNT_SECONDS
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Signs in, before anything is run, and begins to look after things."""
        await self._replicas.beat()
        self._task = asyncio.create_task(self._look_after())

    async def stop(self) -> None:
        """Looks after nothing any more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def leave(self) -> None:
        """Signs out; others may take over at once."""
        if self._task is not None:
            with contextlib.suppress(errors.ServiceError):
                await self._replicas.leave()

    async def _look_after(self) -> None:
        while True:
            try:
                await self._round()
            except errors.ServiceError as error:
                logger.warning("jobs cannot be looked after: %s", error.message)
            except Exception:
                # The next round may do better; without rounds nobody would take over anything.
                logger.exception("an unexpected error while looking after jobs")
            await asyncio.sleep(BEAT_SECONDS)

    async def _round(self) -> None:
        await self._replicas.beat()
        for name in await self._replicas.claim_dead(self._takeover_seconds):
            await self._engine.take_over([name])
            await self._replicas.forget(name)
        for job in await self._store.unstarted(UNSTARTED_SECONDS):
            await self._engine.start(job.id, job.attempt)
        await self._restart_idle()
        await self._count()
        if time.monotonic() - self._pruned > PRUNE_SECONDS or not self._pruned:
            self._pruned = time.monotonic()
            await self._engine.forget(await self._store.prune(time.time() - self._keep_seconds))

    async def _count(self) -> None:
        if time.monotonic() - self._counted < COUNT_SECONDS:
            return
        self._counted = time.monotonic()
        gauges.show(await self._store.unstarted(0.0), await self._store.running(0.0), time.time())

    async def _restart_idle(self) -> None:
        if time.monotonic() - self._looked < IDLE_SECONDS:
            return
        self._looked = time.monotonic()
        for job in await self._store.running(IDLE_SECONDS):
            if await self._engine.is_idle(job.id):
                logger.error("job %s was left by a part of it that broke; it goes on as a new attempt", job.id)
                reopened = await self._store.reopen(job.id, job.attempt)
                await self._engine.start(reopened.id, reopened.attempt)
