"""A thousand rows of whatever people and programs type: what is read back is what was given, or was found."""

from __future__ import annotations

import csv
import io
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from types import ModuleType

import pytest
import xlrd  # type: ignore[import-untyped]
from openpyxl import load_workbook
from openpyxl.utils.escape import unescape

import marketplaces
from exporter_service import dates
from exporter_service.exporting import Exported, Exporter, Order
from exporter_service.model import Format, Product, Source, Template, Value
from exporter_service.templates import Templates
from exporter_service.xlsx import cells

ROWS = 1000
NASTY = (
    "=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", "\t=1", "0012", "00", "1e5", "1E400", "TRUE", "#N/A", "#REF!",
    "_x0041_", "_x000D_",
    "&amp;", "<t>", "]]>", "'", '"quoted"', "a\tb", "a\nb", "a\r\nb", " lead", "trail ", "   ", "",
    "a\x00b", "\x0b", "\x1f", "\ufffe", "\ud800", "\ufeffbom", "\u202eright to left", "नमस्ते", "💎" * 10, "é" * 300,
    "1,299.00", "₹ 499", "12.50", "007", "-0", "1234567890123456", "0.1", "99999999999999", "١٢٣", "½", "1/2", "3-4",
    "2026-01-31", "31/01/2026", "02/03/2026", "2026-02-30", "45000", "12:30", "1900-01-01", "Jan 5, 2026",
    "x" * 32_767, "x" * 32_768, "💎" * 16_383, "💎" * 16_384, "\x85", "\u2028", "=" * 50,
)  # fmt: skip


def anything(chance: random.Random) -> str:
    """A text of one of the kinds above, or one of random characters of all planes, surrogates and controls too."""
    if chance.random() < 0.4:
        return chance.choice(NASTY[:-9]) if chance.random() < 0.98 else chance.choice(NASTY)
    if chance.random() < 0.3:
        return str(chance.choice([chance.randint(-50, 5000), round(chance.uniform(0, 999), 2)]))
    plane = chance.choice([0x7F, 0x7FF, 0xFFFF, 0x10FFFF])
    return "".join(chr(chance.randint(0, plane)) for _ in range(chance.randint(0, 30)))


FIELDS = {
    "ama_ear": ("manufacturer", "maximum_retail_price", "quantity", "restock_date", "gem_type"),
    "fli_ear": ("Model Name", "MRP (INR)", "Stock", "Bead Count", "Color"),
}


def products(code: str) -> Iterator[Product]:
    chance = random.Random(code)
    options = marketplaces.load(code).field(FIELDS[code][-1]).options
    for number in range(ROWS):
        given = {name: anything(chance) for name in FIELDS[code]}
        if chance.random() < 0.7:
            given[FIELDS[code][-1]] = chance.choice(options)
        yield Product(
            f"SKU-{number:05}", fields=tuple(Value(name, (text,), Source.PERSON) for name, text in given.items())
        )


def expected(kind: str, text: str, options: tuple[str, ...]) -> object:
    """What a cell should hold; None: nothing, or that it was refused."""
    text = cells.clean(text)
    if not text.strip() or cells.text_units(text) > cells.MAX_TEXT:
        return None
    if options:
        return text if text in options else None
    if kind == "date":
        read = dates.parsed(text)
        return read[0] if read else None
    if kind in ("number", "integer"):
        plain = text.strip()
        whole = kind == "integer" and "." in plain
        return Decimal(plain) if cells.is_number(plain) and not whole else None
    return text


async def exported(exporter: Exporter, code: str, form: Format = Format.OWN) -> tuple[list[Product], Exported]:
    given = list(products(code))
    return given, await exporter.export(Order(code, given, format=form))


def check(
    template: Template,
    given: list[Product],
    done: Exported,
    read: Callable[[int, int], object],
    as_written: Callable[[str], str] = str,
) -> None:
    """Every cell against what was given: equal, or there is a finding of that row and field.

    `as_written` tells how the form of the file writes a text; where it is another one, there is a finding.
    """
    found = {(finding.row, finding.field) for finding in done.findings}
    columns = {column.key: column for column in template.columns if column.key}
    equal = 0
    for row, product in enumerate(given, start=template.data_row):
        assert read(row, columns[template.listing.sku].number) == product.sku
        for value in product.fields:
            column = columns[value.field]
            told = (row, value.field) in found
            text = value.values[0]
            if not text.strip():
                continue  # a blank is no value: a weaker one takes its place
            wanted = expected(column.kind, text, column.allowed_values)
            if isinstance(wanted, date) and not column.serial:
                wanted = wanted.isoformat()
            cell = read(row, column.number)
            if wanted is None:
                right = told and cell is None
            elif column.kind in ("number", "integer"):
                right = Decimal(str(cell)) == wanted
            else:
                right = cell == (as_written(wanted) if isinstance(wanted, str) else wanted)
            altered = isinstance(wanted, str) and column.kind != "date" and as_written(wanted) != text
            if not right or ((altered or cells.clean(text) != text) and not told):
                # Texts may be of any length: they are not left to the test runner to compare.
                pytest.fail(f"row {row}, {value.field}: given {text[:80]!r}, read {str(cell)[:80]!r}, found: {told}")
            equal += wanted is not None
    assert equal > ROWS
    assert template.code in done.url


