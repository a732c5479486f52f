"""Places for requests at a time, with a bounded queue in front of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from copywriter_service.domain import TimeLeft
from servicekit import errors


class Slots:
    """Lets so many requests run at a time, and so many more wait.

    Args:
        places: Requests at a time.
        queue: Most that wait; further ones are refused.
        what: What is asked for, such as `copy`, in the words of the errors.
        reason: Start of the errors' reasons, such as `COPY`.
    """

    def __init__(self, places: int, queue: int, what: str, reason: str) -> None:
        self._places = asyncio.Semaphore(places)
        self._queue = queue
        self._waiting = 0
        self._what = what
        self._reason = reason

    @contextlib.asynccontextmanager
    async def place(self, time_left: TimeLeft) -> AsyncIterator[None]:
        """A place, waited for as long as somebody waits for its result.

        Raises:
            errors.ResourceExhausted: ..._QUEUE_FULL: too many wait already.
            errors.DeadlineExceeded: ..._QUEUE_SLOW: no place became free in time.
        """
        if self._waiting >= self._queue:
            raise errors.ResourceExhausted(
                f"too many requests for {self._what} wait; try again shortly",
                reason=f"{self._reason}_QUEUE_FULL",
                retry_after=5.0,
            )
        self._waiting += 1
        try:
            async with asyncio.timeout(max(0.0, time_left())):
                await self._places.acquire()
        except TimeoutError:
            raise errors.DeadlineExceeded(
                f"the provider of {self._what} is busy with earlier requests; try again",
                reason=f"{self._reason}_QUEUE_SLOW",
            ) from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._places.release()
