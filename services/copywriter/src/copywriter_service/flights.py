"""One flight per key: whatever many callers ask for at the same time is worked on once.

In a process, callers wait for the same task. Between processes and replicas, a lease in the database lets one of them
work; a holder that was killed loses it when it runs out, because nobody renews it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from copywriter_service.adapters.cache import Leases
from copywriter_service.domain import TimeLeft
from servicekit import errors

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Seconds that work goes on after its last caller has left: an answer that is being paid for is worth keeping.
GRACE_SECONDS = 20.0
# Pauses between looks at a lease that another replica holds, in seconds.
_FIRST_LOOK, _LONGEST_LOOK = 0.05, 0.5


class _Flight(Generic[T]):
    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self.task: asyncio.Task[T] | None = None
        self._until = 0.0

    def wait_until(self, moment: float) -> None:
        self._until = max(self._until, moment)

    def time_left(self) -> float:
        return max(0.0, self._until + GRACE_SECONDS - time.monotonic())


class Flights(Generic[T]):
    """Shares work between callers.

    Args:
        leases: Shared by all replicas.
        lease_seconds: After this time a holder that died is given up; a living one renews three times in it.
    """

    def __init__(self, leases: Leases, lease_seconds: float) -> None:
        self._leases = leases
        self._lease_seconds = lease_seconds
        self._flights: dict[str, _Flight[T]] = {}

    async def fly(self, key: str, fingerprint: str, work: Callable[[TimeLeft], Awaitable[T]], seconds: float) -> T:
        """The result of `work`, or that of an equal flight under way, or its error.

        A flight with the same key but another fingerprint is waited for, and then `work` runs: it finds what the
        other one stored.

        Args:
            key: What may be worked on once at a time.
            fingerprint: Equal for callers that want the same result.
            seconds: How long this caller waits.

        Raises:
            errors.DeadlineExceeded: COPY_SLOW: the work was not finished in time; it may go on without this caller.
            errors.ServiceError: Whatever `work` raised.
        """
        until = time.monotonic() + seconds
        while True:
            flight = self._flights.get(key)
            if flight is None:
                flight = self._start(key, fingerprint, work, until)
            flight.wait_until(until)
            assert flight.task is not None
            done, _ = await asyncio.wait({flight.task}, timeout=max(0.0, until - time.monotonic()))
            if not done:
                raise errors.DeadlineExceeded(
                    "the copy was not written in time; ask again, it may be ready soon", reason="COPY_SLOW"
                )
            if flight.task.cancelled():
                raise errors.Unavailable("the service is stopping; ask again", reason="NOT_READY", retry_after=1.0)
            if flight.fingerprint == fingerprint:
                return flight.task.result()

    async def close(self) -> None:
        """Ends all flights and gives their leases back."""
        tasks = [flight.task for flight in self._flights.values() if flight.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, key: str, fingerprint: str, work: Callable[[TimeLeft], Awaitable[T]], until: float) -> _Flight[T]:
        flight: _Flight[T] = _Flight(fingerprint)
        flight.wait_until(until)
        self._flights[key] = flight
        flight.task = asyncio.create_task(self._lead(key, flight, work), name="flight")
        flight.task.add_done_callback(lambda task: self._land(key, task))
        return flight

    def _land(self, key: str, task: asyncio.Task[T]) -> None:
        del self._flights[key]
        # Seen here, so that an error whose callers have all left is not reported as forgotten.
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.info("a copy flight failed: %s", getattr(error, "reason", type(error).__name__))

    async def _lead(self, key: str, flight: _Flight[T], work: Callable[[TimeLeft], Awaitable[T]]) -> T:
        holder = uuid.uuid4().hex
        await self._acquire(key, holder, flight.time_left)
        beat = asyncio.create_task(self._beat(key, holder), name="flight-lease")
        try:
            return await work(flight.time_left)
        finally:
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)
            with contextlib.suppress(errors.ServiceError):
                await asyncio.shield(self._leases.release(key, holder))

    async def _acquire(self, key: str, holder: str, time_left: TimeLeft) -> None:
        pause = _FIRST_LOOK
        while not await self._leases.acquire(key, holder, self._lease_seconds):
            if time_left() <= GRACE_SECONDS:
                raise errors.DeadlineExceeded(
                    "another replica is writing this copy and was not finished in time; ask again", reason="COPY_SLOW"
                )
            await asyncio.sleep(pause)
            pause = min(_LONGEST_LOOK, pause * 1.5)

    async def _beat(self, key: str, holder: str) -> None:
        """Renews the lease. A lost one is only told: the work goes on, at worst it is paid for twice."""
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            try:
                if not await self._leases.renew(key, holder, self._lease_seconds):
                    logger.warning("the lease of a copy flight was lost; another replica may write the same copy")
            except errors.ServiceError as error:
                logger.warning("the lease of a copy flight could not be renewed: %s", error.reason)
