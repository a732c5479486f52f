"""Screen 5 through its whole task: filter with counts, wish, look, take away."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from services.studio.tests.browser.driving import Studio, choose, keyed, press, settled
from tests.system import SAMPLES

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def fill(page: Page, key: str, text: str) -> None:
    box = keyed(page, key, "input")
    box.fill(text)
    box.press("Enter")
    settled(page)


def ready(studio: Studio, page: Page, language: str) -> None:
    """Opens the screen once the catalogue was taken over."""
    counted = page.locator(".st-key-collection-filters").get_by_role("progressbar")
    for _ in range(60):
        studio.open(page, "collections", f"lang={language}")
        if counted.count():
            return
        page.wait_for_timeout(1000)
    raise AssertionError("the catalogue was not taken over")


def test_a_collection(studio: Studio, page: Page, shots: Callable[[Page, str], None]) -> None:
    with (SAMPLES / "products.csv").open(newline="", encoding="utf-8") as file:
        products = list(csv.DictReader(file))
    within = {row["sku"] for row in products if row["category"] == "earrings" and 300 <= float(row["mrp_inr"]) <= 700}
    ready(studio, page, "en")
    filters = keyed(page, "collection-filters")
    expect(filters).to_contain_text(f"{len(products)} of {len(products)} products")
    # The count follows each filter.
    choose(page, "collections.category", "Earrings")
    earrings = sum(row["category"] == "earrings" for row in products)
    expect(filters).to_contain_text(f"{earrings} of {len(products)} products")
    fill(page, "collections.min_price", "300")
    fill(page, "collections.max_price", "700")
    expect(filters).to_contain_text(f"{len(within)} of {len(products)} products")

    fill(page, "collections.words", "festive kundan for a wedding")
    fill(page, "collections.pinned", "ALY-EAR-002")
    press(page, "collections.go")
    keyed(page, "collection").wait_for()
    expect(page.get_by_text("1. ALY-EAR-002")).to_be_visible()
    expect(page.get_by_text("Set by you")).to_be_visible()
    shots(page, "collections")
    with page.expect_download() as coming:
        keyed(page, "collections.csv", "button").click()
    rows = list(csv.DictReader(io.StringIO(coming.value.path().read_text(encoding="utf-8-sig"))))
    assert {row["id"] for row in rows} == within
    assert rows[0]["id"] == "ALY-EAR-002"
    assert all(row["why"].endswith(".") for row in rows)


def test_a_collection_on_a_phone_in_hindi(studio: Studio, narrow: Page, shots: Callable[[Page, str], None]) -> None:
    ready(studio, narrow, "hi")
    fill(narrow, "collections.max_price", "600")
    press(narrow, "collections.go")
    keyed(narrow, "collection").wait_for()
    shots(narrow, "collections")


def test_bad_filters(studio: Studio, page: Page) -> None:
    ready(studio, page, "en")
    fill(page, "collections.min_price", "900")
    fill(page, "collections.max_price", "100")
    expect(page.get_by_role("alert").first).to_contain_text("reversed")
    # Nothing is that dear: the screen says how far the filters are from something.
    ready(studio, page, "en")
    fill(page, "collections.min_price", "90000")
    expect(keyed(page, "collection-filters")).to_contain_text("0 of")
    press(page, "collections.go")
    expect(page.get_by_text("With a lowest price of", exact=False)).to_be_visible()
