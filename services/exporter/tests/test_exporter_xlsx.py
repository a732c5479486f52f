"""The writer: text stays text, and everything that is not a product stays as it was."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook
from openpyxl.styles import PatternFill
from openpyxl.utils.escape import unescape

from exporter_service import dates
from exporter_service.xlsx import cells
from exporter_service.xlsx.filling import Batch, Filler, Kind, Slot
from exporter_service.xlsx.package import Package, writer_of
from exporter_service.xlsx.scanning import scan
from servicekit import errors

SHEET = (
    b'<?xml version="1.0" encoding="UTF-8"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
    b'<dimension ref="A1:B2"/><cols><col min="1" max="2" width="9" style="3"/></cols>'
    b'<sheetData><row r="1"><c r="A1" t="s"><v>0</v></c></row>'
    b'<row r="2" ht="30" customHeight="1"><c r="A2" s="7"/><c r="C2"><f>1+1</f><v>2</v></c></row>'
    b'<row r="3"><c r="B3" s="5"/></row></sheetData>'
    b'<dataValidations count="1"><dataValidation type="list" sqref="B2:B9"><formula1>"a,b"</formula1></dataValidation>'
    b'</dataValidations><extLst><ext uri="{X}"/></extLst></worksheet>'
)


def slot(column: int, kind: Kind = "text") -> Slot:
    return Slot(str(column), column, kind)


def filler(xml: bytes, slots: Sequence[Slot], data_row: int = 2) -> Filler:
    batch = Batch({}, [slot.key for slot in slots])
    return Filler(scan(xml, data_row), data_row, slots, partial(dates.serial, epoch_1904=False), {0: batch})


def written(xml: bytes, rows: Sequence[Sequence[str]], slots: Sequence[Slot], data_row: int = 2) -> bytes:
    return b"".join(filler(xml, slots, data_row).stream(((0, row) for row in rows), len(rows)))


def fill(book: Workbook, rows: Sequence[Sequence[str]], slots: Sequence[Slot], data_row: int = 1) -> bytes:
    buffer = io.BytesIO()
    book.save(buffer)
    package = Package(buffer.getvalue())
    part = package.sheets()[book.worksheets[0].title]
    xml = written(package.read(part), rows, slots, data_row)
    return package.rewritten({part: writer_of(xml)})


def test_rows_go_into_the_sheet_and_the_rest_stays() -> None:
    xml = written(SHEET, [["one", "two"]], [slot(1), slot(2)])
    head, tail = SHEET.split(b'<row r="2"')[0], SHEET.split(b"</sheetData>")[1]
    assert xml.startswith(head.replace(b'ref="A1:B2"', b'ref="A1:B2"'))
    assert xml.endswith(b"</sheetData>" + tail)


def test_a_row_of_the_template_keeps_its_height_styles_and_other_cells() -> None:
    xml = written(SHEET, [["one", "two"]], [slot(1), slot(2)]).decode()
    assert '<row r="2" ht="30" customHeight="1">' in xml
    assert '<c r="A2" s="7" t="inlineStr"><is><t>one</t></is></c>' in xml
    assert '<c r="B2" s="3" t="inlineStr"><is><t>two</t></is></c>' in xml
    assert '<c r="C2"><f>1+1</f><v>2</v></c>' in xml
    assert '<row r="3"><c r="B3" s="5"/></row>' in xml


def test_rows_beyond_the_template_take_the_style_of_their_column() -> None:
    xml = written(SHEET, [["", ""], ["", ""], ["x", "12"]], [slot(1), slot(2, "number")]).decode()
    assert '<row r="4"><c r="A4" s="7" t="inlineStr"><is><t>x</t></is></c><c r="B4" s="3"><v>12</v></c></row>' in xml
    assert '<dimension ref="A1:B4"/>' in xml


def test_a_sheet_without_rows() -> None:
    empty = re.sub(rb"<sheetData>.*</sheetData>", b"<sheetData/>", SHEET, flags=re.S)
    xml = written(empty, [["one"]], [slot(1)])
    assert b'<sheetData><row r="2"><c r="A2" s="3" t="inlineStr">' in xml
    assert xml.endswith(b"</row></sheetData>" + SHEET.split(b"</sheetData>")[1])


def test_a_sheet_whose_elements_have_a_prefix() -> None:
    prefixed = re.sub(rb"<(/?)(?=[a-z])", rb"<\1x:", SHEET).replace(b"xmlns=", b"xmlns:x=")
    xml = written(prefixed, [["a<b", "5"]], [slot(1), slot(2, "number")], data_row=4)
    assert b'<x:row r="4"><x:c r="A4" s="3" t="inlineStr"><x:is><x:t>a&lt;b</x:t></x:is></x:c>' in xml
    assert b'<x:c r="B4" s="3"><x:v>5</x:v></x:c></x:row></x:sheetData>' in xml


@pytest.mark.parametrize(
    "xml",
    [
        b"",
        b"<worksheet>",
        b"<worksheet/>",
        b"\xff\xfe\xfa",
        b'<!DOCTYPE a [<!ENTITY b "c">]><worksheet><sheetData/></worksheet>',
    ],
)
def test_a_broken_sheet_is_refused(xml: bytes) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        scan(xml, 2)
    assert caught.value.reason == "TEMPLATE_UNREADABLE"


def test_more_rows_than_a_sheet_has() -> None:
    with pytest.raises(errors.ResourceExhausted):
        next(filler(SHEET, [slot(1)]).stream([], cells.MAX_ROWS))


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", "\t=1", "0012", "1e5", "TRUE", "#N/A"]
)
def test_what_looks_like_a_formula_or_a_number_stays_text(text: str) -> None:
    book = load_workbook(io.BytesIO(fill(Workbook(), [[text]], [slot(1)])))
    cell = book.worksheets[0]["A1"]
    assert (cell.value, cell.data_type) == (text, "s")


@pytest.mark.parametrize("text", ["0", "-5", "599", "16.4", "0.25", "123456789012345"])
def test_numbers_are_numbers(text: str) -> None:
    book = load_workbook(io.BytesIO(fill(Workbook(), [[text]], [slot(1, "number")])))
    cell = book.worksheets[0]["A1"]
    assert cell.data_type == "n"
    assert cell.value == float(text)


@pytest.mark.parametrize("text", ["007", "1,299", "1e5", "1234567890123456", "5.", "--1", " 5"])
def test_what_is_no_plain_number_stays_text_in_a_number_column(text: str) -> None:
    book = load_workbook(io.BytesIO(fill(Workbook(), [[text]], [slot(1, "number")])))
    assert book.worksheets[0]["A1"].value == text


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(st.text(max_size=40), min_size=3, max_size=3), min_size=1, max_size=40))
def test_any_text_is_read_back(rows: list[list[str]]) -> None:
    given_rows = [[cells.clean(text) for text in row] for row in rows]
    book = load_workbook(io.BytesIO(fill(Workbook(), given_rows, [slot(1), slot(2), slot(30)])))
    sheet = book.worksheets[0]
    for number, row in enumerate(given_rows, start=1):
        read = [sheet.cell(number, column).value for column in (1, 2, 30)]
        assert [unescape(str(text or "")) for text in read] == row


def test_a_thousand_rows_keep_their_places() -> None:
    rows = [[f"SKU-{number:05}", f"{number}", f"=A{number}"] for number in range(1000)]
    book = load_workbook(io.BytesIO(fill(Workbook(), rows, [slot(1), slot(2, "number"), slot(300)])))
    sheet = book.worksheets[0]
    assert [[sheet.cell(n, c).value for c in (1, 2, 300)] for n in range(1, 1001)] == [
        [sku, int(number), text] for sku, number, text in rows
    ]


def test_literal_escapes_and_the_longest_text() -> None:
    texts = ["_x0041_", "_x000D_ and _x_", "x" * cells.MAX_TEXT]
    book = load_workbook(io.BytesIO(fill(Workbook(), [[text] for text in texts], [slot(1)])))
    read = [book.worksheets[0].cell(row, 1).value for row in (1, 2, 3)]
    assert read[0] == "_x005F_x0041_"  # as Excel writes a literal `_x0041_`
    assert [unescape(str(text)) for text in read] == texts


def test_parts_are_copied_byte_for_byte_whatever_they_are() -> None:
    book = Workbook()
    book.worksheets[0]["A1"].fill = PatternFill("solid", start_color="FF0000")
    buffer = io.BytesIO()
    book.save(buffer)
    with zipfile.ZipFile(buffer, "a") as extended:
        extended.writestr("customXml/item1.xml", "<secret/>")
        extended.writestr("xl/vbaProject.bin", bytes(range(256)) * 10, zipfile.ZIP_STORED)
    package = Package(buffer.getvalue())
    part = package.sheets()["Sheet"]
    result = Package(package.rewritten({part: writer_of(SHEET)}))
    assert list(result.parts) == list(package.parts)
    for name in package.parts:
        assert result.read(name) == (SHEET if name == part else package.read(name))


@pytest.mark.parametrize("data", [b"", b"no zip at all", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_workbook(data: bytes) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        Package(data)
    assert caught.value.reason == "TEMPLATE_UNREADABLE"


def test_a_zip_that_unpacks_too_large() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bomb, bomb.open("a", "w") as handle:
        for _ in range(520):
            handle.write(b"\0" * (1 << 20))
    with pytest.raises(errors.InvalidArgument) as caught:
        Package(buffer.getvalue())
    assert caught.value.reason == "TEMPLATE_TOO_LARGE"


@pytest.mark.parametrize(("number", "name"), [(1, "A"), (26, "Z"), (27, "AA"), (267, "JG"), (16384, "XFD")])
def test_letters(number: int, name: str) -> None:
    assert cells.letters(number) == name
    assert cells.column_number(f"{name}12") == number


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text(max_size=200))
def test_units_are_those_of_utf_16(text: str) -> None:
    assert cells.text_units(text) == len(text.encode("utf-16-le", "surrogatepass")) // 2
