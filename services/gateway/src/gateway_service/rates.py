"""How often each key may call: a token bucket per key."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway_service import auth, problems

_RATE = re.compile(r"(?P<count>[0-9]{1,9})/(?P<unit>second|minute|hour)(?::(?P<burst>[0-9]{1,9}))?")
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}
# Answers tell how much is left (draft-ietf-httpapi-ratelimit-headers-10).
_POLICY, _LEFT = "ratelimit-policy", "ratelimit"


@dataclass(frozen=True)
class Rate:
    """`count` requests in `window` seconds on average, and at most `burst` at once."""

    count: int
    window: int
    burst: int

    @property
    def per_second(self) -> float:
        """Requests that come free each second."""
        return self.count / self.window


@dataclass(frozen=True)
class Rates:
    """The rate of each label, and that of all others; None: no bound."""

    default: Rate | None
    by_label: dict[str, Rate | None]

    def of(self, label: str) -> Rate | None:
        """The rate of a label."""
        return self.by_label.get(label, self.default)


def parse(configured: str) -> Rates:
    """Rates from `600/minute`, `600/minute:100` with the burst, `label=60/minute`, `label=none`, separated by commas.

    Raises:
        ValueError: An entry is none of these.
    """
    default: Rate | None = None
    by_label: dict[str, Rate | None] = {}
    for entry in (part.strip() for part in configured.split(",")):
        if not entry:
            continue
        label, equals, text = entry.rpartition("=")
        rate = _rate(text.strip(), entry)
        if equals:
            by_label[label.strip()] = rate
        else:
            default = rate
    return Rates(default, by_label)


def _rate(text: str, entry: str) -> Rate | None:
    if text == "none":
        return None
    found = _RATE.fullmatch(text)
    if not found or not int(found["count"]) or found["burst"] == "0":
        raise ValueError(f"{entry!r} is no rate; write 600/minute, 600/minute:100, label=60/minute or label=none")
    count, window = int(found["count"]), _SECONDS[found["unit"]]
    # A burst of ten seconds' worth, but never less than one request.
    return Rate(count, window, int(found["burst"] or max(1, math.ceil(count / window * 10))))


class Bucket:
    """Tokens that come back at a steady rate up to the burst; each request takes one."""

    def __init__(self, rate: Rate, clock: Callable[[], float]) -> None:
        self.rate = rate
        self._clock = clock
        self._tokens = float(rate.burst)
        self._at = clock()

    def take(self) -> float:
        """Takes a token; returns 0, or the seconds until there is one."""
        now = self._clock()
        self._tokens = min(self.rate.burst, self._tokens + (now - self._at) * self.rate.per_second)
        self._at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self.rate.per_second

    @property
    def headers(self) -> dict[str, str]:
        """What is left, and the seconds until the bucket is full again."""
        full = math.ceil((self.rate.burst - self._tokens) / self.rate.per_second)
        return {
            _POLICY: f'"key";q={self.rate.count};w={self.rate.window}',
            _LEFT: f'"key";r={math.floor(self._tokens)};t={full}',
        }


class RateLimit:
    """Refuses a key that calls too often with 429; stands behind the check of keys. One bucket per key and process."""

    def __init__(self, app: ASGIApp, rates: Rates, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._rates = rates
        self._clock = clock
        # As many as there are keys: labels come from the configuration only.
        self._buckets: dict[str, Bucket] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        label: str | None = scope.get("jewelry.key")
        rate = None if label is None or scope["path"] in auth.OPEN_PATHS else self._rates.of(label)
        if label is None or rate is None:
            await self._app(scope, receive, send)
            return
        bucket = self._buckets.setdefault(label, Bucket(rate, self._clock))
        wait = bucket.take()
        headers = bucket.headers

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers)
            await send(message)

        if wait:
            sentence = f"this key may call {rate.count} times in {rate.window} s; wait before the next request"
            refusal = problems.problem(429, "RATE_LIMITED", sentence, retry_after=wait)
            await refusal(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)
