"""robots.txt, as RFC 9309 has it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx
from protego import Protego

from scrapers.browse.errors import PageFailed, SiteEnded
from scrapers.values import seconds_to_wait

MAX_BYTES = 512_000  # RFC 9309, 2.5: at least 500 KiB are read
MAX_REDIRECTS = 5  # RFC 9309, 2.3.1.2
MAX_CRAWL_DELAY = 120.0


@dataclass(frozen=True, slots=True)
class Rules:
    """What one origin allows; `delay` is its Crawl-delay, 0 without one."""

    parsed: Protego | None
    delay: float

    def allow(self, url: str, agent: str) -> bool:
        """True where the agent may fetch the address."""
        return self.parsed is None or self.parsed.can_fetch(url, agent)


class Robots:
    """The rules of every origin met, each fetched once.

    Args:
        client: fetches robots.txt, with the scraper's own user agent.
        agent: the user agent, whose product name the rules are matched with.
        refusal: says from a page's HTML why the site refuses, empty where it does not.
    """

    def __init__(self, client: httpx.AsyncClient, agent: str, refusal: Callable[[str], str] = lambda html: "") -> None:
        self._client = client
        self._agent = agent
        self._refusal = refusal
        self._rules: dict[str, Rules] = {}
        self._queues: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def check(self, url: str) -> float:
        """The origin's Crawl-delay in seconds, for an address that may be fetched.

        Raises:
            PageFailed: robots.txt disallows the address, or cannot be had for now.
            SiteEnded: instead of robots.txt there is a captcha.
        """
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        async with self._queues[origin]:
            if origin not in self._rules:
                self._rules[origin] = await self._fetch(origin)
        rules = self._rules[origin]
        if not rules.allow(url, self._agent):
            raise PageFailed("robots.txt disallows it", kind="disallowed")
        return rules.delay

    async def _fetch(self, origin: str) -> Rules:
        try:
            async with self._client.stream("GET", origin + "/robots.txt") as answer:
                body = b""
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) >= MAX_BYTES:
                        break
        except httpx.HTTPError as error:
            raise PageFailed(f"robots.txt cannot be read: {type(error).__name__}", retry=True) from error
        text = body[:MAX_BYTES].decode("utf-8", "replace")
        status = answer.status_code
        if status == 429 or status >= 500:
            wait = seconds_to_wait(answer.headers.get("retry-after"), datetime.now(UTC))
            raise PageFailed(f"robots.txt cannot be read: status {status}", retry=True, wait=wait)
        if status >= 400:
            reason = self._refusal(text)
            if reason:
                raise SiteEnded(reason)
            return Rules(None, 0.0)  # RFC 9309, 2.3.1.3: there is none, everything is allowed
        parsed = Protego.parse(text)
        return Rules(parsed, min(parsed.crawl_delay(self._agent) or 0.0, MAX_CRAWL_DELAY))


class NoRobots(Robots):
    """For a site whose owner has said yes: allows everything."""

    async def check(self, url: str) -> float:
        """Always allowed, without a delay of its own."""
        return 0.0
