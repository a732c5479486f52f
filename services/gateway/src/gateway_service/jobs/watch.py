"""Wakes who waits for a job when something happens to it in this process; other replicas' news come with the clock."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator


class Watch:
    """Events by job, kept only while somebody waits."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self.timings: dict[str, dict[str, float]] = {}
        """Seconds by service, for jobs whose request waits for them."""

    def tell(self, job_id: str) -> None:
        """Wakes all who wait for the job."""
        for event in self._waiting.get(job_id, ()):
            event.set()

    @contextlib.contextmanager
    def on(self, job_id: str) -> Iterator[asyncio.Event]:
        """An event that is set when something happened; whoever waits clears it."""
        event = asyncio.Event()
        self._waiting.setdefault(job_id, set()).add(event)
        try:
            yield event
        finally:
            self._waiting[job_id].discard(event)
            if not self._waiting[job_id]:
                del self._waiting[job_id]


async def woken(event: asyncio.Event, seconds: float) -> None:
    """Waits until the event is set, or for so long; clears it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    event.clear()
