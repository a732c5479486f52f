"""Old .xls workbooks: read like new ones, filled in their place."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import xlrd  # type: ignore[import-untyped]
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

import marketplaces
from exporter_service import review
from exporter_service.exporting import Exporter, Order
from exporter_service.model import Finding, Medium, Product, SellerValue, Severity, Template
from exporter_service.templates import Templates, read_template
from exporter_service.xls import records as biff
from exporter_service.xls.compound import CompoundFile
from exporter_service.xls.filling import filled
from exporter_service.xlsx.filling import Slot
from servicekit import errors

LISTING = marketplaces.load("fli_ear")
WORKBOOK = Path(__file__).parent / "data" / "flipkart_earring.xls"
INDEX_OF_ROWS = {biff.INDEX, biff.DBCELL, biff.EXTSST}


def read(content: bytes, sheet: str = "earring") -> xlrd.sheet.Sheet:
    return xlrd.open_workbook(file_contents=content, formatting_info=True).sheet_by_name(sheet)


def value(sheet: xlrd.sheet.Sheet, row: int, column: int) -> object:
    """What is read at a place, from 0; nothing is written where nothing was given."""
    there = row < sheet.nrows and column < sheet.row_len(row)
    return sheet.cell_value(row, column) if there else ""


def fill(content: bytes, rows: list[dict[str, str]], slots: list[Slot], data_row: int = 5) -> bytes:
    return filled(content, "earring", data_row, slots, rows)


def test_it_is_understood_like_the_same_workbook_in_the_new_format(layouts: ModuleType, old_workbook: bytes) -> None:
    old = read_template(LISTING, old_workbook, "a.xls", "alya")
    new = read_template(LISTING, layouts.flipkart(), "a.xlsx", "alya")
    assert old.medium is Medium.XLS
    assert (old.sheet, old.data_row, old.columns) == (new.sheet, new.data_row, new.columns)
    assert any("filled in its own format" in warning for warning in old.warnings)


async def test_a_filled_one_has_the_values_and_everything_else_as_it_was(
    exporter: Exporter,
    templates: Templates,
    old_workbook: bytes,
    stored: Callable[[str], bytes],
    make_product: Callable[..., Product],
) -> None:
    template = await templates.register("fli_ear", old_workbook, "earring.xls", "")
    products = [make_product(LISTING, f"SKU-{number:03}") for number in range(40)]
    done = await exporter.export(
        Order("fli_ear", products, seller_values=[SellerValue("mrp", "899")], review_copy=True)
    )
    assert done.url.endswith(".xls")
    content = stored(done.url)
    columns = {column.field: column.number - 1 for column in template.columns}
    sheet = read(content)
    for row, product in enumerate(products, start=template.data_row - 1):
        assert sheet.cell_value(row, columns["Seller SKU ID"]) == product.sku
        assert sheet.cell(row, columns["MRP (INR)"]).ctype == xlrd.XL_CELL_NUMBER
        assert sheet.cell_value(row, columns["MRP (INR)"]) == 899
        assert sheet.cell_value(row, columns["Main Image URL"]) == product.image_urls[0]
    again = read_template(LISTING, content, "a.xls", "alya")
    assert again.columns == template.columns
    assert again.data_row == template.data_row + 40
    _same_but_for_rows(old_workbook, content, template)
    assert done.review_url.endswith(".review.xlsx")


def _same_but_for_rows(before: bytes, after: bytes, template: Template) -> None:
    """Streams beside the workbook's are the same; so are all records but those of rows and shared texts."""
    old, new = CompoundFile(before), CompoundFile(after)
    for name in old.names:
        if name != "Workbook":
            assert old.find(name) == new.find(name), name
    one, other = biff.workbook_stream(old), biff.workbook_stream(new)
    for was, now in zip(biff.sheets(one), biff.sheets(other), strict=True):
        assert (was.name, was.hidden) == (now.name, now.hidden)
        told = [_records(one, was.start), _records(other, now.start)]
        if was.name == template.sheet:
            told = [[r for r in each if r[0] not in _rows() and r[0] != biff.DIMENSIONS] for each in told]
        assert told[0] == told[1], was.name
    workbook = [_records(one, 0), _records(other, 0)]
    moved = {biff.SST, biff.CONTINUE, biff.BOUNDSHEET, biff.EXTSST}
    assert [r for r in workbook[0] if r[0] not in moved] == [r for r in workbook[1] if r[0] not in moved]


def _rows() -> set[int]:
    return {*biff.CELLS, *biff.FOLLOWERS, *INDEX_OF_ROWS, biff.ROW, biff.MULRK, biff.MULBLANK}


def _records(stream: bytes, start: int) -> list[tuple[int, bytes]]:
    return [(record.kind, record.data(stream)) for record in biff.records(stream, start)]


