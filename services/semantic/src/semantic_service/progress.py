"""How far a sync has come, for any number of followers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from servicekit import errors


@dataclass
class SyncRun:
    """A sync that runs, or has ended.

    Attributes:
        full: Every product is embedded again, changed or not.
        total: Records of the source; 0 while unknown.
        done: Products that are in the store as the source has them.
        failed: Records skipped.
        problems: A sentence per problem.
        error: What ended the sync; None while it runs and when it succeeded.
    """

    full: bool
    started: float = field(default_factory=time.monotonic)
    total: int = 0
    done: int = 0
    failed: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    problems: list[str] = field(default_factory=list)
    finished: bool = False
    error: errors.ServiceError | None = None
    _tick: asyncio.Event = field(default_factory=asyncio.Event)

    def report(self) -> None:
        """Wakes those who follow."""
        self._tick.set()
        self._tick = asyncio.Event()

    def begin_again(self) -> None:
        """Forgets what was counted, for a second try in the same run."""
        self.done = self.failed = self.added = self.changed = self.removed = 0
        self.problems.clear()

    def end(self, error: errors.ServiceError | None) -> None:
        """Ends the run; with an error when it failed."""
        self.error = error
        self.finished = True
        self.report()

    async def follow(self) -> AsyncIterator[None]:
        """Yields now, at each change and at the end; then raises what ended the sync, if anything."""
        while not self.finished:
            tick = self._tick
            yield
            await tick.wait()
        if self.error is not None:
            raise self.error
        yield

    async def ended(self) -> errors.ServiceError | None:
        """Waits for the end; gives what went wrong, if anything."""
        while not self.finished:
            await self._tick.wait()
        return self.error
