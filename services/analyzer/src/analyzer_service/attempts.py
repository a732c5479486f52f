"""One call to a provider through the key pool: other keys, retries within a budget, errors that say what to do."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from analyzer_service.keypool import KeyPool, Lease
from analyzer_service.keys import ApiKey
from servicekit import deadlines, errors

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

# A call repeats at most this often after faults of the provider; after a timeout once, because each takes so long.
_MOST_FAULTS = 4
_MOST_TIMEOUTS = 2
# And at most this often beyond one attempt per key, whatever the provider answers.
_MOST_ATTEMPTS = 6
_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 8.0


class ProviderFailure(Exception):
    """A provider did not answer as hoped. Messages are for people and hold no secrets."""


class QuotaExceeded(ProviderFailure):
    """The quota is used up: for the day, or for `retry_after` seconds."""

    def __init__(self, message: str, *, retry_after: float | None, daily: bool) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.daily = daily


class KeyRefused(ProviderFailure):
    """The provider does not take the key."""


class TransientFailure(ProviderFailure):
    """An error of the provider's own, or no answer in time; another try may succeed."""

    def __init__(self, message: str, *, timeout: bool = False) -> None:
        super().__init__(message)
        self.timeout = timeout


class RetryBudget:
    """Retries may be a small share of calls: in a storm, repeating everything only adds load.

    Args:
        share: Retries earned by each call.
        most: Retries that can be saved up.
        start: Retries available at first, so that a single early fault is not fatal.
    """

    def __init__(self, share: float = 0.09, most: float = 10.0, start: float = 1.0) -> None:
        self._share = share
        self._most = most
        self._saved = start

    def earn(self) -> None:
        """Counts a call."""
        self._saved = min(self._most, self._saved + self._share)

    def spend(self) -> bool:
        """Takes one retry; False when there is none."""
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True


@dataclass
class _Course:
    """What happened to a call so far."""

    last: ProviderFailure | None = None
    faults: int = 0
    timeouts: int = 0


def _unknown(result: object) -> None:
    """The answer does not say how many tokens were read."""


class Caller:
    """Runs calls through a pool.

    Args:
        pool: The keys.
        timeout: Longest wait for one attempt, in seconds.
        budget: Shared by all calls to one provider.
        jitter: Gives a number between 0 and 1; injected in tests.
    """

    def __init__(
        self,
        pool: KeyPool,
        *,
        timeout: float,
        budget: RetryBudget | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.pool = pool
        self._timeout = timeout
        self._budget = budget or RetryBudget()
        self._jitter = jitter

    async def call(
        self,
        model: str,
        attempt: Callable[[ApiKey, float], Awaitable[Result]],
        *,
        tokens: int = 0,
        read: Callable[[Result], int | None] = _unknown,
    ) -> Result:
        """Runs `attempt(key, timeout in seconds)` with another key or again where that may help.

        Args:
            model: The model to ask.
            attempt: One request.
            tokens: How many tokens the model will read, about.
            read: Tokens that it did read, by its answer; None where it does not say.

        Raises:
            errors.ResourceExhausted, errors.Unavailable: As `KeyPool.acquire`; Unavailable also when the provider
                fails (PROVIDER_UNAVAILABLE).
            errors.DeadlineExceeded: The caller's deadline passed while the provider was asked (PROVIDER_TIMEOUT).
        """
        self._budget.earn()
        clock = self.pool.clock
        left = deadlines.remaining()
        end = None if left is None else clock.now() + left
        course = _Course()
        for _ in range(_MOST_ATTEMPTS + self.pool.size):
            lease = await self.pool.acquire(model, None if end is None else max(0.0, end - clock.now()), tokens)
            try:
                seconds = self._timeout if end is None else min(self._timeout, end - clock.now())
                if seconds <= 0:
                    break
                result = await attempt(lease.key, seconds)
                await lease.succeeded(read(result))
                return result
            except ProviderFailure as failure:
                await self._note(failure, lease, course)
            finally:
                lease.release()
            if isinstance(course.last, TransientFailure):
                pause = self._pause(course)
                if pause is None or (end is not None and clock.now() + pause >= end):
                    break
                await clock.sleep(pause)
        raise self._given_up(course.last, end)

    async def _note(self, failure: ProviderFailure, lease: Lease, course: _Course) -> None:
        course.last = failure
        if isinstance(failure, QuotaExceeded):
            await lease.rate_limited(failure.retry_after, daily=failure.daily)
        elif isinstance(failure, KeyRefused):
            lease.refused()
            logger.warning("the provider refuses key %s", lease.key.label)
        elif isinstance(failure, TransientFailure):
            lease.failed()
            course.faults += 1
            course.timeouts += failure.timeout

    def _pause(self, course: _Course) -> float | None:
        """Seconds to wait before a repetition; None where there shall be none."""
        if course.faults >= _MOST_FAULTS or course.timeouts >= _MOST_TIMEOUTS or not self._budget.spend():
            return None
        longest = min(_LONGEST_BACKOFF_SECONDS, _BACKOFF_SECONDS * 2.0 ** (course.faults - 1))
        return longest * (0.5 + self._jitter() / 2)

    def _given_up(self, last: ProviderFailure | None, end: float | None) -> errors.ServiceError:
        out_of_time = end is not None and self.pool.clock.now() >= end - 0.05
        if out_of_time and (last is None or (isinstance(last, TransientFailure) and last.timeout)):
            return errors.DeadlineExceeded(
                "the provider did not answer before the deadline; try again, or give the call more time",
                reason="PROVIDER_TIMEOUT",
            )
        if isinstance(last, QuotaExceeded):
            return errors.ResourceExhausted(
                "the provider's quota is used up", reason="PROVIDER_QUOTA", retry_after=last.retry_after
            )
        return errors.Unavailable(
            f"the provider failed: {last}; try again in a while", reason="PROVIDER_UNAVAILABLE", retry_after=5.0
        )