async def test_an_xlsx(
    exporter: Exporter, templates: Templates, layouts: ModuleType, stored: Callable[[str], bytes]
) -> None:
    template = await templates.register("ama_ear", layouts.amazon_unified(), "a.xlsx", "")
    given, done = await exported(exporter, "ama_ear")
    sheet = load_workbook(io.BytesIO(stored(done.url)))["Template"]

    def read(row: int, column: int) -> object:
        value = sheet.cell(row, column).value
        if isinstance(value, datetime):
            return value.date()
        return unescape(value) if isinstance(value, str) else value

    check(template, given, done, read)


async def test_an_xls(
    exporter: Exporter, templates: Templates, old_workbook: bytes, stored: Callable[[str], bytes]
) -> None:
    template = await templates.register("fli_ear", old_workbook, "a.xls", "")
    given, done = await exported(exporter, "fli_ear")
    sheet = xlrd.open_workbook(file_contents=stored(done.url)).sheet_by_name("earring")

    def read(row: int, column: int) -> object:
        cell = sheet.cell(row - 1, column - 1)
        return None if cell.ctype in (xlrd.XL_CELL_EMPTY, xlrd.XL_CELL_BLANK) else cell.value

    check(template, given, done, read)


async def test_tab_separated_text(
    exporter: Exporter, templates: Templates, layouts: ModuleType, stored: Callable[[str], bytes]
) -> None:
    content = layouts.amazon_text()
    template = await templates.register("ama_ear", content, "a.txt", "")
    given, done = await exported(exporter, "ama_ear")
    lines = stored(done.url)[len(content) :].decode().split("\r\n")
    rows = [line.split("\t") for line in lines[:-1]]
    assert {len(row) for row in rows} == {267}

    def as_written(text: str) -> str:
        text = re.sub(r"[\t\n\v\f\x1c-\x1e\x85\u2028\u2029]+", " ", text)
        return f"'{text}" if text[:1] in tuple("=+-@") and not cells.is_number(text) else text

    check(template, given, done, lambda row, column: rows[row - 4][column - 1] or None, as_written)


async def test_comma_separated_text(
    exporter: Exporter, templates: Templates, layouts: ModuleType, stored: Callable[[str], bytes]
) -> None:
    template = await templates.register("ama_ear", layouts.amazon_unified(), "a.xlsx", "")
    given, done = await exported(exporter, "ama_ear", Format.CSV)
    lines = list(csv.reader(io.StringIO(stored(done.url).decode(), newline="")))
    places = {name: place for place, name in enumerate(lines[0])}
    names = {column.number: column.name for column in template.columns}

    def as_written(text: str) -> str:
        return f"'{text}" if text[:1] in tuple("=+-@\t") and not cells.is_number(text) else text

    def read(row: int, column: int) -> object:
        text = lines[row - template.data_row + 1][places[names[column]]]
        return text or None

    template = replace(template, columns=tuple(replace(column, serial=False) for column in template.columns))
    check(template, given, done, read, as_written)


@pytest.mark.parametrize("text", NASTY)
async def test_each_of_the_nasty_ones_alone(exporter: Exporter, stored: Callable[[str], bytes], text: str) -> None:
    value = Value("Generic Name", (text,), Source.PERSON)
    done = await exporter.export(Order("mee_ear", [Product("A", fields=(value,))]))
    sheet = load_workbook(io.BytesIO(stored(done.url)))["Earrings & Studs-Fill this"]
    cell = sheet.cell(4, 23)
    wanted = expected("text", text, ())
    if not text.strip():
        assert cell.value == "Imitation Jewellery"
    elif wanted is None:
        assert cell.value is None
        assert {f.rule for f in done.findings if f.field == "Generic Name"} & {"cell_limit", "control_characters"}
    else:
        assert unescape(str(cell.value)) == wanted
        assert cell.data_type == "s"
        assert not isinstance(cell.value, date)
