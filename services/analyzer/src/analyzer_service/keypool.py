"""API keys that share quotas, and who may use one now.

Quota belongs to a project, not to a key: keys come in groups, and a group's quota is counted per model, because the
provider counts it so. The pool hands out the least loaded group, waits for the first to free when all wait, and
leaves alone what the provider refused. It knows no provider and no clock of its own, and it never shows a key.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import SecretStr

from servicekit import errors, telemetry

WINDOW_SECONDS = 60.0
# Daily quotas are renewed at midnight Pacific time. Standard time all year: in summer an hour late, never early.
_RESET_OFFSET_SECONDS = 8 * 3600.0
_DAY_SECONDS = 86_400.0
# Wait after a refusal that does not say how long.
_DEFAULT_WAIT_SECONDS = 10.0
_LEAST_WAIT_SECONDS = 0.5
# Longest wait for a group where the caller gave no deadline.
_LONGEST_WAIT_SECONDS = 60.0


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


@dataclass(frozen=True)
class ApiKey:
    """A key with the name under which it is spoken of."""

    group: str
    label: str
    secret: SecretStr


@dataclass(frozen=True)
class GroupState:
    """How a group stands.

    Attributes:
        label: name of the group.
        keys, quarantined: how many keys it has, and how many of them the provider refused.
        used: requests within the last minute, all models together.
        parked: whether a daily quota is used up.
        wait: seconds until the group may be asked again for every model; 0: now.
    """

    label: str
    keys: int
    quarantined: int
    used: int
    parked: bool
    wait: float


@dataclass
class _Lane:
    """The quota of one group for one model."""

    started: deque[float] = field(default_factory=deque)
    not_before: float = 0.0
    parked_until: float = 0.0

    def free_at(self, now: float, limit: int | None) -> float:
        while self.started and self.started[0] <= now - WINDOW_SECONDS:
            self.started.popleft()
        free = max(self.not_before, self.parked_until)
        if limit is not None and len(self.started) >= limit:
            free = max(free, self.started[-limit] + WINDOW_SECONDS)
        return free


@dataclass
class _Key:
    key: ApiKey
    refused_until: float = 0.0
    last_used: float = 0.0


class Lease:
    """Permission for one request. Tell it how the request went where it went wrong."""

    def __init__(self, pool: KeyPool, key: ApiKey, model: str) -> None:
        self._pool = pool
        self._model = model
        self.key = key

    def rate_limited(self, retry_after: float | None, *, daily: bool) -> None:
        """The provider said that the quota is used up."""
        self._pool._rate_limited(self.key, self._model, retry_after, daily=daily)

    def refused(self) -> None:
        """The provider does not take this key."""
        self._pool._refused(self.key)


class KeyPool:
    """Keys in groups.

    Args:
        keys: At least one.
        requests_per_minute: Limit per group and model; None: only what the provider's own refusals teach.
        quarantine_seconds: How long a refused key is left alone before it is tried again.
        clock: Time.
    """

    def __init__(
        self,
        keys: Sequence[ApiKey],
        *,
        requests_per_minute: int | None = None,
        quarantine_seconds: float = 30.0,
        clock: Clock | None = None,
    ) -> None:
        if not keys:
            raise ValueError("a key pool needs at least one key")
        self.clock = clock or SystemClock()
        self._limit = requests_per_minute
        self._quarantine = quarantine_seconds
        self._groups: dict[str, list[_Key]] = {}
        for key in keys:
            self._groups.setdefault(key.group, []).append(_Key(key))
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self._events = telemetry.meter("jewelry.analyzer").create_counter(
            "jewelry_key_pool_events", description="Leases, waits, parkings and refusals per group of keys."
        )

    @property
    def size(self) -> int:
        """Number of keys."""
        return sum(len(keys) for keys in self._groups.values())

    async def acquire(self, model: str, timeout: float | None) -> Lease:
        """Waits for a group that may be asked for `model`.

        Args:
            model: The model to ask; quotas are counted per model.
            timeout: Seconds that may pass; None: as long as a minute's quota takes to renew.

        Raises:
            errors.ResourceExhausted: No group frees in time (PROVIDER_QUOTA); `retry_after` says when one does.
            errors.Unavailable: The provider refuses every key (PROVIDER_KEYS_REFUSED).
        """
        deadline = self.clock.now() + (_LONGEST_WAIT_SECONDS if timeout is None else timeout)
        while True:
            now = self.clock.now()
            usable = {name: [key for key in keys if key.refused_until <= now] for name, keys in self._groups.items()}
            usable = {name: keys for name, keys in usable.items() if keys}
            if not usable:
                raise self._all_refused(now)
            free_at = {name: self._lane(name, model).free_at(now, self._limit) for name in usable}
            free = [name for name, at in free_at.items() if at <= now]
            if free:
                return self._lease(free, usable, model, now)
            first = min(free_at, key=lambda name: free_at[name])
            wait = free_at[first] - now
            if now + wait > deadline:
                self._events.add(1, {"group": first, "event": "exhausted"})
                raise errors.ResourceExhausted(
                    f"every group of keys waits for its quota; come back in {wait:.0f} seconds",
                    reason="PROVIDER_QUOTA",
                    retry_after=wait,
                )
            self._events.add(1, {"group": first, "event": "wait"})
            await self.clock.sleep(max(wait, 0.001))

    def states(self) -> list[GroupState]:
        """How each group stands now."""
        now = self.clock.now()
        return [self._state(name, keys, now) for name, keys in self._groups.items()]

    def _state(self, name: str, keys: list[_Key], now: float) -> GroupState:
        lanes = [lane for (group, _), lane in self._lanes.items() if group == name]
        free = max((lane.free_at(now, self._limit) for lane in lanes), default=0.0)
        refused = [key.refused_until for key in keys if key.refused_until > now]
        if len(refused) == len(keys):
            free = max(free, min(refused))
        return GroupState(
            label=name,
            keys=len(keys),
            quarantined=len(refused),
            used=sum(len(lane.started) for lane in lanes),
            parked=any(lane.parked_until > now for lane in lanes),
            wait=max(0.0, free - now),
        )

    def _lane(self, group: str, model: str) -> _Lane:
        return self._lanes.setdefault((group, model), _Lane())

    def _lease(self, free: list[str], usable: dict[str, list[_Key]], model: str, now: float) -> Lease:
        group = min(free, key=lambda name: (len(self._lane(name, model).started), usable[name][0].last_used))
        key = min(usable[group], key=lambda item: item.last_used)
        key.last_used = now
        self._lane(group, model).started.append(now)
        self._events.add(1, {"group": group, "event": "lease"})
        return Lease(self, key.key, model)

    def _all_refused(self, now: float) -> errors.Unavailable:
        first = min(key.refused_until for keys in self._groups.values() for key in keys)
        return errors.Unavailable(
            "the provider refuses every key; check GOOGLE_API_KEY or GOOGLE_API_KEYS",
            reason="PROVIDER_KEYS_REFUSED",
            retry_after=max(0.0, first - now),
        )

    def _rate_limited(self, key: ApiKey, model: str, retry_after: float | None, *, daily: bool) -> None:
        lane = self._lane(key.group, model)
        now = self.clock.now()
        if daily:
            day = (now - _RESET_OFFSET_SECONDS) // _DAY_SECONDS
            lane.parked_until = (day + 1) * _DAY_SECONDS + _RESET_OFFSET_SECONDS
        else:
            wait = _DEFAULT_WAIT_SECONDS if retry_after is None else max(retry_after, _LEAST_WAIT_SECONDS)
            lane.not_before = max(lane.not_before, now + wait)
        self._events.add(1, {"group": key.group, "event": "parked" if daily else "rate_limited"})

    def _refused(self, key: ApiKey) -> None:
        for entry in self._groups[key.group]:
            if entry.key is key:
                entry.refused_until = self.clock.now() + self._quarantine
        self._events.add(1, {"group": key.group, "event": "refused"})


def parse_keys(single: SecretStr | None, several: SecretStr | None) -> list[ApiKey]:
    """Keys from the settings; `several` wins, repeated keys count once.

    Raises:
        errors.FailedPrecondition: An entry is not `group:key`; the message says which by number, not by content.
    """
    if several is None or not several.get_secret_value().strip():
        value = single.get_secret_value().strip() if single else ""
        return [ApiKey("default", "default/1", SecretStr(value))] if value else []
    keys: list[ApiKey] = []
    seen: set[str] = set()
    for number, entry in enumerate(several.get_secret_value().split(","), start=1):
        if not entry.strip():
            continue
        group, colon, secret = (part.strip() for part in entry.partition(":"))
        if not colon:
            # A key without a group has a quota of its own.
            group, secret = f"key{number}", group
        if not group or not secret:
            raise errors.FailedPrecondition(
                f"entry {number} of GOOGLE_API_KEYS is not group:key; write it as project:key,project:key",
                reason="BAD_SETTINGS",
            )
        if secret not in seen:
            seen.add(secret)
            count = sum(key.group == group for key in keys) + 1
            keys.append(ApiKey(group, f"{group}/{count}", SecretStr(secret)))
    return keys
