"""When the next request to a host may start."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable


class Pace:
    """One request at a time may start on a host, `delay` seconds apart, varied by `jitter` of it either way.

    Args:
        delay: seconds between two starts on one host.
        jitter: from 0 (exactly `delay`) to 1 (from nothing to twice as long).
    """

    def __init__(
        self,
        delay: float,
        jitter: float = 0.5,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: random.Random | None = None,
    ) -> None:
        self._delay = delay
        self._jitter = jitter
        self._clock = clock
        self._sleep = sleep
        self._chance = chance or random.Random()  # noqa: S311 - spreads requests, keeps no secret
        self._free_at: dict[str, float] = defaultdict(float)
        self._queues: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def turn(self, host: str, at_least: float = 0.0) -> None:
        """Waits for the host's next turn and takes it. `at_least` is the delay that robots.txt asks for."""
        async with self._queues[host]:
            # A pause may come while this waits, so the time is looked up again.
            while (left := self._free_at[host] - self._clock()) > 0:
                await self._sleep(left)
            spread = 1 + self._jitter * self._chance.uniform(-1, 1)
            self._free_at[host] = self._clock() + max(at_least, self._delay * spread)

    def pause(self, host: str, seconds: float) -> None:
        """Nothing starts on the host for so long: Retry-After."""
        self._free_at[host] = max(self._free_at[host], self._clock() + seconds)
