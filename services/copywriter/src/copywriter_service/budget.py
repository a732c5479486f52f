"""A money limit that holds while several pictures are made at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from servicekit import errors


class Budget:
    """Lets a piece of work begin only while what is spent, under way and planned stays within the limit.

    Args:
        limit: Millionths of a rupee; None: no limit is kept, because nothing is known of prices.
        planned: What one piece of work may cost. Where one cost more, that is planned for the next ones.
    """

    def __init__(self, limit: int | None, planned: int) -> None:
        self._limit = limit
        self._planned = planned
        self._spent = 0
        self._under_way: list[int] = []
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def piece(self) -> AsyncIterator[Spending]:
        """Room for one piece of work, waited for while others may leave some.

        Raises:
            errors.ResourceExhausted: MONEY_LIMIT: there is none.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._fits() or not self._under_way)
            if not self._fits():
                raise errors.ResourceExhausted(
                    f"the money limit of this request leaves no room for another picture, which may cost "
                    f"{rupees(self._planned)}; raise max_inr_micros, or ask for fewer prompt_indexes",
                    reason="MONEY_LIMIT",
                )
            kept = self._planned
            self._under_way.append(kept)
        spending = Spending(kept)
        try:
            yield spending
        finally:
            async with self._changed:
                self._under_way.remove(kept)
                self._spent += spending.micros
                self._planned = max(self._planned, spending.micros)
                self._changed.notify_all()

    def _fits(self) -> bool:
        return self._limit is None or self._spent + sum(self._under_way) + self._planned <= self._limit


class Spending:
    """What one piece of work cost. Until it is told, everything that was planned counts as spent."""

    def __init__(self, planned: int) -> None:
        self.micros = planned

    def was(self, micros: int) -> None:
        """It cost this much."""
        self.micros = micros


def rupees(micros: int) -> str:
    """Millionths of a rupee for people."""
    return f"₹{micros / 1e6:.2f}"
