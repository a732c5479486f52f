"""The browser, and a command line against a local shop."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scrapers import cli
from scrapers.browse.chromium import find_chromium
from scrapers.browse.errors import BrowserMissing
from scrapers.settings import Settings

from .local_site.server import Shop, open_shop


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chromium", default=None, help="the Chromium that browser tests drive")


@pytest.fixture(scope="session")
def chromium(request: pytest.FixtureRequest) -> Path:
    """The browser, from --chromium, CHROMIUM_PATH or the usual places; without one the test is skipped."""
    given = request.config.getoption("--chromium", default=None)
    try:
        return find_chromium(Path(given) if given else Settings().chromium_path)
    except BrowserMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    """A local shop; `@pytest.mark.parametrize("shop", ["myntra"], indirect=True)` chooses the site."""
    with open_shop(getattr(request, "param", "amazon")) as shop:
        yield shop


class Outcome:
    """What a command left behind; `rows` are those of the first output, where it is JSON lines."""

    def __init__(self, status: int, out: Path, said: str) -> None:
        self.status = status
        self.out = out
        self.said = said
        lines = out.read_text().splitlines() if out.suffix == ".jsonl" and out.exists() else []
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
        self.ids: list[str] = [row["product_id"] for row in self.rows]


Scrape = Callable[..., Outcome]
# No waiting for politeness on a shop of one's own; short patience, so that faults show quickly.
QUICK = ("--delay", "0", "--settle", "1", "--backoff", "0.05", "--timeout", "20")


@pytest.fixture
def scrape(chromium: Path, shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Scrape:
    """Runs `scrapers <site> <what>` against the shop."""

    def run(what: str, *options: str, out: str = "products.jsonl") -> Outcome:
        path = tmp_path / out
        given = [shop.site, what, "--out", str(path), "--base-url", shop.base, "--chromium", str(chromium)]
        status = cli.main([*given, *QUICK, *options])
        return Outcome(status, path, capsys.readouterr().err)

    return run
