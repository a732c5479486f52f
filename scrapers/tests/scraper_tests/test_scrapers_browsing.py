"""Real Chromium over the local shops: every site, every generation of markup, all fields right; paging, scrolling."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from scrapers.record import SITE_NAMES, Record

from .conftest import Scrape
from .local_site import expected
from .local_site.goods import goods
from .local_site.server import PER_PAGE, Shop

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("chromium")]
every_site = pytest.mark.parametrize("shop", SITE_NAMES, indirect=True)


def wrong_fields(shop: Shop, row: dict[str, Any], number: int) -> dict[str, Any]:
    record = Record.model_validate_json(json.dumps(row))
    wanted = expected.expected(shop.site, goods(number), shop.generation_of(number), shop.base)
    return {name: (getattr(record, name), value) for name, value in wanted.items() if getattr(record, name) != value}


@every_site
def test_a_search_over_two_pages_all_fields_right(shop: Shop, scrape: Scrape) -> None:
    """Products of all three generations of markup, found by a search."""
    began = datetime.now(UTC)
    done = scrape("jhumka earrings", "--parallel", "3")
    assert done.status == 0, done.said
    assert len(done.rows) == len(shop.numbers) == 2 * PER_PAGE
    for row, number in zip(done.rows, shop.numbers, strict=True):  # in the order of the search
        assert not wrong_fields(shop, row, number), number
        assert row["url"].startswith(shop.base)
        assert began <= datetime.fromisoformat(row["scraped_at"]) <= datetime.now(UTC)
        assert row["parser_version"]
    assert shop.agents == {"Mozilla/5.0 (compatible; jewelry-scrapers/0.1)"}


@every_site
def test_content_that_scripts_put_in_later(shop: Shop, scrape: Scrape) -> None:
    """The newest markup, built by a script after the page has loaded: the scraper waits for it."""
    shop.generation = 3
    shop.hydrate = 300
    number = 6
    product = goods(number)
    name = {"amazon": product.asin, "flipkart": product.fsn, "myntra": product.style}[shop.site]
    done = scrape(name, "--settle", "10")
    assert done.status == 0, done.said
    # Scripts that arrive inside another script's text are inert, JSON-LD among them; the rest is there.
    wrong = wrong_fields(shop, done.rows[0], number)
    assert set(wrong) <= {"category_path"}


@pytest.mark.parametrize(("shop", "generation"), [("amazon", 2), ("flipkart", 2), ("myntra", 3)], indirect=["shop"])
def test_paging_ends_at_the_limits(shop: Shop, scrape: Scrape, generation: int) -> None:
    shop.numbers = list(range(4 * PER_PAGE))
    shop.search_generation = generation
    shop.generation = 3
    done = scrape("earrings", "--limit", str(PER_PAGE + 2))
    assert done.status == 0, done.said
    assert len(done.rows) == PER_PAGE + 2
    assert set(shop.product_requests()) == set(range(PER_PAGE + 2))
    few = scrape("earrings", "--max-pages", "1", out="few.jsonl")
    assert len(few.rows) == PER_PAGE


@every_site
def test_endless_scrolling(shop: Shop, scrape: Scrape) -> None:
    """A results page without a next page grows three times, then no more."""
    shop.infinite = True
    shop.generation = 3
    shop.numbers = list(range(2 * PER_PAGE + 3))
    done = scrape("earrings", "--parallel", "3", "--settle", "2")
    assert done.status == 0, done.said
    assert len(done.ids) == len(set(done.ids)) == 2 * PER_PAGE + 3


def test_a_product_page_and_a_list_page_by_address(shop: Shop, scrape: Scrape) -> None:
    one = scrape(f"{shop.base}/some-slug/dp/{goods(4).asin}/ref=sr_1_1?keywords=x", out="one.jsonl")
    assert one.status == 0, one.said
    assert one.ids == [goods(4).asin]
    listed = scrape(f"{shop.base}/s?k=anything&rh=n%3A123", "--limit", "2", out="list.jsonl")
    assert listed.ids == [goods(0).asin, goods(1).asin]


@pytest.mark.parametrize("shop", ["flipkart"], indirect=True)
def test_item_ids_and_fsns_of_one_product_give_one_row(shop: Shop, scrape: Scrape) -> None:
    shop.generation = 1
    done = scrape(f"{goods(1).itm} {goods(1).fsn} {goods(2).fsn}")
    assert done.status == 0, done.said
    assert done.ids == [goods(1).fsn, goods(2).fsn]


def test_many_pages_in_parallel_stay_within_the_bound(shop: Shop, scrape: Scrape) -> None:
    done = scrape("earrings", "--parallel", "2", "--limit", "6")
    assert done.status == 0, done.said
    assert 1 <= shop.most_open <= 3  # two pages, and a favicon once
