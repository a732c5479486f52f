"""The catalogue in use: when it is taken over, and which state Filter works on."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Coroutine
from contextlib import suppress

from semantic_service.ports import ProductStore
from semantic_service.progress import SyncRun
from semantic_service.snapshot import Snapshot
from semantic_service.takeover import Takeover
from servicekit import errors

logger = logging.getLogger(__name__)

# After a failed sync: soon again, as the analyzer may just be starting, then ever later.
_FIRST_RETRY, _LONGEST_RETRY = 2.0, 300.0


class Catalogue:
    """Owner of the products; one sync at a time.

    Args:
        takeover: Does the work.
        store: Begun anew when it is damaged.
        empty: The snapshot until something is loaded.
        seconds: Time between syncs; 0: one at the start only.

    Attributes:
        snapshot: What Filter works on; replaced as a whole by each sync that succeeds.
        last_error: Why the last sync failed; empty when it did not.
    """

    def __init__(self, takeover: Takeover, store: ProductStore, empty: Snapshot, *, seconds: float) -> None:
        self._takeover = takeover
        self._store = store
        self._seconds = seconds
        self._running: SyncRun | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self.snapshot = empty
        self.last_error = ""

    @property
    def stale(self) -> bool:
        """True when the last sync failed and an earlier state answers."""
        return bool(self.last_error) and len(self.snapshot) > 0

    async def open(self) -> None:
        """Loads what the store holds and begins the schedule; a store that is down is no obstacle."""
        try:
            self.snapshot = await self._takeover.load()
        except errors.DataLoss as error:
            await self._start_over(error)
        except errors.ServiceError as error:
            self.last_error = error.message
            logger.warning("the stored catalogue could not be loaded: %s", error.message)
        self._spawn(self._keep_synced())

    async def close(self) -> None:
        """Ends the schedule and a running sync; what it has written stays for the next one."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def request_sync(self) -> None:
        """Asks for a sync soon; returns at once."""
        self._wake.set()

    async def sync(self, *, full: bool = False) -> SyncRun:
        """Begins a sync, or gives the one that runs; a full one waits for a lesser one to end."""
        while (running := self._running) is not None and not running.finished:
            if running.full or not full:
                return running
            await running.ended()
        run = self._running = SyncRun(full)
        self._spawn(self._run(run))
        return run

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        # A sync outlives the call that asked for it, so it must not inherit that call's deadline.
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep_synced(self) -> None:
        retry = _FIRST_RETRY
        while True:
            error = await (await self.sync()).ended()
            if error is None or isinstance(error, errors.FailedPrecondition):
                # Done, or nothing that waiting alone would mend.
                retry, pause = _FIRST_RETRY, self._seconds or None
            else:
                pause = min(retry, self._seconds or retry)
                retry = min(retry * 2, _LONGEST_RETRY)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)
            self._wake.clear()

    async def _run(self, run: SyncRun) -> None:
        error: errors.ServiceError | None = errors.Cancelled("the service is stopping")
        try:
            try:
                self.snapshot = await self._takeover.run(run, self.snapshot)
            except errors.DataLoss as damage:
                await self._start_over(damage)
                run.begin_again()
                self.snapshot = await self._takeover.run(run, self.snapshot)
            error = None
            logger.info(
                "catalogue taken over: %d products, %d added, %d changed, %d removed, %d skipped",
                len(self.snapshot), run.added, run.changed, run.removed, run.failed,
            )  # fmt: skip
        except errors.ServiceError as raised:
            error = raised
        except Exception:
            logger.exception("the sync failed")
            error = errors.Internal("the sync failed; the service's log says why")
        finally:
            self.last_error = error.message if error else ""
            if error is not None:
                level = logging.INFO if isinstance(error, errors.FailedPrecondition) else logging.WARNING
                logger.log(level, "no sync, the last good catalogue is kept: %s", error.message)
            run.end(error)

    async def _start_over(self, damage: errors.DataLoss) -> None:
        aside = await self._store.start_over()
        logger.error("the product store is damaged: %s; put aside as %s, to be rebuilt", damage.message, aside)
