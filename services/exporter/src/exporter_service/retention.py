"""Forgets the rows of old runs now and then, so that the database has a bound."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from exporter_service.adapters.runs import SqliteRuns
from servicekit import errors

logger = logging.getLogger(__name__)

_EVERY_SECONDS = 6 * 3600.0


class Retention:
    """Looks for old runs at start and every few hours; another process that does the same is no harm."""

    def __init__(self, runs: SqliteRuns, days: int, most: int) -> None:
        """Runs that nobody changed for `days` days are forgotten, and the oldest beyond `most`."""
        self._runs = runs
        self._days = days
        self._most = most
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts looking, in the running loop."""
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Stops looking."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _watch(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._runs.forget, self._days, self._most)
            except errors.Unavailable as error:
                logger.warning("old runs could not be forgotten: %s", error)
            await asyncio.sleep(_EVERY_SECONDS)