def test_header_rows_styles_and_cells_beside_stay(old_workbook: bytes) -> None:
    content = fill(old_workbook, [{"a": "one"}, {"a": "two"}], [Slot("a", 7)])
    before, after = read(old_workbook), read(content)
    for row in range(4):
        assert after.row_values(row)[: before.ncols] == before.row_values(row)
        assert [cell.xf_index for cell in after.row(row)] == [cell.xf_index for cell in before.row(row)]
    assert after.cell_value(4, 6) == "one"
    assert after.cell_xf_index(4, 6) == before.cell_xf_index(4, 6)  # the border of a prepared row
    assert after.cell_xf_index(7, 6) == before.cell_xf_index(7, 6)  # a prepared row that takes no product
    assert after.nrows == before.nrows


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@example([["", ""]] * 5)  # beyond the rows that the template has
@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), min_size=2, max_size=2),
        min_size=1,
        max_size=20,
    )
)
def test_any_text_is_read_back(rows: list[list[str]]) -> None:
    texts = [dict(zip("ab", row, strict=True)) for row in rows]
    sheet = read(fill(WORKBOOK.read_bytes(), texts, [Slot("a", 7), Slot("b", 139)]))
    for number, row in enumerate(rows, start=4):
        assert [value(sheet, number, column) for column in (6, 138)] == row


def test_long_texts_go_over_many_records(old_workbook: bytes) -> None:
    texts = [{"a": letter * 32_767} for letter in ("x", "ü", "₹", "😀"[:1])]
    texts[3]["a"] = "😀" * 16_383
    sheet = read(fill(old_workbook, texts, [Slot("a", 7)]))
    assert [sheet.cell_value(row, 6) for row in range(4, 8)] == [text["a"] for text in texts]


def test_many_rows_and_a_file_with_more_than_one_table_of_sectors(old_workbook: bytes) -> None:
    """Beyond 7 MB the table of sectors no longer fits the file's header."""
    rows = [{"a": f"SKU-{number}", "b": f"{number} " + "text " * 40} for number in range(40_000)]
    content = fill(old_workbook, rows, [Slot("a", 7), Slot("b", 8), Slot("c", 9, "number")])
    assert len(content) > 8_000_000
    sheet = read(content)
    assert sheet.nrows == 40_004
    assert sheet.cell_value(40_003, 6) == "SKU-39999"
    assert sheet.cell_value(40_003, 7) == rows[-1]["b"]
    assert CompoundFile(content).find("\x05SummaryInformation") == CompoundFile(old_workbook).find(
        "\x05SummaryInformation"
    )


def test_numbers_dates_and_formula_starts(old_workbook: bytes) -> None:
    slots = [Slot("a", 7, "number"), Slot("b", 8, "date"), Slot("c", 9)]
    rows = [{"a": "12.5", "b": "2026-01-31", "c": "=1+1"}, {"a": "007", "b": "no date", "c": "0012"}]
    sheet = read(fill(old_workbook, rows, slots))
    assert [(sheet.cell(4, c).ctype, sheet.cell_value(4, c)) for c in (6, 7, 8)] == [
        (2, 12.5),
        (2, 46053.0),
        (1, "=1+1"),
    ]
    assert sheet.row_values(5)[6:9] == ["007", "no date", "0012"]
    epoch = filled(old_workbook, "earring", 5, slots, rows, epoch_1904=True)
    assert read(epoch).cell_value(4, 7) == 46053.0 - 1462


def test_an_xls_has_65536_rows(old_workbook: bytes) -> None:
    with pytest.raises(errors.ResourceExhausted) as caught:
        fill(old_workbook, [{"a": ""}] * 3, [Slot("a", 7)], data_row=65_535)
    assert caught.value.reason == "SHEET_FULL"


def test_the_positions_of_other_sheets_follow(old_workbook: bytes) -> None:
    """An Index record tells where blocks of rows are; it has to move with its sheet."""
    file = CompoundFile(old_workbook)
    stream = biff.workbook_stream(file)
    sheets = biff.sheets(stream)
    last = max(sheets, key=lambda sheet: sheet.start)
    end = next(biff.records(stream, last.start)).end
    place = last.start + 200
    index = struct.pack("<HHIIII", biff.INDEX, 16, 0, 0, 9, place)
    content = file.with_stream("Workbook", stream[:end] + index + stream[end:])
    after = biff.workbook_stream(CompoundFile(fill(content, [{"a": "one"}], [Slot("a", 7)])))
    moved = next(sheet for sheet in biff.sheets(after) if sheet.name == last.name)
    record = next(record for record in biff.records(after, moved.start) if record.kind == biff.INDEX)
    assert struct.unpack("<IIII", record.data(after))[3] - moved.start == place - last.start


def test_the_review_of_an_old_workbook_is_one_of_its_own() -> None:
    found = Finding("A", "Color", "allowed_values", Severity.ERROR, "not in the list")
    book = load_workbook(io.BytesIO(review.alone([found])))
    assert book.sheetnames == ["About", "Review"]
    assert book["Review"]["A2"].value == "A"


def test_a_review_lists_so_many_and_counts_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review, "MAX_LISTED", 2)
    found = [Finding(sku, "Color", "allowed_values", Severity.ERROR, "not in the list") for sku in "ABCDE"]
    sheet = load_workbook(io.BytesIO(review.alone(found)))["Review"]
    rows = [(row[0], row[6]) for row in sheet.iter_rows(min_row=2, values_only=True)]
    assert rows == [("A", "not in the list"), ("B", "not in the list"), (None, "3 more findings are not listed here")]
