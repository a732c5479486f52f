"""How much of a provider's quota is used, and who may ask next.

A provider counts requests and tokens per project and model, by the minute and by the day. `Quota` keeps these counts
and decides, in one indivisible step, which group of keys may be asked; `MemoryQuota` keeps them in this process, and
`adapters.redis_quota` for several replicas together. Times are whole microseconds inside, so that both decide alike.
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

WINDOW_SECONDS = 60.0
# A request reaches the provider a moment after it was granted, some sooner than others; counting a little longer than a
# minute keeps two of them from falling into one of the provider's minutes.
SLACK_SECONDS = 1.0
# Daily quotas are renewed at midnight Pacific time. Standard time all year: in summer an hour late, never early.
RESET_OFFSET_SECONDS = 8 * 3600
DAY_SECONDS = 86_400
_MICRO = 1_000_000


class Clock(Protocol):
    """Time, injected so that tests need not wait."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        ...


class SystemClock:
    """The real time."""

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class QuotaStoreDown(Exception):
    """The store that replicas share does not answer. The message is for people and holds no secret."""


@dataclass(frozen=True)
class Limits:
    """What a project may ask of one model; None: no limit is known.

    Tokens are those that the model reads, which is what Gemini limits (ai.google.dev/gemini-api/docs/rate-limits).
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    requests_per_day: int | None = None
    tokens_per_day: int | None = None

    def __post_init__(self) -> None:
        """Refuses limits that let nothing pass."""
        if any(value is not None and value < 1 for value in self.values()):
            raise ValueError("a limit must be at least 1")

    def values(self) -> tuple[int | None, int | None, int | None, int | None]:
        """All four, in the order of the fields."""
        return self.requests_per_minute, self.tokens_per_minute, self.requests_per_day, self.tokens_per_day

    @property
    def counts_tokens(self) -> bool:
        """Whether tokens matter."""
        return self.tokens_per_minute is not None or self.tokens_per_day is not None

    def part(self, share: float) -> Limits:
        """A share of them, at least 1 each."""
        return Limits(*(None if value is None else max(1, int(value * share)) for value in self.values()))


@dataclass(frozen=True)
class Candidate:
    """A group that has a usable key."""

    group: str
    limits: Limits = Limits()


@dataclass(frozen=True)
class Standing:
    """How a group stands with one model.

    Attributes:
        group: its name.
        used, tokens: requests and tokens within the last minute.
        used_today, tokens_today: since the daily reset.
        wait: seconds until it may be asked; 0: now.
        parked: whether it waits for the daily reset.
    """

    group: str
    used: int
    tokens: int
    used_today: int
    tokens_today: int
    wait: float
    parked: bool


@dataclass(frozen=True)
class Grant:
    """Permission for one request, counted already.

    Attributes:
        group, model: whose quota it uses.
        receipt: names the entry in the counts.
        at: when it was given, in seconds since the epoch by the clock of the store.
        tokens: how many were counted for it.
    """

    group: str
    model: str
    receipt: str
    at: float
    tokens: int


@dataclass(frozen=True)
class Decision:
    """A grant, or none, and how all candidates stand (without the grant)."""

    grant: Grant | None
    standings: tuple[Standing, ...]


@dataclass(frozen=True)
class Spent:
    """A request that was granted elsewhere, `age` seconds ago."""

    receipt: str
    age: float
    tokens: int


class Quota(Protocol):
    """The counts. Every method is indivisible; a store that is down raises `QuotaStoreDown`."""

    async def take(self, model: str, candidates: Sequence[Candidate], tokens: int, *, commit: bool = True) -> Decision:
        """Grants a request to the least loaded group that is free.

        Load is the largest share used of any limit, then the number of requests, then who was asked longest ago. With
        `commit` False nothing is granted or counted; the decision only tells how the groups stand.
        """
        ...

    async def settle(self, grant: Grant, tokens: int) -> None:
        """Corrects the tokens of a grant to what the provider counted."""
        ...

    async def hold(self, group: str, model: str, seconds: float) -> None:
        """Lets a group wait: the provider said so."""
        ...

    async def park(self, group: str, model: str) -> None:
        """Lets a group wait until the daily reset."""
        ...

    async def charge(self, group: str, model: str, spent: Sequence[Spent]) -> None:
        """Counts requests that were granted elsewhere; those that are known already are left out."""
        ...

    async def close(self) -> None:
        """Ends connections."""
        ...


def micros(seconds: float) -> int:
    """Whole microseconds."""
    return round(seconds * _MICRO)


def next_reset(now: int) -> int:
    """Microseconds since the epoch at which daily quotas are renewed next."""
    return ((now - RESET_OFFSET_SECONDS * _MICRO) // (DAY_SECONDS * _MICRO) + 1) * DAY_SECONDS * _MICRO + (
        RESET_OFFSET_SECONDS * _MICRO
    )


@dataclass
class _Lane:
    """The counts of one group for one model. `log` holds (time, receipt), oldest first."""

    log: list[tuple[int, str]] = field(default_factory=list)
    tokens_of: dict[str, int] = field(default_factory=dict)
    tokens: int = 0
    hold_until: int = 0
    parked_until: int = 0
    day_ends: int = 0
    day_requests: int = 0
    day_tokens: int = 0
    last: int = 0

    def forget(self, now: int, window: int) -> None:
        """Leaves the last minute and the current day."""
        gone = bisect.bisect_right(self.log, now - window, key=lambda entry: entry[0])
        for _, receipt in self.log[:gone]:
            self.tokens -= self.tokens_of.pop(receipt)
        del self.log[:gone]
        if now >= self.day_ends:
            self.day_ends, self.day_requests, self.day_tokens = next_reset(now), 0, 0

    def free_at(self, limits: Limits, tokens: int, window: int) -> int:
        """When a request of so many tokens may be sent."""
        per_minute, tokens_per_minute, per_day, tokens_per_day = limits.values()
        free = max(self.hold_until, self.parked_until)
        if per_minute is not None and len(self.log) >= per_minute:
            free = max(free, self.log[-per_minute][0] + window)
        if tokens_per_minute is not None:
            # A request that is larger than the limit may pass when nothing else was sent.
            over = self.tokens + min(tokens, tokens_per_minute) - tokens_per_minute
            for at, receipt in self.log:
                if over <= 0:
                    break
                over -= self.tokens_of[receipt]
                free = max(free, at + window)
        if self._day_is_full(per_day, tokens_per_day, tokens):
            free = max(free, self.day_ends)
        return free

    def _day_is_full(self, per_day: int | None, tokens_per_day: int | None, tokens: int) -> bool:
        full = per_day is not None and self.day_requests >= per_day
        if tokens_per_day is None:
            return full
        return full or self.day_tokens + min(tokens, tokens_per_day) > tokens_per_day

    def load(self, limits: Limits) -> tuple[float, int, int]:
        """Who has less of it is asked first."""
        used = (len(self.log), self.tokens, self.day_requests, self.day_tokens)
        shares = [count / limit for count, limit in zip(used, limits.values(), strict=True) if limit is not None]
        return max(shares, default=0.0), len(self.log), self.last

    def add(self, at: int, receipt: str, tokens: int) -> None:
        """Counts a request."""
        bisect.insort(self.log, (at, receipt))
        self.tokens_of[receipt] = tokens
        self.tokens += tokens


class MemoryQuota:
    """The counts of this process.

    Args:
        clock: Time.
        window: Length of the provider's minute in seconds.
    """

    def __init__(self, clock: Clock | None = None, *, window: float = WINDOW_SECONDS + SLACK_SECONDS) -> None:
        self._clock = clock or SystemClock()
        self._window = micros(window)
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self._number = itertools.count(1)
        self._name = uuid.uuid4().hex[:8]

    async def take(self, model: str, candidates: Sequence[Candidate], tokens: int, *, commit: bool = True) -> Decision:
        """See `Quota.take`."""
        now = self._now()
        lanes = [self._lane(candidate.group, model, now) for candidate in candidates]
        free = [lane.free_at(entry.limits, tokens, self._window) for lane, entry in zip(lanes, candidates, strict=True)]
        standings = tuple(
            Standing(
                entry.group, len(lane.log), lane.tokens, lane.day_requests, lane.day_tokens,
                max(0, at - now) / _MICRO, at > now and at >= lane.day_ends,
            )
            for entry, lane, at in zip(candidates, lanes, free, strict=True)
        )  # fmt: skip
        ready = [index for index, at in enumerate(free) if at <= now]
        if not ready or not commit:
            return Decision(None, standings)
        best = min(ready, key=lambda index: (*lanes[index].load(candidates[index].limits), index))
        lane, receipt = lanes[best], f"{self._name}-{next(self._number)}"
        lane.add(now, receipt, tokens)
        lane.day_requests += 1
        lane.day_tokens += tokens
        lane.last = now
        return Decision(Grant(candidates[best].group, model, receipt, now / _MICRO, tokens), standings)

    async def settle(self, grant: Grant, tokens: int) -> None:
        """See `Quota.settle`."""
        lane = self._lane(grant.group, grant.model, self._now())
        if next_reset(micros(grant.at)) == lane.day_ends:
            lane.day_tokens += tokens - grant.tokens
        if grant.receipt in lane.tokens_of:
            lane.tokens += tokens - lane.tokens_of[grant.receipt]
            lane.tokens_of[grant.receipt] = tokens

    async def hold(self, group: str, model: str, seconds: float) -> None:
        """See `Quota.hold`."""
        now = self._now()
        lane = self._lane(group, model, now)
        lane.hold_until = max(lane.hold_until, now + micros(seconds))

    async def park(self, group: str, model: str) -> None:
        """See `Quota.park`."""
        now = self._now()
        self._lane(group, model, now).parked_until = next_reset(now)

    async def charge(self, group: str, model: str, spent: Sequence[Spent]) -> None:
        """See `Quota.charge`."""
        now = self._now()
        lane = self._lane(group, model, now)
        for item in spent:
            at = now - micros(item.age)
            if item.receipt in lane.tokens_of:
                continue
            if next_reset(at) == lane.day_ends:
                lane.day_requests += 1
                lane.day_tokens += item.tokens
            if at > now - self._window:
                lane.add(at, item.receipt, item.tokens)

    async def close(self) -> None:
        """There is nothing to end."""

    def _now(self) -> int:
        return micros(self._clock.now())

    def _lane(self, group: str, model: str, now: int) -> _Lane:
        lane = self._lanes.setdefault((group, model), _Lane())
        lane.forget(now, self._window)
        return lane
