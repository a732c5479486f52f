"""Screen 2 through its whole task, a job that outlives the browser, and every kind of bad input."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import openpyxl
import pytest
from playwright.sync_api import Page, expect

from services.studio.tests.browser.driving import Studio, choose, keyed, press, settled, upload
from tests.system import photo
from tests.system import upload as store

pytestmark = [pytest.mark.browser, pytest.mark.timeout(420)]

Shoot = Callable[[Page, str], None]
# The end of a job on a loaded machine; milliseconds.
JOB = 120_000


def start(page: Page) -> str:
    """Starts the job; gives its id from the address."""
    press(page, "catalogue.start")
    page.wait_for_url(re.compile(r"job=[0-9a-f]{32}"))
    return re.search(r"job=([0-9a-f]{32})", page.url)[1]  # type: ignore[index]  # as waited for


def ended(page: Page) -> None:
    keyed(page, "workbook").wait_for(timeout=JOB)
    settled(page)


def download(page: Page, folder: Path) -> Path:
    with page.expect_download() as told:
        keyed(page, "job.download", "button").click()
    path = folder / told.value.suggested_filename
    told.value.save_as(path)
    return path


def column(workbook: Path, label: str) -> list[object]:
    """The values below a label of the sheet that is filled; names for machines may come before the products' own."""
    for sheet in openpyxl.load_workbook(workbook).worksheets:
        for row in sheet.iter_rows(max_row=6):
            for cell in row:
                if cell.value == label:
                    below = [sheet.cell(at, cell.column).value for at in range(cell.row + 1, sheet.max_row + 1)]
                    return [value for value in below if value]
    raise AssertionError(f"{workbook.name} has no column {label}")


def test_catalogue(studio: Studio, page: Page, shots: Shoot, tmp_path: Path) -> None:
    studio.open(page, "catalogue")
    views = [photo("ALY-EAR-001"), photo("ALY-EAR-001", "_2")]
    upload(page, "catalogue.photos", *views, photo("ALY-EAR-002"), photo("ALY-EAR-007"))
    expect(keyed(page, "catalogue.start", "button")).to_contain_text("Start with 3 products")
    expect(keyed(page, "estimate")).to_contain_text("₹ 0.00")

    # The seller's profile, said once.
    press(page, "catalogue.profile_edit")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name of the profile").fill("Shop")
    dialog.get_by_label("Brand", exact=True).fill("Moonstone")
    dialog.get_by_label("Selling price (₹)").fill("449")
    dialog.get_by_role("textbox", name="Other values").fill("no equals sign")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Line 1 of the other values is no `name = value`")
    dialog.get_by_role("textbox", name="Other values").fill("manufacturer = Moonstone Works")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    expect(keyed(page, "catalogue.profile", "input")).to_have_value("Shop")
    shots(page, "catalogue")

    job_id = start(page)
    ended(page)
    expect(page.get_by_text("Products: 3 done, 0 failed")).to_be_visible()
    first = column(download(page, tmp_path), "Brand Name")
    assert first[-3:] == ["Moonstone"] * 3
    shots(page, "review")

    # What would be refused comes first; the template's own values; accepted by keyboard.
    fields = keyed(page, "review-fields")
    expect(fields.get_by_test_id("stSelectbox").first).to_contain_text("Material Type")
    expect(fields.get_by_text("Material Type is wanted by Amazon.in; it is empty")).to_be_visible()
    help_sign = fields.get_by_test_id("stSelectbox").first.get_by_test_id("stTooltipHoverTarget")
    help_sign.hover()
    expect(page.get_by_test_id("stTooltipContent")).to_contain_text("Why to check")
    page.mouse.move(1, 1)
    sku = keyed(page, "review.sku", "input").input_value()
    assert sku.startswith("1/3")
    box = fields.get_by_test_id("stSelectbox").first.locator("input")
    box.click()
    box.fill("Brass")
    box.press("Enter")
    page.keyboard.press("Control+Enter")
    expect(keyed(page, "review.sku", "input")).to_have_value(re.compile("^2/3"))
    page.keyboard.press("Alt+ArrowLeft")
    expect(keyed(page, "review.sku", "input")).to_have_value(re.compile("^1/3"))
    expect(fields.get_by_text("Material Type is wanted")).to_have_count(0)

    # One value for all of them, in the table.
    keyed(page, "review.view").get_by_text("Table").click()
    settled(page)
    page.get_by_text("One value for many products").click()
    choose(page, "bulk.field", "Gemstone Type")
    box = keyed(page, "bulk.value.gem_type", "input")
    box.click()
    option = page.get_by_role("option").first
    value = option.inner_text()
    option.click()
    settled(page)
    press(page, "bulk.go")
    expect(page.get_by_text("You have corrections that are not in the workbook yet")).to_be_visible()
    shots(page, "review-table")

    # A reload comes back to the job; the workbook is written again and has what a person said.
    page.reload()
    ended(page)
    press(page, "job.export")
    expect(page.get_by_text("The workbook has your corrections.")).to_be_visible()
    settled(page)
    workbook = download(page, tmp_path)
    assert workbook.name == f"ama_ear-{job_id[:8]}.xlsx"
    assert column(workbook, "Gemstone Type")[-3:] == [value] * 3
    assert column(workbook, "Material Type").count("Brass") == 1
    assert column(workbook, "Seller SKU")[-3:] == ["ALY-EAR-001", "ALY-EAR-002", "ALY-EAR-007"]

    # The filled workbook as a template of one's own.
    press(page, "job.back")
    expect(keyed(page, f"job-{job_id}")).to_be_visible()
    shots(page, "jobs")
    keyed(page, "catalogue.view").get_by_text("New listing").click()
    settled(page)
    page.get_by_text("Upload your own").click()
    upload(page, "catalogue.template.ama_ear.file", workbook)
    press(page, "catalogue.template.ama_ear.register")
    expect(page.get_by_text(re.compile(r"Taken: \d+ of \d+ columns are understood"))).to_be_visible()
    expect(keyed(page, "catalogue.template.ama_ear", "input")).to_have_value(re.compile(r"\(version 1\)"))


