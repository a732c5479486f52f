"""Stopped in any way, a run goes on: kill -9 in the middle of 200 products, SIGTERM, and files of ids."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import QUICK, Scrape
from .local_site.goods import goods
from .local_site.server import Shop, open_shop

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("chromium")]


def command(shop: Shop, what: str, out: Path, chromium: Path, *options: str) -> list[str]:
    given = [shop.site, what, "--out", str(out), "--base-url", shop.base, "--chromium", str(chromium)]
    return [sys.executable, "-m", "scrapers", *given, *QUICK, *options]


def wait_until(shop: Shop, served: int, process: subprocess.Popen[bytes], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while sum(shop.served.values()) < served:
        assert process.poll() is None, "the run ended before it could be stopped"
        assert time.monotonic() < deadline, "the run does not come forward"
        time.sleep(0.02)


@pytest.mark.timeout(400)
def test_kill_9_in_the_middle_of_200_products(
    chromium: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Killed twice, browser and all, then run to the end: 200 rows, none twice, almost no page asked for twice."""
    ids = tmp_path / "ids.txt"
    ids.write_text("".join(f"{goods(number).asin}\n" for number in range(200)))
    out = tmp_path / "products.jsonl"
    with open_shop("amazon", 200) as shop:
        shop.generation = 3
        given = command(shop, str(ids), out, chromium, "--parallel", "4")
        for served in (60, 120):
            process = subprocess.Popen(given, start_new_session=True)
            try:
                wait_until(shop, served, process)
            finally:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)
            assert not out.exists()
        assert subprocess.run(given, check=False, timeout=200).returncode == 0
        rows = [line.split('"product_id":"')[1][:10] for line in out.read_text().splitlines()]
        assert len(rows) == len(set(rows)) == 200
        assert rows == [goods(number).asin for number in range(200)]
        # What was open when it was killed is asked for again, at most four pages each time.
        assert sum(shop.product_requests().values()) <= 200 + 2 * 4
    assert "going on: " in capfd.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_what_is_there(chromium: Path, tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "products.csv"
    with open_shop("amazon", 60) as shop:
        shop.generation = 3
        given = command(shop, "earrings", out, chromium, "--parallel", "2")
        with subprocess.Popen(given, start_new_session=True, stderr=subprocess.PIPE) as process:
            try:
                wait_until(shop, 4, process)
                os.killpg(process.pid, number)  # the whole group, as a terminal's Ctrl-C does
                _, said = process.communicate(timeout=60)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        assert process.returncode == 130, said.decode()
        rows = out.read_text(encoding="utf-8-sig").splitlines()
        assert 3 <= len(rows) - 1 < 60
        assert b"stopped; " in said
        assert b"the same command goes on" in said


def test_running_again_asks_for_nothing_and_fresh_for_everything(shop: Shop, scrape: Scrape) -> None:
    first = scrape("earrings", "--limit", "3")
    again = scrape("earrings", "--limit", "3")
    assert again.rows == first.rows
    assert "nothing left to scrape: 3 products are there" in again.said
    assert sum(shop.product_requests().values()) == 3
    more = scrape("earrings", "--limit", "6")  # a larger limit goes on, over the page's end
    assert more.ids[:3] == first.ids
    assert len(more.rows) == 6
    assert sum(shop.product_requests().values()) == 6
    fresh = scrape("earrings", "--limit", "5", "--fresh")
    assert len(fresh.rows) == 5
    assert sum(shop.product_requests().values()) == 11


def test_a_file_that_grew(shop: Shop, scrape: Scrape, tmp_path: Path) -> None:
    ids = tmp_path / "ids.csv"
    ids.write_text(f"name,ASIN\nx,{goods(3).asin}\ny,{goods(1).asin}\n")
    assert scrape(str(ids)).ids == [goods(3).asin, goods(1).asin]
    ids.write_text(f"name,ASIN\nx,{goods(3).asin}\ny,{goods(1).asin}\nz,{goods(2).asin}\nw,nonsense\n")
    done = scrape(str(ids))
    assert done.ids == [goods(3).asin, goods(1).asin, goods(2).asin]
    assert "not a product of Amazon.in: nonsense" in done.said
    assert sum(shop.product_requests().values()) == 3


def test_another_wish_needs_another_file(shop: Shop, scrape: Scrape) -> None:
    scrape("earrings", "--limit", "1")
    other = scrape("necklaces", "--limit", "1")
    assert other.status == 2
    assert "holds another run" in other.said
    assert "--fresh" in other.said
