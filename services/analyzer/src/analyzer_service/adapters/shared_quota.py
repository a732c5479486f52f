"""Counts that replicas share, with those of this process to fall back on."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from analyzer_service.quota import Candidate, Clock, Decision, Grant, Quota, QuotaStoreDown, Spent, SystemClock

logger = logging.getLogger(__name__)
# A store that did not answer is left alone for this long.
_REST_SECONDS = 5.0
# Grants of an outage that are told to the store when it is back; older ones count no more, except for the day.
_MOST_OWED = 20_000
_OWED_AT_ONCE = 500


class Counting(Enum):
    """Who counts."""

    TOGETHER = "replicas count together in Redis"
    CUT_OFF = "Redis does not answer: each replica counts for itself, with its share of the limits"


@dataclass(frozen=True)
class _Owed:
    grant: Grant
    tokens: int


class SharedQuota:
    """See `analyzer_service.quota.Quota`; never raises `QuotaStoreDown`.

    While the shared store answers it decides, and the counts of this process follow. While it does not, this process
    decides by its own counts, with a share of every limit; what it granted is told to the store when it answers again.

    Args:
        shared: The store of all replicas.
        own: The counts of this process.
        share: Part of each limit that this replica takes while it is cut off, above 0 and at most 1. One divided by the
            number of replicas is never too much.
        clock: Time.
    """

    def __init__(self, shared: Quota, own: Quota, *, share: float, clock: Clock | None = None) -> None:
        self._shared = shared
        self._own = own
        self._share = share
        self._clock = clock or SystemClock()
        self._again_at: float | None = None
        self._owed: deque[_Owed] = deque(maxlen=_MOST_OWED)

    @property
    def counting(self) -> Counting:
        """Who counts now."""
        return Counting.TOGETHER if self._again_at is None else Counting.CUT_OFF

    async def take(self, model: str, candidates: Sequence[Candidate], tokens: int, *, commit: bool = True) -> Decision:
        """See `Quota.take`."""
        if self._may_ask():
            try:
                await self._tell_owed()
                decision = await self._shared.take(model, candidates, tokens, commit=commit)
            except QuotaStoreDown as error:
                self._down(error)
            else:
                self._up()
                grant = decision.grant
                if grant is not None:
                    await self._own.charge(grant.group, model, [Spent(grant.receipt, 0.0, tokens)])
                return decision
        shares = [replace(candidate, limits=candidate.limits.part(self._share)) for candidate in candidates]
        decision = await self._own.take(model, shares, tokens, commit=commit)
        if decision.grant is not None:
            self._owed.append(_Owed(decision.grant, tokens))
        return decision

    async def settle(self, grant: Grant, tokens: int) -> None:
        """See `Quota.settle`."""
        await self._own.settle(grant, tokens)
        for number, owed in enumerate(self._owed):
            if owed.grant.receipt == grant.receipt:
                self._owed[number] = _Owed(grant, tokens)
                return
        await self._tell(lambda: self._shared.settle(grant, tokens))

    async def hold(self, group: str, model: str, seconds: float) -> None:
        """See `Quota.hold`."""
        await self._own.hold(group, model, seconds)
        await self._tell(lambda: self._shared.hold(group, model, seconds))

    async def park(self, group: str, model: str) -> None:
        """See `Quota.park`."""
        await self._own.park(group, model)
        await self._tell(lambda: self._shared.park(group, model))

    async def charge(self, group: str, model: str, spent: Sequence[Spent]) -> None:
        """See `Quota.charge`."""
        await self._own.charge(group, model, spent)
        await self._tell(lambda: self._shared.charge(group, model, spent))

    async def close(self) -> None:
        """Ends the connections of the store."""
        await self._shared.close()

    def _may_ask(self) -> bool:
        if self._again_at is None:
            return True
        if self._clock.now() < self._again_at:
            return False
        # One call tries; the others of this moment do not wait for it.
        self._again_at = self._clock.now() + _REST_SECONDS
        return True

    async def _tell(self, change: Callable[[], Awaitable[None]]) -> None:
        """Changes the store where it answers; what it misses it learns from the provider's refusals."""
        if self._again_at is not None:
            return
        try:
            await change()
        except QuotaStoreDown as error:
            self._down(error)

    async def _tell_owed(self) -> None:
        while self._owed:
            first = self._owed[0].grant
            now = self._clock.now()
            batch = [
                owed for owed in list(self._owed)[:_OWED_AT_ONCE]
                if (owed.grant.group, owed.grant.model) == (first.group, first.model)
            ]  # fmt: skip
            spent = [Spent(owed.grant.receipt, max(0.0, now - owed.grant.at), owed.tokens) for owed in batch]
            await self._shared.charge(first.group, first.model, spent)
            told = {owed.grant.receipt for owed in batch}
            self._owed = deque((owed for owed in self._owed if owed.grant.receipt not in told), maxlen=_MOST_OWED)

    def _down(self, error: QuotaStoreDown) -> None:
        if self._again_at is None:
            logger.warning("%s: this replica counts for itself, with %.0f%% of the limits", error, self._share * 100)
        self._again_at = self._clock.now() + _REST_SECONDS

    def _up(self) -> None:
        if self._again_at is not None:
            logger.info("Redis answers again: replicas count together")
        self._again_at = None