def test_a_job_outlives_the_browser_and_is_resumed(studio: Studio, page: Page) -> None:
    with studio.system.client() as client:
        urls = {sku: store(client, photo(sku).read_bytes()).json()["s3_url"] for sku in ("ALY-EAR-010", "ALY-EAR-012")}
    stored = studio.system.folder / "data" / "objects" / urlsplit(urls["ALY-EAR-012"]).path.removeprefix("/files/")
    away = stored.rename(stored.with_name("away"))
    studio.open(page, "catalogue")
    keyed(page, "catalogue.source").get_by_text("Pasted addresses").click()
    settled(page)
    area = keyed(page, "catalogue.pasted", "textarea")
    area.fill("\n".join(f"{sku}, {url}" for sku, url in urls.items()))
    area.press("Control+Enter")
    settled(page)
    # Nobody reads pictures for a while: the job waits, the browser leaves and comes back.
    studio.system.kill("analyzer")
    job_id = start(page)
    expect(page.get_by_text(re.compile("of 2 products"))).to_be_visible()
    page.goto("about:blank")
    studio.open(page, "catalogue", f"job={job_id}&lang=en")
    expect(page.get_by_text("ALY-EAR-010")).to_be_visible()
    studio.system.start("analyzer")
    ended(page)
    expect(page.get_by_text("Partly done")).to_be_visible()
    expect(page.get_by_text("Products: 1 done, 1 failed")).to_be_visible()
    expect(page.get_by_text("the picture cannot be used")).to_be_visible()
    away.rename(stored)
    press(page, "job.resume")
    expect(page.get_by_text("Products: 2 done, 0 failed")).to_be_visible(timeout=JOB)


def test_on_a_phone_in_hindi(studio: Studio, narrow: Page, shots: Shoot) -> None:
    studio.open(narrow, "catalogue", "lang=hi")
    upload(narrow, "catalogue.photos", photo("ALY-EAR-005"), photo("ALY-EAR-006"))
    keyed(narrow, "catalogue.start", "button").wait_for()
    shots(narrow, "catalogue")
    start(narrow)
    ended(narrow)
    shots(narrow, "review")
    keyed(narrow, "review.view").get_by_text("तालिका").click()
    settled(narrow)
    shots(narrow, "review-table")


BAD_LINES = {
    "no address here": "Line 1 has no address",
    "A, https://a.example/1.jpg\nA, https://a.example/2.jpg": "A SKU may come once only",
}


def test_bad_input_is_answered_with_a_sentence(studio: Studio, page: Page, tmp_path: Path) -> None:
    studio.open(page, "catalogue")
    box = keyed(page, "step-products")

    def tab(name: str) -> None:
        keyed(page, "catalogue.source").get_by_text(name).click()
        settled(page)

    tab("Folder as zip")
    (tmp_path / "broken.zip").write_bytes(b"PK no archive")
    upload(page, "catalogue.archive", tmp_path / "broken.zip")
    expect(box.get_by_role("alert")).to_contain_text("is no zip file that can be read")

    tab("CSV file")
    (tmp_path / "list.csv").write_text("name,mrp\nA,5\n")
    upload(page, "catalogue.csv", tmp_path / "list.csv")
    expect(box.get_by_role("alert")).to_contain_text("list.csv has no column")

    tab("Pasted addresses")
    for text, sentence in BAD_LINES.items():
        area = keyed(page, "catalogue.pasted", "textarea")
        area.fill(text)
        area.press("Control+Enter")
        expect(box.get_by_role("alert")).to_contain_text(sentence)

    # A workbook that is none.
    page.get_by_text("Upload your own").click()
    (tmp_path / "mine.xlsx").write_bytes(b"no workbook")
    upload(page, "catalogue.template.ama_ear.file", tmp_path / "mine.xlsx")
    press(page, "catalogue.template.ama_ear.register")
    expect(page.get_by_test_id("stPopoverBody").get_by_role("alert")).to_be_visible()

    # A photo that is none is left out; its neighbour is listed.
    studio.open(page, "catalogue")
    (tmp_path / "BAD-1.jpg").write_bytes(b"no picture")
    upload(page, "catalogue.photos", tmp_path / "BAD-1.jpg", photo("ALY-EAR-008"))
    start(page)
    expect(page.get_by_text("Could not be sent and left out: 1")).to_be_visible()
    expect(page.get_by_text("BAD-1")).to_be_visible()
    ended(page)
    expect(page.get_by_text("Products: 1 done, 0 failed")).to_be_visible()

    # A job that is not there.
    studio.open(page, "catalogue", "lang=en&job=0123456789abcdef")
    expect(page.get_by_role("alert")).to_contain_text("job", ignore_case=True)
