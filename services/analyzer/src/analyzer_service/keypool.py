"""API keys that share quotas, and who may use one now.

Quota belongs to a project, not to a key: keys come in groups, and a group's quota is counted per model, because the
provider counts it so (see `quota`). The pool hands out the least loaded group, lets calls wait in the order in which
they came when all groups wait, and leaves alone what the provider refused. It knows no provider, and never shows a key.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from analyzer_service.keys import ApiKey
from analyzer_service.quota import (
    WINDOW_SECONDS,
    Candidate,
    Clock,
    Grant,
    Limits,
    MemoryQuota,
    Quota,
    Standing,
    SystemClock,
)
from servicekit import errors, telemetry

# Wait after a refusal that does not say how long.
_DEFAULT_WAIT_SECONDS = 10.0
_LEAST_WAIT_SECONDS = 0.5
# Longest wait for a group where the caller gave no deadline.
_LONGEST_WAIT_SECONDS = 60.0
# Who waits looks again after this time at the latest: another replica may have given something back.
_LONGEST_NAP_SECONDS = 2.0
# A key that is refused again and again is left alone for twice as long each time, up to this.
_LONGEST_QUARANTINE_SECONDS = 1800.0


@dataclass(frozen=True)
class GroupState:
    """How a group stands.

    Attributes:
        label: name of the group.
        keys, quarantined: how many keys it has, and how many of them the provider refused.
        used: requests within the last minute, all models together, by every replica that shares the counts.
        parked: whether a daily quota is used up.
        wait: seconds until the group may be asked again for every model; 0: now.
        waiting: calls of this process that wait for this group.
        errors: what went wrong with the group in this process, by kind: "rate_limited", "parked", "refused", "failed".
    """

    label: str
    keys: int
    quarantined: int
    used: int
    parked: bool
    wait: float
    waiting: int = 0
    errors: dict[str, int] = field(default_factory=dict)


@dataclass
class _Key:
    key: ApiKey
    refused_until: float = 0.0
    refusals: int = 0
    last_used: int = 0


@dataclass
class _Line:
    """Calls that wait for one model, in the order in which they came; the first looks for a free group.

    `group` and `free_at` say which group frees first and when, while the first in line waits for it.
    """

    places: list[asyncio.Event] = field(default_factory=list)
    group: str = ""
    free_at: float = 0.0

    @contextmanager
    def place(self) -> Iterator[asyncio.Event]:
        """A place at the end; the event tells that it has become the first."""
        mine = asyncio.Event()
        self.places.append(mine)
        self.places[0].set()
        try:
            yield mine
        finally:
            self.places.remove(mine)
            if self.places:
                self.places[0].set()


class Lease:
    """Permission for one request. Tell it how the request went, and release it."""

    def __init__(self, pool: KeyPool, key: _Key, grant: Grant) -> None:
        self._pool = pool
        self._key = key
        self._grant = grant
        self._released = False
        self.key = key.key

    @property
    def receipt(self) -> str:
        """Names the request in the counts."""
        return self._grant.receipt

    @property
    def granted_at(self) -> float:
        """When it was given, in seconds since the epoch by the clock of the counts."""
        return self._grant.at

    async def rate_limited(self, retry_after: float | None, *, daily: bool) -> None:
        """The provider said that the quota is used up."""
        await self._pool._rate_limited(self._grant, retry_after, daily=daily)

    def refused(self) -> None:
        """The provider does not take this key."""
        self._pool._refused(self._key)

    def failed(self) -> None:
        """The provider failed, or did not answer."""
        self._pool._count(self.key.group, "failed")

    async def succeeded(self, tokens: int | None = None) -> None:
        """The provider answered, and read so many tokens."""
        self._key.refusals = 0
        if tokens is not None and tokens != self._grant.tokens:
            await self._pool._settle(self._grant, tokens)

    def release(self) -> None:
        """Makes room for another request; the second time does nothing."""
        if not self._released:
            self._released = True
            self._pool._release()


def no_limits(group: str, model: str) -> Limits:
    """What is known of a quota when nothing is configured: only the provider's own refusals teach."""
    return Limits()


