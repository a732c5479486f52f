"""Screen 4 through its whole task: search, narrow down, tell apart, delete."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from services.studio.tests.browser.driving import Studio, keyed, press, settled, upload
from tests.system import photo
from tests.system import upload as store

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
WEBSITE = "blysk"  # the tests of other screens store for the other one


@pytest.fixture(scope="module")
def stored(studio: Studio) -> None:
    with studio.system.client() as client:
        for sku in ("ALY-RNG-001", "ALY-RNG-002", "ALY-RNG-003", "ALY-NEC-010", "ALY-BRA-006"):
            answer = store(client, photo(sku).read_bytes(), f"{sku}.jpg", website=WEBSITE)
            assert answer.status_code == 200, answer.text


def search(page: Page, file: Path) -> None:
    upload(page, "similar.file", file)
    box = keyed(page, "similar.website", "input")
    box.click()
    box.fill("Blysk")
    page.get_by_role("option", name="Blysk", exact=True).first.click()
    settled(page)
    page.get_by_test_id("stFormSubmitButton").get_by_role("button").first.click()
    keyed(page, "neighbours").wait_for()
    settled(page)


def cards(page: Page) -> int:
    return page.locator('[class*="st-key-neighbour-"]').count()


@pytest.mark.usefixtures("stored")
def test_similar(studio: Studio, page: Page, shots: Callable[[Page, str], None], tmp_path: Path) -> None:
    changed = tmp_path / "changed.jpg"
    with Image.open(photo("ALY-RNG-001")) as opened:
        opened.resize((500, 500)).save(changed, quality=60)
    studio.open(page, "similar")
    expect(page.get_by_text("Measured on 1640 labelled pairs", exact=False)).to_be_visible()
    search(page, changed)
    nearest = keyed(page, "neighbour-0")
    expect(nearest).to_contain_text("Duplicate")
    expect(nearest).to_contain_text("ALY-RNG-001.jpg")

    # To the right end of the slider: everything is shown, and the plot says what that lets through.
    few = cards(page)
    thumb = page.get_by_role("slider").first
    thumb.focus()
    thumb.press("End")
    settled(page)
    expect(keyed(page, "neighbour-4")).to_be_visible()
    assert few < cards(page) == 5
    expect(page.get_by_test_id("stMetric").first).to_contain_text("100.0 %")
    shots(page, "similar")

    # Not the same: kept apart from now on, so that the stored one is no duplicate of this photo any more.
    press(page, "similar.apart.0")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("never again told as duplicates")
    keyed(page, "similar.apart.yes", "button").click()
    expect(dialog).to_have_count(0)
    settled(page)
    expect(keyed(page, "neighbour-0")).to_contain_text("Same file")
    expect(keyed(page, "neighbour-1")).to_contain_text("Similar")
    expect(keyed(page, "neighbour-1")).to_contain_text("ALY-RNG-001.jpg")

    # Deleted only after it was confirmed.
    press(page, "similar.delete.0")
    expect(page.get_by_role("dialog")).to_contain_text("This cannot be undone.")
    shots(page, "similar-delete")
    press(page, "similar.delete.yes.cancel")
    expect(keyed(page, "neighbour-0")).to_contain_text("Same file")
    press(page, "similar.delete.0")
    keyed(page, "similar.delete.yes", "button").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_text("changed.jpg is deleted.")).to_be_visible()
    expect(keyed(page, "neighbours")).not_to_contain_text("Same file")


@pytest.mark.usefixtures("stored")
def test_similar_on_a_phone_in_hindi(studio: Studio, narrow: Page, shots: Callable[[Page, str], None]) -> None:
    studio.open(narrow, "similar", "lang=hi")
    search(narrow, photo("ALY-RNG-002"))
    shots(narrow, "similar")


def test_bad_searches(studio: Studio, page: Page, tmp_path: Path) -> None:
    studio.open(page, "similar")
    page.get_by_test_id("stFormSubmitButton").get_by_role("button").first.click()
    expect(page.get_by_text("Choose a photo first.")).to_be_visible()
    broken, empty = tmp_path / "broken.jpg", tmp_path / "empty.jpg"
    broken.write_bytes(b"no picture at all")
    empty.touch()
    for file, said in ((empty, "empty file"), (broken, "picture")):
        studio.open(page, "similar")
        upload(page, "similar.file", file)
        page.get_by_test_id("stFormSubmitButton").get_by_role("button").first.click()
        expect(page.get_by_role("alert").first).to_contain_text(said)
    # Without CLIP the screen says what words need.
    page.get_by_role("radio", name="By words").or_(page.get_by_role("button", name="By words")).first.click()
    settled(page)
    page.get_by_test_id("stFormSubmitButton").get_by_role("button").first.click()
    expect(page.get_by_text("Write some words first.")).to_be_visible()
    keyed(page, "similar.words", "input").fill("gold hoops")
    page.get_by_test_id("stFormSubmitButton").get_by_role("button").first.click()
    expect(page.get_by_role("alert").first).to_contain_text("configure a CLIP model")
