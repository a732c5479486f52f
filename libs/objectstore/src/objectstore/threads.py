"""Blocking calls in threads, with a deadline and a bound."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from servicekit import deadlines, errors

T = TypeVar("T")


class Threads:
    """A small pool for the blocking calls of one outside system."""

    def __init__(self, system: str, reason: str, workers: int, waiting: int, timeout: float) -> None:
        """``system`` names it in sentences, ``reason`` starts the reasons of errors, ``timeout`` is in seconds.

        At most ``workers`` calls run and ``waiting`` more wait; the rest is refused at once.
        """
        self._system, self._reason, self._timeout = system, reason, timeout
        self._bound = workers + waiting
        self._inside = 0
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix=reason.lower())

    async def run(self, work: Callable[[], T]) -> T:
        """The result of ``work``. Raises ``errors.Unavailable`` when it takes longer than the system may, and
        ``errors.DeadlineExceeded``, which nobody repeats, when it takes longer than the caller can wait.

        A call that timed out may still finish in its thread: only repeatable work belongs here.
        """
        limit = deadlines.shaved(self._timeout)
        if self._inside >= self._bound:
            raise errors.ResourceExhausted(
                f"too many calls wait for {self._system}; try again in a moment",
                reason=f"{self._reason}_BUSY",
                retry_after=1.0,
            )
        self._inside += 1
        try:
            async with asyncio.timeout(limit):
                context = contextvars.copy_context()
                return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: context.run(work))
        except TimeoutError as error:
            kind = errors.DeadlineExceeded if limit < self._timeout else errors.Unavailable
            raise kind(
                f"{self._system} did not answer within {limit:.1f} s; try again later",
                reason=f"{self._reason}_TIMEOUT",
            ) from error
        finally:
            self._inside -= 1

    def close(self) -> None:
        """Starts nothing more and does not wait."""
        self._pool.shutdown(wait=False, cancel_futures=True)
