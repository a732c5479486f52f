"""The one place where requests to the provider are repeated: within the caller's time and a budget."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from copywriter_service.domain import TimeLeft
from servicekit import errors

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Not worth beginning a request with less; seconds.
LEAST_SECONDS = 0.05


@dataclass(frozen=True)
class RetryPolicy:
    """How often and when; times in seconds.

    Attributes:
        attempts: Requests in all.
        attempt_seconds: Longest wait for one answer.
        longest_wait: Longest pause before a repetition; a provider that asks for more is not waited for.
    """

    attempts: int = 3
    attempt_seconds: float = 45.0
    first_wait: float = 0.5
    longest_wait: float = 5.0


class Failure(Exception):
    """A request that failed.

    Args:
        error: What the caller gets when nobody tries again.
        again: Whether a repetition may help.
        pause: Seconds for which nobody should ask this provider; None: no pause.
    """

    def __init__(self, error: errors.ServiceError, *, again: bool, pause: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.again = again
        self.pause = pause


class Retries:
    """Runs requests with repetitions. One per provider account: quota and key are shared by all requests.

    The budget is that of gRPC's retry throttling: each failure that may be repeated takes a token, each success gives
    back a tenth, and nothing is repeated while half of the tokens are gone, because then repetitions only add load.
    """

    TOKENS = 10.0

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._tokens = self.TOKENS
        self._closed_until = 0.0
        self._closed_by: errors.ServiceError | None = None

    async def run(self, attempt: Callable[[float], Awaitable[T]], time_left: TimeLeft) -> T:
        """Calls `attempt` with the seconds it may take until it succeeds.

        Raises:
            errors.ServiceError: Of the last failure, or of the pause that an earlier one began.
            errors.DeadlineExceeded: The callers' time is over.
        """
        for number in range(1, self._policy.attempts + 1):
            await self._wait_while_closed(time_left)
            left = time_left()
            if left < LEAST_SECONDS:
                raise errors.DeadlineExceeded("no time was left to ask the provider", reason="PROVIDER_TIMEOUT")
            try:
                result = await attempt(min(self._policy.attempt_seconds, left))
            except Failure as failure:
                await self._after(failure, number, time_left)
            else:
                self._tokens = min(self.TOKENS, self._tokens + 0.1)
                return result
        raise AssertionError("the last attempt either returns or raises")

    async def _wait_while_closed(self, time_left: TimeLeft) -> None:
        wait = self._closed_until - time.monotonic()
        if wait <= 0 or self._closed_by is None:
            return
        if wait > min(self._policy.longest_wait, time_left()) or isinstance(self._closed_by, errors.Unavailable):
            closed = self._closed_by
            raise type(closed)(closed.message, reason=closed.reason, retry_after=wait)
        await asyncio.sleep(wait)

    async def _after(self, failure: Failure, number: int, time_left: TimeLeft) -> None:
        """Waits before the next attempt, or raises."""
        error = failure.error
        if failure.pause:
            self._closed_until = time.monotonic() + failure.pause
            self._closed_by = error
        if failure.again:
            # A refused picture says nothing about how the provider is.
            self._tokens = max(0.0, self._tokens - 1)
        if error.reason == "PROVIDER_TIMEOUT" and time_left() < LEAST_SECONDS:
            raise errors.DeadlineExceeded(error.message, reason=error.reason) from None
        wait = error.retry_after
        if wait is None:
            # Jitter, so that replicas that failed together do not come back together.
            jitter = random.uniform(0.5, 1.0)  # noqa: S311  # no secret depends on it
            wait = jitter * min(self._policy.longest_wait, self._policy.first_wait * 2 ** (number - 1))
        spent = self._tokens < self.TOKENS / 2
        if not failure.again or spent or number == self._policy.attempts:
            raise error from None
        if wait > self._policy.longest_wait or wait + LEAST_SECONDS > time_left():
            raise error from None
        logger.info("asking the provider again in %.1f s: %s", wait, error.reason)
        await asyncio.sleep(wait)
