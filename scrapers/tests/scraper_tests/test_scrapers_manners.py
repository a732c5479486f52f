"""Pace and robots.txt, without a clock to wait for and without a network."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from itertools import pairwise

import httpx
import pytest

from scrapers.browse.errors import PageFailed, SiteEnded
from scrapers.browse.pace import Pace
from scrapers.browse.robots import NoRobots, Robots
from scrapers.settings import USER_AGENT


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


async def starts(pace: Pace, clock: Clock, host: str, turns: int, at_least: float = 0.0) -> list[float]:
    times: list[float] = []

    async def one() -> None:
        await pace.turn(host, at_least)
        times.append(clock.now)

    await asyncio.gather(*(one() for _ in range(turns)))
    return times


def gaps(times: list[float]) -> list[float]:
    return [round(later - earlier, 6) for earlier, later in pairwise(times)]


async def test_turns_are_a_delay_apart_whoever_asks() -> None:
    clock = Clock()
    pace = Pace(3.0, 0.0, clock=clock, sleep=clock.sleep)
    times = await starts(pace, clock, "shop", 4)
    assert times[0] == 100.0  # the first need not wait
    assert gaps(times) == [3.0, 3.0, 3.0]
    assert (await starts(pace, clock, "other", 1))[0] == clock.now  # another host has its own pace


async def test_jitter_spreads_but_keeps_the_bounds() -> None:
    clock = Clock()
    pace = Pace(2.0, 0.5, clock=clock, sleep=clock.sleep, chance=random.Random(7))
    found = gaps(await starts(pace, clock, "shop", 60))
    assert all(1.0 <= gap <= 3.0 for gap in found)
    assert len(set(found)) > 50
    assert 1.8 < sum(found) / len(found) < 2.2


async def test_crawl_delay_and_retry_after_hold_everybody() -> None:
    clock = Clock()
    pace = Pace(1.0, 0.0, clock=clock, sleep=clock.sleep)
    assert gaps(await starts(pace, clock, "shop", 3, at_least=5.0)) == [5.0, 5.0]
    pace.pause("shop", 60)
    began = clock.now
    assert gaps([began, *await starts(pace, clock, "shop", 2)]) == [60.0, 1.0]
    pace.pause("shop", 0.1)  # a shorter pause shortens nothing
    assert gaps(await starts(pace, clock, "shop", 2)) == [1.0]


Answer = Callable[[httpx.Request], httpx.Response] | Callable[[httpx.Request], Awaitable[httpx.Response]]


def robots(answer: Answer, *, agent: str = USER_AGENT) -> tuple[Robots, list[str]]:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        found = answer(request)
        assert isinstance(found, httpx.Response)
        return found

    client = httpx.AsyncClient(transport=httpx.MockTransport(handler), follow_redirects=True, max_redirects=5)
    return Robots(client, agent, lambda html: "captcha!" if "captcha" in html else ""), asked


async def allowed(rules: Robots, path: str) -> bool:
    try:
        await rules.check("http://shop.test" + path)
    except PageFailed as problem:
        return problem.kind != "disallowed"
    return True


async def test_rules_for_us_and_for_everybody() -> None:
    text = (
        "User-agent: *\nDisallow: /\n\nUser-agent: jewelry-scrapers\nAllow: /dp/ok\nDisallow: /dp/\n"
        "Disallow: /*?ref=\nDisallow: /end$\nCrawl-delay: 4\n"
    )
    rules, asked = robots(lambda request: httpx.Response(200, text=text))
    assert await allowed(rules, "/s?k=x")
    assert await allowed(rules, "/dp/ok")
    assert not await allowed(rules, "/dp/other")
    assert not await allowed(rules, "/x?ref=1")
    assert not await allowed(rules, "/end")
    assert await allowed(rules, "/end/more")
    assert await rules.check("http://shop.test/s") == 4.0
    assert asked == ["http://shop.test/robots.txt"]  # once per origin
    strangers, _ = robots(lambda request: httpx.Response(200, text=text), agent="Something/1.0")
    assert not await allowed(strangers, "/s?k=x")


@pytest.mark.parametrize("status", [404, 410, 401, 403])
async def test_no_robots_txt_allows_everything(status: int) -> None:
    rules, _ = robots(lambda request: httpx.Response(status, text="<h1>no</h1>"))
    assert await allowed(rules, "/dp/x")


async def test_a_captcha_instead_of_robots_txt_ends_the_run() -> None:
    rules, _ = robots(lambda request: httpx.Response(403, text="captcha"))
    with pytest.raises(SiteEnded, match="captcha!"):
        await rules.check("http://shop.test/dp/x")


async def test_an_unreadable_robots_txt_is_asked_for_again() -> None:
    answers = [httpx.Response(503, headers={"Retry-After": "7"}), httpx.Response(429), httpx.Response(200, text="")]
    rules, asked = robots(lambda request: answers.pop(0))
    with pytest.raises(PageFailed) as first:
        await rules.check("http://shop.test/dp/x")
    assert (first.value.retry, first.value.wait, first.value.kind) == (True, 7.0, "failed")
    with pytest.raises(PageFailed):
        await rules.check("http://shop.test/dp/x")
    assert await rules.check("http://shop.test/dp/x") == 0.0
    assert len(asked) == 3


async def test_an_unreachable_robots_txt_is_a_failure_to_retry() -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route", request=request)

    rules, _ = robots(broken)
    with pytest.raises(PageFailed, match=r"robots\.txt cannot be read: ConnectError") as failed:
        await rules.check("http://shop.test/dp/x")
    assert failed.value.retry


async def test_a_huge_robots_txt_is_read_in_part() -> None:
    text = "User-agent: *\nDisallow: /first\n" + "# padding\n" * 100_000 + "Disallow: /last\n"
    rules, _ = robots(lambda request: httpx.Response(200, text=text))
    assert not await allowed(rules, "/first")
    assert await allowed(rules, "/last")


async def test_a_hostile_crawl_delay_is_bounded_and_binary_rules_are_none() -> None:
    rules, _ = robots(lambda request: httpx.Response(200, text="User-agent: *\nCrawl-delay: 99999999"))
    assert await rules.check("http://shop.test/") == 120.0
    rules, _ = robots(lambda request: httpx.Response(200, content=b"\xff\xfe\x00" * 50))
    assert await allowed(rules, "/dp/x")


async def test_consent_of_the_owner() -> None:
    client = httpx.AsyncClient(transport=httpx.MockTransport(lambda request: httpx.Response(500)))
    assert await NoRobots(client, "x").check("http://shop.test/private") == 0.0
