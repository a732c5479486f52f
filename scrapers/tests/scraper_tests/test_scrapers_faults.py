"""Bad days of a shop, with real Chromium: each has its own clear outcome, and takes no neighbour along."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from scrapers.record import SITE_NAMES

from .conftest import Scrape
from .local_site.goods import goods
from .local_site.server import PER_PAGE, Fault, Shop, number_of

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("chromium")]
every_site = pytest.mark.parametrize("shop", SITE_NAMES, indirect=True)


def ids(*numbers: int) -> str:
    return " ".join(goods(number).asin for number in numbers)


def failures(done_out: Path) -> dict[str, tuple[str, str]]:
    """Status and reason by product, from the state file."""
    with closing(sqlite3.connect(done_out.with_name(done_out.name + ".state.sqlite"))) as database:
        rows = database.execute("SELECT key, status, reason FROM tasks WHERE status NOT IN ('done', 'waiting')")
        return {key: (status, reason) for key, status, reason in rows.fetchall()}


def test_429_waits_as_long_as_it_is_told_and_nobody_else_asks_meanwhile(shop: Shop, scrape: Scrape) -> None:
    shop.faults[1] = Fault("status", status=429, headers={"Retry_After": "2"})
    done = scrape(ids(0, 1, 2, 3, 4, 5), "--parallel", "3")
    assert done.status == 0, done.said
    assert len(done.rows) == 6
    assert shop.product_requests()[1] == 2
    times = [at for at, target in shop.requests if number_of("amazon", target) is not None]
    assert max(later - earlier for earlier, later in pairwise(times)) >= 1.9


def test_429_without_end_ends_the_run(shop: Shop, scrape: Scrape) -> None:
    shop.faults[1] = Fault("status", times=99, status=429, headers={"Retry_After": "0"})
    done = scrape(ids(1, 2, 3), "--parallel", "1", "--retries", "2")
    assert done.status == 3
    assert "429" in done.said
    assert shop.product_requests()[1] == 3
    assert "the same command goes on" in done.said


def test_a_wait_longer_than_allowed_ends_the_run(shop: Shop, scrape: Scrape) -> None:
    shop.faults[1] = Fault("status", status=429, headers={"Retry_After": "3600"})
    done = scrape(ids(0, 1, 2), "--parallel", "1")
    assert done.status == 3
    assert "asks to wait for 3600 s" in done.said
    assert done.ids == [goods(0).asin]
    # Later the same command goes on where it stopped.
    again = scrape(ids(0, 1, 2), "--parallel", "1")
    assert again.status == 0, again.said
    assert again.ids == [goods(0).asin, goods(1).asin, goods(2).asin]
    assert shop.product_requests()[0] == 1


def test_503_is_tried_again_and_one_that_stays_is_one_failure(shop: Shop, scrape: Scrape) -> None:
    shop.faults[1] = Fault("status", times=2, status=503)
    shop.faults[2] = Fault("status", times=99, status=503)
    done = scrape(ids(0, 1, 2, 3), "--retries", "2")
    assert done.status == 1
    assert done.ids == [goods(0).asin, goods(1).asin, goods(3).asin]
    assert shop.product_requests()[1] == 3
    assert failures(done.out) == {goods(2).asin: ("failed", "answers 503")}
    assert "answers 503" in done.said


@every_site
def test_a_captcha_ends_the_run_clearly(shop: Shop, scrape: Scrape) -> None:
    shop.generation = 3
    shop.captcha_after = 2
    done = scrape("earrings", "--parallel", "1")
    assert done.status == 3
    assert len(done.rows) == 2
    assert "captcha" in done.said or "refuses" in done.said
    assert f"{PER_PAGE - 2} products wait" in done.said
    assert set(shop.product_requests()) == {0, 1, 2}  # not one request after it
    kept = list(done.out.parent.glob("*-snapshots/*"))
    assert {path.suffix for path in kept} == {".html", ".png"}


def test_a_captcha_behind_a_503_ends_the_run_too(shop: Shop, scrape: Scrape) -> None:
    shop.faults["every"] = Fault("captcha", times=9, status=500)
    done = scrape(ids(0, 1, 2), "--parallel", "1")
    assert done.status == 3
    assert "captcha" in done.said
    assert sum(shop.product_requests().values()) == 1


def test_a_plain_403_is_a_refusal(shop: Shop, scrape: Scrape) -> None:
    shop.faults[0] = Fault("status", times=9, status=403)
    done = scrape(ids(0, 1), "--parallel", "1")
    assert done.status == 3
    assert "refuses: status 403" in done.said
    assert shop.product_requests() == {0: 1}


@every_site
def test_broken_json_costs_no_product(shop: Shop, scrape: Scrape) -> None:
    shop.generation = 1 if shop.site != "myntra" else 2
    shop.faults["every"] = Fault("broken_state", times=99)
    done = scrape("earrings", "--limit", "3")
    assert done.status == 0, done.said
    assert [row["title"] for row in done.rows] == [goods(number).title for number in range(3)]
    assert all(row["price"] for row in done.rows)


def test_gone_loops_junk_and_downloads_take_no_neighbour_along(shop: Shop, scrape: Scrape) -> None:
    shop.faults = {1: Fault("loop", 99), 2: Fault("junk", 99), 3: Fault("pdf", 99), 5: Fault("cut", 1)}
    done = scrape(ids(0, 1, 2, 3, 4, 5, 900), "--retries", "1")
    assert done.status == 1
    assert done.ids == [goods(0).asin, goods(4).asin, goods(5).asin]
    assert failures(done.out) == {
        goods(1).asin: ("failed", "redirects in circles"),
        goods(2).asin: ("unparsed", "is no product page that the parser knows"),
        goods(3).asin: ("failed", "is application/pdf, not a page"),
        goods(900).asin: ("gone", "answers 404"),
    }
    assert shop.product_requests()[1] == 1  # not tried again: hopeless
    snapshots = done.out.with_name("products.jsonl.state-snapshots")
    assert sorted(path.name for path in snapshots.iterdir()) == ["amazon-B0TEST0002.html", "amazon-B0TEST0002.png"]
    assert "Nothing to see" in (snapshots / "amazon-B0TEST0002.html").read_text()
    # The next run does not ask again for what is gone, but for the rest.
    shop.faults = {}
    again = scrape(ids(0, 1, 2, 3, 4, 5, 900))
    assert again.ids == [goods(number).asin for number in range(6)]
    assert shop.product_requests()[900] == 1


def test_slow_pages(shop: Shop, scrape: Scrape) -> None:
    """One that takes its time is waited for; one beyond the limit is given up, tried again, and had."""
    shop.faults = {1: Fault("slow", seconds=1.5), 2: Fault("slow", seconds=30)}
    done = scrape(ids(0, 1, 2), "--timeout", "4", "--parallel", "3")
    assert done.status == 0, done.said
    assert len(done.rows) == 3
    assert shop.product_requests()[2] == 2


def test_markup_that_changed_altogether_ends_the_run(shop: Shop, scrape: Scrape) -> None:
    shop.faults["every"] = Fault("junk", times=99)
    shop.numbers = list(range(20))
    done = scrape(ids(*range(20)), "--parallel", "1", "--settle", "0")
    assert done.status == 3
    assert "8 pages in a row could not be read" in done.said
    assert sum(shop.product_requests().values()) == 8


def test_robots_txt_is_obeyed(shop: Shop, scrape: Scrape) -> None:
    shop.robots = (
        "User-agent: jewelry-scrapers\nDisallow: /dp/B0TEST0001\nCrawl-delay: 0.7\n\nUser-agent: *\nDisallow: /\n"
    )
    done = scrape(ids(0, 1, 2), "--parallel", "2")
    assert done.status == 1
    assert done.ids == [goods(0).asin, goods(2).asin]
    assert failures(done.out) == {goods(1).asin: ("disallowed", "robots.txt disallows it")}
    assert set(shop.product_requests()) == {0, 2}
    first, second = [at for at, target in shop.requests if target.startswith("/dp/")]
    assert second - first >= 0.65
    allowed = scrape(ids(1), "--ignore-robots", out="allowed.jsonl")
    assert allowed.ids == [goods(1).asin]


def test_a_robots_txt_that_cannot_be_read_allows_nothing(shop: Shop, scrape: Scrape) -> None:
    shop.robots_status = 503
    done = scrape(ids(0), "--retries", "1")
    assert done.status == 1
    assert not shop.product_requests()


def test_a_browser_that_dies_is_started_again(shop: Shop, scrape: Scrape) -> None:
    shop.faults[1] = Fault("slow", seconds=3)

    def kill() -> None:
        deadline = time.monotonic() + 30
        while not any(number_of("amazon", target) == 1 for _, target in shop.requests):
            if time.monotonic() > deadline:
                return
            time.sleep(0.05)
        for process in _children(os.getpid()):
            if "--type=" not in process.cmdline and "chrom" in process.cmdline and "--headless" in process.cmdline:
                os.kill(process.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    done = scrape(ids(0, 1, 2), "--parallel", "1", "--retries", "3")
    killer.join()
    assert done.status == 0, done.said
    assert done.ids == [goods(0).asin, goods(1).asin, goods(2).asin]
    assert shop.product_requests()[1] == 2


class _Process:
    def __init__(self, pid: int, parent: int, cmdline: str) -> None:
        self.pid, self.parent, self.cmdline = pid, parent, cmdline


def _children(root: int) -> list[_Process]:
    """Every process below one, from /proc."""
    known: dict[int, _Process] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                cmdline = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            known[int(folder.name)] = _Process(int(folder.name), parent, cmdline)
    below: set[int] = {root}
    for _ in range(8):
        below |= {process.pid for process in known.values() if process.parent in below}
    return [known[pid] for pid in below if pid in known and pid != root]