class KeyPool:
    """Keys in groups.

    Args:
        keys: At least one.
        limits: Limits of a group for a model.
        quota: The counts; this process's own by default.
        quarantine_seconds: How long a refused key is left alone before it is tried again; twice as long each time.
        max_in_flight: Requests at once, all models together.
        max_waiting: Calls that may wait for one model; more are refused.
        clock: Time.
    """

    def __init__(
        self,
        keys: Sequence[ApiKey],
        *,
        limits: Callable[[str, str], Limits] = no_limits,
        quota: Quota | None = None,
        quarantine_seconds: float = 30.0,
        max_in_flight: int = 1000,
        max_waiting: int = 1000,
        clock: Clock | None = None,
    ) -> None:
        if not keys:
            raise ValueError("a key pool needs at least one key")
        self.clock = clock or SystemClock()
        self.quota = quota or MemoryQuota(self.clock)
        self._limits = limits
        self._quarantine = quarantine_seconds
        self._most_waiting = max_waiting
        self._slots = asyncio.Semaphore(max_in_flight)
        self._groups: dict[str, list[_Key]] = {}
        for key in keys:
            self._groups.setdefault(key.group, []).append(_Key(key))
        self._lines: dict[str, _Line] = {}
        self._used = 0
        self._in_flight = 0
        # The latest standings by group and model, with the time they were told at.
        self._latest: dict[tuple[str, str], tuple[float, Standing]] = {}
        self._errors: dict[str, Counter[str]] = {group: Counter() for group in self._groups}
        self._events = telemetry.meter("jewelry.analyzer").create_counter(
            "jewelry_key_pool_events", description="Leases, waits, parkings and refusals per group of keys."
        )

    @property
    def size(self) -> int:
        """Number of keys."""
        return sum(len(keys) for keys in self._groups.values())

    @property
    def in_flight(self) -> int:
        """Leases that are not released."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """Calls that wait for a lease, or look for one."""
        return sum(len(line.places) for line in self._lines.values())

    async def acquire(self, model: str, timeout: float | None, tokens: int = 0) -> Lease:
        """Waits for a group that may be asked for `model`.

        Args:
            model: The model to ask; quotas are counted per model.
            timeout: Seconds that may pass; None: as long as a minute's quota takes to renew.
            tokens: How many tokens the model will read, about.

        Raises:
            errors.ResourceExhausted: No group frees in time, or too many calls wait (PROVIDER_QUOTA); `retry_after`
                says when a group frees. PROVIDER_BUSY: too many requests are under way.
            errors.Unavailable: The provider refuses every key (PROVIDER_KEYS_REFUSED).
        """
        now = self.clock.now()
        deadline = now + (_LONGEST_WAIT_SECONDS if timeout is None else timeout)
        line = self._lines.setdefault(model, _Line())
        if line.places and (line.free_at > deadline or len(line.places) >= self._most_waiting):
            raise self._exhausted(line.group, line.free_at - now)
        with line.place() as turn:
            if not turn.is_set() and not await self._comes(turn, deadline):
                raise self._exhausted(line.group, line.free_at - self.clock.now())
            return await self._first_free(line, model, deadline, tokens)

    async def states(self) -> list[GroupState]:
        """How each group stands now."""
        for model in list(self._lines):
            candidates = [Candidate(group, self._limits(group, model)) for group in self._groups]
            self._keep(model, (await self.quota.take(model, candidates, 0, commit=False)).standings)
        return self.snapshot()

    def snapshot(self) -> list[GroupState]:
        """How each group stood when it was last asked for, without asking a store."""
        now = self.clock.now()
        return [self._state(group, keys, now) for group, keys in self._groups.items()]

    async def close(self) -> None:
        """Ends what the counts need."""
        await self.quota.close()

    async def _comes(self, turn: asyncio.Event, deadline: float) -> bool:
        """Waits for an event until the deadline; False when it did not come."""
        coming = asyncio.ensure_future(turn.wait())
        nap = asyncio.ensure_future(self.clock.sleep(max(0.0, deadline - self.clock.now())))
        try:
            await asyncio.wait({coming, nap}, return_when=asyncio.FIRST_COMPLETED)
            return turn.is_set()
        finally:
            coming.cancel()
            nap.cancel()

    async def _first_free(self, line: _Line, model: str, deadline: float, tokens: int) -> Lease:
        while True:
            candidates = self._candidates(model)
            lease, standings = await self._try(model, candidates, deadline, tokens)
            if lease is not None:
                line.group, line.free_at = "", 0.0
                return lease
            first = min(standings, key=lambda standing: standing.wait)
            now = self.clock.now()
            line.group, line.free_at = first.group, now + first.wait
            if line.free_at > deadline:
                raise self._exhausted(first.group, first.wait)
            self._events.add(1, {"group": first.group, "event": "wait"})
            await self.clock.sleep(min(max(first.wait, 0.001), _LONGEST_NAP_SECONDS))

    def _candidates(self, model: str) -> list[Candidate]:
        now = self.clock.now()
        usable = [group for group, keys in self._groups.items() if any(key.refused_until <= now for key in keys)]
        if not usable:
            raise self._all_refused(now)
        return [Candidate(group, self._limits(group, model)) for group in usable]

    async def _try(
        self, model: str, candidates: Sequence[Candidate], deadline: float, tokens: int
    ) -> tuple[Lease | None, Sequence[Standing]]:
        """A lease where a group is free, and how the groups stand. Who only waits holds no slot."""
        try:
            async with asyncio.timeout(max(0.0, deadline - self.clock.now()) if self._slots.locked() else None):
                await self._slots.acquire()
        except TimeoutError:
            raise errors.ResourceExhausted(
                "too many requests to the provider are under way; try again in a moment",
                reason="PROVIDER_BUSY",
                retry_after=1.0,
            ) from None
        self._in_flight += 1
        granted = False
        try:
            decision = await self.quota.take(model, candidates, tokens)
            granted = decision.grant is not None
        finally:
            if not granted:
                self._release()
        self._keep(model, decision.standings)
        return (self._lease(decision.grant) if decision.grant else None), decision.standings

    def _lease(self, grant: Grant) -> Lease:
        now = self.clock.now()
        keys = self._groups[grant.group]
        # The key may have been refused while the counts were asked: then the group has no better one.
        key = min(keys, key=lambda entry: (entry.refused_until > now, entry.last_used))
        self._used += 1
        key.last_used = self._used
        self._events.add(1, {"group": grant.group, "event": "lease"})
        return Lease(self, key, grant)

    def _release(self) -> None:
        self._in_flight -= 1
        self._slots.release()

    def _keep(self, model: str, standings: Sequence[Standing]) -> None:
        now = self.clock.now()
        for standing in standings:
            self._latest[(standing.group, model)] = (now, standing)

    def _state(self, group: str, keys: list[_Key], now: float) -> GroupState:
        known = [(at, standing) for (name, _), (at, standing) in self._latest.items() if name == group]
        free = max((at + standing.wait for at, standing in known), default=0.0)
        refused = [key.refused_until for key in keys if key.refused_until > now]
        if len(refused) == len(keys):
            free = max(free, min(refused))
        return GroupState(
            label=group,
            keys=len(keys),
            quarantined=len(refused),
            used=sum(standing.used for at, standing in known if at > now - WINDOW_SECONDS),
            parked=any(standing.parked and at + standing.wait > now for at, standing in known),
            wait=max(0.0, free - now),
            waiting=sum(len(line.places) for line in self._lines.values() if line.group == group),
            errors=dict(self._errors[group]),
        )

    def _exhausted(self, group: str, wait: float) -> errors.ResourceExhausted:
        self._events.add(1, {"group": group, "event": "exhausted"})
        wait = max(0.0, wait)
        return errors.ResourceExhausted(
            f"every group of keys waits for its quota; come back in {wait:.0f} seconds",
            reason="PROVIDER_QUOTA",
            retry_after=wait,
        )

    def _all_refused(self, now: float) -> errors.Unavailable:
        first = min(key.refused_until for keys in self._groups.values() for key in keys)
        return errors.Unavailable(
            "the provider refuses every key; check GOOGLE_API_KEY or GOOGLE_API_KEYS",
            reason="PROVIDER_KEYS_REFUSED",
            retry_after=max(0.0, first - now),
        )

    async def _rate_limited(self, grant: Grant, retry_after: float | None, *, daily: bool) -> None:
        self._count(grant.group, "parked" if daily else "rate_limited")
        if daily:
            await self.quota.park(grant.group, grant.model)
        else:
            wait = _DEFAULT_WAIT_SECONDS if retry_after is None else max(retry_after, _LEAST_WAIT_SECONDS)
            await self.quota.hold(grant.group, grant.model, wait)

    async def _settle(self, grant: Grant, tokens: int) -> None:
        if self._limits(grant.group, grant.model).counts_tokens:
            await self.quota.settle(grant, tokens)

    def _refused(self, entry: _Key) -> None:
        pause = min(self._quarantine * 2**entry.refusals, max(self._quarantine, _LONGEST_QUARANTINE_SECONDS))
        entry.refusals = min(entry.refusals + 1, 30)
        entry.refused_until = self.clock.now() + pause
        self._count(entry.key.group, "refused")

    def _count(self, group: str, kind: str) -> None:
        self._errors[group][kind] += 1
        self._events.add(1, {"group": group, "event": kind})
