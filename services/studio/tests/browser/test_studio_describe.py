"""Screen 1 through its whole task: drop, verdict, words, copy, onward."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from services.studio.tests.browser.driving import Studio, choose, keyed, press, settled, upload
from tests.system import photo

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def describe(page: Page, *files: Path) -> None:
    upload(page, "describe.files", *files)
    page.get_by_test_id("stFormSubmitButton").get_by_role("button").first.click()
    keyed(page, f"card-{len(files) - 1}").wait_for()
    settled(page)


def test_describe(studio: Studio, page: Page, shots: Callable[[Page, str], None]) -> None:
    studio.open(page, "describe")
    page.get_by_text("You are working without provider keys").click()
    expect(page.get_by_text("GOOGLE_API_KEY=")).to_be_visible()
    shots(page, "first-use")
    page.get_by_text("You are working without provider keys").click()

    describe(page, photo("ALY-EAR-014"), photo("ALY-NEC-004"))
    first = keyed(page, "card-0")
    expect(first.locator(".stMarkdownBadge")).to_contain_text("New")
    expect(first.get_by_text("Gold tone jewelry with green stones", exact=True)).to_be_visible()
    expect(first.get_by_text("green stones, pair", exact=False).first).to_be_visible()
    expect(first.get_by_test_id("stMetric")).to_have_count(3)
    # The name is copied by its button.
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    first.get_by_test_id("stCode").first.get_by_role("button", name="Copy to clipboard").click()
    assert page.evaluate("navigator.clipboard.readText()") == "Gold tone jewelry with green stones"
    shots(page, "describe")

    # The same photo once more, mirrored and smaller: told as a duplicate, with the stored one beside it and why.
    with Image.open(photo("ALY-EAR-014")) as opened:
        again = studio.system.folder / "again.jpg"
        opened.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((500, 500)).save(again, quality=70)
    studio.open(page, "describe")
    describe(page, again)
    first = keyed(page, "card-0")
    expect(first.locator(".stMarkdownBadge")).to_contain_text("Duplicate")
    expect(first.get_by_text("It is the same photo, mirrored.")).to_be_visible()
    expect(first.get_by_text("Stored: ALY-EAR-014.jpg")).to_be_visible()
    expect(first.get_by_test_id("stImage")).to_have_count(2)
    expect(first.get_by_test_id("stVegaLiteChart")).to_be_visible()
    shots(page, "describe-duplicate")
    press(page, "describe.anyway.0")
    expect(keyed(page, "card-0").get_by_text("Gold tone jewelry with green stones", exact=True)).to_be_visible()

    # Onward with a SKU of one's own.
    sku = keyed(page, "describe.sku.0", "input")
    sku.fill("MY-SKU-9")
    sku.press("Enter")
    settled(page)
    press(page, "describe.next.0")
    expect(page.get_by_role("heading", name="Catalogue")).to_be_visible()
    expect(page.get_by_text("1 from the Describe screen")).to_be_visible()


def test_the_language_is_kept(studio: Studio, page: Page) -> None:
    studio.open(page, "describe")
    keyed(page, "language_choice").get_by_text("हिन्दी").click()
    expect(page.get_by_role("heading", name="विवरण")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="विवरण")).to_be_visible()
    page.get_by_role("link", name="कैटलॉग").click()
    expect(page.get_by_role("heading", name="कैटलॉग")).to_be_visible()
    # A choice stays, in the words of the other language.
    choose(page, "catalogue.code", "Flipkart · हार")
    keyed(page, "language_choice").get_by_text("English").click()
    expect(page.get_by_role("heading", name="Catalogue")).to_be_visible()
    expect(keyed(page, "catalogue.code", "input")).to_have_value("Flipkart · Necklaces")


def test_describe_on_a_phone_in_hindi(studio: Studio, narrow: Page, shots: Callable[[Page, str], None]) -> None:
    studio.open(narrow, "describe", "lang=hi")
    describe(narrow, photo("ALY-BRA-010"), photo("ALY-BRA-010_2"))
    expect(narrow.get_by_role("heading", name="विवरण")).to_be_visible()
    shots(narrow, "describe")


def test_bad_photos_leave_the_others_alone(studio: Studio, page: Page, tmp_path: Path) -> None:
    bad = tmp_path / "broken.jpg"
    bad.write_bytes(photo("ALY-EAR-003").read_bytes()[:9000])
    text = tmp_path / "words.jpg"
    text.write_bytes(b"no picture at all")
    empty = tmp_path / "empty.jpg"
    empty.touch()
    studio.open(page, "describe")
    page.get_by_test_id("stFormSubmitButton").get_by_role("button").first.click()
    expect(page.get_by_text("Choose at least one photo first.")).to_be_visible()
    describe(page, bad, text, empty, photo("ALY-EAR-003"))
    expect(keyed(page, "card-0").get_by_role("alert")).to_contain_text("damaged or ends too early")
    expect(keyed(page, "card-1").get_by_role("alert")).to_contain_text("picture")
    expect(keyed(page, "card-2").get_by_role("alert")).to_contain_text("empty file")
    expect(keyed(page, "card-3").get_by_test_id("stMetric")).to_have_count(3)
