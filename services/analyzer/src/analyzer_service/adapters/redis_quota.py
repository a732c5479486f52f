"""The counts of all replicas together, in Redis, changed by one script that Redis runs without interruption."""

from __future__ import annotations

import hashlib
import itertools
import logging
import uuid
from collections.abc import Sequence
from importlib.resources import files

from redis import asyncio as redis_asyncio
from redis import exceptions as redis_errors
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from analyzer_service.quota import (
    SLACK_SECONDS,
    WINDOW_SECONDS,
    Candidate,
    Clock,
    Decision,
    Grant,
    QuotaStoreDown,
    Spent,
    Standing,
    SystemClock,
    micros,
)
from servicekit import errors

logger = logging.getLogger(__name__)
_MICRO = 1_000_000
# A store that is asked before every call must answer quickly; otherwise each process counts for itself.
TIMEOUT_SECONDS = 0.5
# Standings in a reply of `take`: used, tokens, used today, tokens today, wait, parked.
_PER_GROUP = 6


class RedisQuota:
    """See `analyzer_service.quota.Quota`.

    Redis holds no key and no name of a group, only a hash of the name. All entries share one hash slot, so that a Redis
    cluster serves as well. The time is that of Redis, so that clocks of replicas need not agree, unless a test gives
    another.

    Args:
        url: As `REDIS_URL`: redis://, rediss:// or unix://.
        clock: Time, in tests.
        window: Length of the provider's minute in seconds.
        timeout: Longest wait for an answer, in seconds; None: `TIMEOUT_SECONDS`.

    Raises:
        errors.FailedPrecondition: The address is wrong (BAD_SETTINGS).
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock | None = None,
        window: float = WINDOW_SECONDS + SLACK_SECONDS,
        timeout: float | None = None,
    ) -> None:
        longest = TIMEOUT_SECONDS if timeout is None else timeout
        try:
            self._client = redis_asyncio.Redis.from_url(
                url,
                socket_timeout=longest,
                socket_connect_timeout=longest,
                retry=Retry(NoBackoff(), 0),
                decode_responses=True,
            )
        except ValueError:
            raise errors.FailedPrecondition(
                "REDIS_URL is not an address of Redis; write it as redis://host:6379/0", reason="BAD_SETTINGS"
            ) from None
        script = files("analyzer_service").joinpath("data/quota.lua").read_text(encoding="utf-8")
        self._script = self._client.register_script(script)
        self._clock = clock
        self._window = str(micros(window))
        self._name = uuid.uuid4().hex[:12]
        self._number = itertools.count(1)

    async def take(self, model: str, candidates: Sequence[Candidate], tokens: int, *, commit: bool = True) -> Decision:
        """See `Quota.take`."""
        if not candidates:
            return Decision(None, ())
        receipt = f"{self._name}-{next(self._number)}"
        keys = [key for candidate in candidates for key in _keys(candidate.group, model)]
        limits = ["" if limit is None else str(limit) for entry in candidates for limit in entry.limits.values()]
        reply = await self._run("take", keys, "1" if commit else "0", receipt, str(tokens), *limits)
        best, now = int(reply[0]), int(reply[1])
        standings = tuple(
            _standing(candidate.group, reply[2 + _PER_GROUP * number : 2 + _PER_GROUP * (number + 1)])
            for number, candidate in enumerate(candidates)
        )
        if not best:
            return Decision(None, standings)
        return Decision(Grant(candidates[best - 1].group, model, receipt, now / _MICRO, tokens), standings)

    async def settle(self, grant: Grant, tokens: int) -> None:
        """See `Quota.settle`."""
        counts = (grant.receipt, str(micros(grant.at)), str(grant.tokens), str(tokens))
        await self._run("settle", _keys(grant.group, grant.model), *counts)

    async def hold(self, group: str, model: str, seconds: float) -> None:
        """See `Quota.hold`."""
        await self._run("hold", _keys(group, model), str(micros(seconds)))

    async def park(self, group: str, model: str) -> None:
        """See `Quota.park`."""
        await self._run("park", _keys(group, model))

    async def charge(self, group: str, model: str, spent: Sequence[Spent]) -> None:
        """See `Quota.charge`."""
        if spent:
            values = [value for item in spent for value in (item.receipt, str(micros(item.age)), str(item.tokens))]
            await self._run("charge", _keys(group, model), *values)

    async def close(self) -> None:
        """Ends the connections."""
        await self._client.aclose()

    async def _run(self, operation: str, keys: Sequence[str], *values: str) -> list[str]:
        now = "" if self._clock is None or isinstance(self._clock, SystemClock) else str(micros(self._clock.now()))
        try:
            reply: list[str] = await self._script(keys=list(keys), args=[operation, now, self._window, *values])
        except (redis_errors.RedisError, OSError, TimeoutError) as error:
            # The type only: messages quote the address, which may hold a password.
            raise QuotaStoreDown(f"Redis does not answer ({type(error).__name__})") from None
        return reply


def _keys(group: str, model: str) -> tuple[str, str]:
    name = hashlib.sha256(f"jewelry-quota\0{group}".encode()).hexdigest()[:16]
    start = f"{{jewelry-quota}}:{name}:{model}"
    return f"{start}:log", f"{start}:state"


def _standing(group: str, values: Sequence[str]) -> Standing:
    used, tokens, used_today, tokens_today, wait, parked = (int(value) for value in values)
    return Standing(group, used, tokens, used_today, tokens_today, wait / _MICRO, bool(parked))
