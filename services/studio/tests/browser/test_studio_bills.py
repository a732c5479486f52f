"""Screen 3 through its whole task: read, mend, narrow down, take away."""

from __future__ import annotations

import contextlib
import csv
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from openpyxl import load_workbook
from PIL import Image
from playwright.sync_api import Download, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from services.studio.tests.browser.driving import Studio, keyed, press, settled, upload
from tests.system import SAMPLES

pytestmark = [pytest.mark.browser, pytest.mark.timeout(420)]
# A page on a loaded machine without a provider; milliseconds.
READING = 180_000


def read(page: Page, *files: Path) -> None:
    upload(page, "bills.files", *files)
    page.get_by_test_id("stFormSubmitButton").get_by_role("button").first.click()
    keyed(page, "bill-summary").wait_for(timeout=READING)
    settled(page)


def downloaded(page: Page, key: str) -> Download:
    with page.expect_download() as coming:
        keyed(page, key, "button").click()
    return coming.value


def mend(page: Page, row: int, column: int, text: str) -> None:
    """Writes into a cell of the table, which is drawn on a canvas: by keys, from its first cell."""
    table = page.get_by_test_id("stDataFrame").first
    table.scroll_into_view_if_needed()
    cell = page.locator("#portal input, #portal textarea").first
    for _ in range(4):
        # Rows take a moment until they are drawn, and a table that has just been drawn may not yet take keys.
        page.wait_for_timeout(800)
        box = table.bounding_box()
        assert box is not None
        # The row's mark stands left of the first column.
        page.mouse.click(box["x"] + 90, box["y"] + 52)
        for key in ["ArrowDown"] * row + ["ArrowRight"] * column + ["Enter"]:
            page.keyboard.press(key)
            page.wait_for_timeout(80)
        with contextlib.suppress(PlaywrightTimeout):
            cell.fill(text, timeout=3000)
            break
        page.keyboard.press("Escape")
    cell.press("Enter")
    page.wait_for_timeout(500)
    settled(page)


def test_a_bill(studio: Studio, page: Page, shots: Callable[[Page, str], None], tmp_path: Path) -> None:
    bill = tmp_path / "bill.pdf"
    with Image.open(SAMPLES / "bills" / "bill1_clean.png") as opened:
        opened.convert("RGB").save(bill, "PDF", resolution=150)
    studio.open(page, "bills")
    read(page, bill)
    expect(page.get_by_text("08ZQKXV0041N1ZA")).to_be_visible()
    expect(page.get_by_text("Read by rapidocr", exact=False)).to_be_visible()
    expect(keyed(page, "bill-summary")).not_to_contain_text("wrong")

    # A wrong amount (row 2, behind the check: no., description, HSN, quantity, unit, rate, amount) is told at once.
    mend(page, 1, 7, "7000")
    expect(keyed(page, "bill-summary")).to_contain_text("2 wrong")
    alert = page.get_by_role("alert").first
    expect(alert).to_contain_text("Row 2, quantity × rate: by the arithmetic 7056, on the bill 7000")
    expect(alert).to_contain_text("Whole bill, value before tax")
    shots(page, "bills")
    mend(page, 1, 7, "7056")
    expect(keyed(page, "bill-summary")).not_to_contain_text("wrong")
    mend(page, 0, 2, "=1+1")

    told = list(csv.reader(io.StringIO(downloaded(page, "bills.csv").path().read_text(encoding="utf-8-sig"))))
    assert told[0] == ["sl", "description", "hsn", "qty", "unit", "rate", "amount"]
    assert len(told) == 9
    assert (told[1][1], told[2][6]) == ("'=1+1", "7056")
    sheet = load_workbook(io.BytesIO(downloaded(page, "bills.xlsx").path().read_bytes())).active
    assert sheet is not None
    assert (sheet["B2"].value, sheet["G3"].value) == ("=1+1", 7056)
    assert sheet["B2"].data_type != "f"

    words = keyed(page, "bills.words", "input")
    words.fill("amount > 5000")
    page.get_by_role("button", name="Show these").click()
    expect(page.get_by_text("4 of 8 rows.")).to_be_visible()
    part = downloaded(page, "refined.csv").path().read_text(encoding="utf-8-sig")
    assert [row["amount"] for row in csv.DictReader(io.StringIO(part))] == ["15900", "7056", "6048", "5520"]
    press(page, "bills.take")
    expect(keyed(page, "bill-summary")).to_contain_text("tests passed")
    assert len(downloaded(page, "bills.csv").path().read_text(encoding="utf-8-sig").splitlines()) == 5


def test_a_bill_on_a_phone_in_hindi(studio: Studio, narrow: Page, shots: Callable[[Page, str], None]) -> None:
    studio.open(narrow, "bills", "lang=hi")
    read(narrow, SAMPLES / "bills" / "bill4_photo.jpg")
    expect(narrow.get_by_role("heading", name="बिल", exact=True)).to_be_visible()
    shots(narrow, "bills")


def test_bad_bills(studio: Studio, page: Page, tmp_path: Path) -> None:
    studio.open(page, "bills")
    send = page.get_by_test_id("stFormSubmitButton").get_by_role("button").first
    send.click()
    expect(page.get_by_text("Choose a PDF or at least one picture of the bill first.")).to_be_visible()
    words, empty, cut = tmp_path / "words.pdf", tmp_path / "empty.png", tmp_path / "cut.png"
    words.write_bytes(b"%PDF-1.7 and nothing else")
    empty.touch()
    cut.write_bytes((SAMPLES / "bills" / "bill1_clean.png").read_bytes()[:20_000])
    copy = tmp_path / "a.pdf"
    shutil.copy(words, copy)
    for files, said in (([empty], "empty file"), ([words], "PDF"), ([cut], "damaged"), ([words, copy], "one PDF")):
        studio.open(page, "bills")
        upload(page, "bills.files", *files)
        page.get_by_test_id("stFormSubmitButton").get_by_role("button").first.click()
        expect(page.get_by_role("alert").first).to_contain_text(said, ignore_case=True)
