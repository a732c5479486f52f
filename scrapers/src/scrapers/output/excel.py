"""A workbook: one row per product; pictures, specifications, variants and failures on sheets of their own.

Every text is written as text, so that a title like "=1+1" stays a title. No cell is a link: a workbook holds at most
65,530 of them, and a foreign page has no business in a click.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Alignment, Font
from openpyxl.utils import get_column_letter

from scrapers.output import tables
from scrapers.output.tables import Cell, Results

MAX_CELL = 32_767  # characters, Excel's limit
MAX_ROWS = 1_048_576
_CUT = " […]"
_WIDTHS = {"url": 40, "title": 60, "bullets": 60, "description": 60, "specifications": 50, "images": 40, "value": 50}
_WIDTHS |= {"product_id": 18, "options": 40, "reason": 60, "stored_url": 60, "file": 40, "image": 40, "variants": 40}
_TOP = Alignment(vertical="top")
_BOLD = Font(bold=True)


def write(path: Path, results: Results) -> None:
    """Writes the workbook, a row at a time."""
    book = Workbook(write_only=True)
    products = (tables.product_row(record, "\n") for record in results.records())
    _sheet(book, "Products", tables.PRODUCT_COLUMNS, products)
    _sheet(book, "Images", tables.IMAGE_COLUMNS, tables.image_rows(results))
    _sheet(book, "Specifications", tables.SPECIFICATION_COLUMNS, tables.specification_rows(results))
    _sheet(book, "Variants", tables.VARIANT_COLUMNS, tables.variant_rows(results))
    if results.uploads:
        _sheet(book, "Catalogue", tables.CATALOGUE_COLUMNS, tables.catalogue_rows(results))
    _sheet(book, "Failures", tables.FAILURE_COLUMNS, tables.failure_rows(results))
    book.save(path)


def _sheet(book: Workbook, title: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """One sheet with a header; what exceeds a sheet's rows goes on the next one."""
    pending: Iterator[Sequence[Cell]] = iter(rows)
    number = 1
    while _fill(book, title if number == 1 else f"{title} {number}", columns, pending):
        number += 1


def _fill(book: Workbook, title: str, columns: Sequence[str], rows: Iterator[Sequence[Cell]]) -> bool:
    """Fills one sheet; True when rows are left."""
    sheet: Any = book.create_sheet(title)  # a write-only sheet, most of which the stubs leave out
    sheet.freeze_panes = "A2"
    for place, name in enumerate(columns, 1):
        sheet.column_dimensions[get_column_letter(place)].width = _WIDTHS.get(name, 14)
    sheet.append([_cell(sheet, name, header=True) for name in columns])
    for count, row in enumerate(rows, 2):
        sheet.append([_cell(sheet, value) for value in row])
        if count >= MAX_ROWS:
            return True
    return False


def _cell(sheet: Any, value: Cell, *, header: bool = False) -> Any:
    cell: Any
    if value == "":
        value = None
    if isinstance(value, str):
        text = ILLEGAL_CHARACTERS_RE.sub("", value)
        cell = WriteOnlyCell(sheet, value=text if len(text) <= MAX_CELL else text[: MAX_CELL - len(_CUT)] + _CUT)
        cell.data_type = "s"  # otherwise "=1+1" would become a formula and "#N/A" an error
        if header:
            cell.font = _BOLD
    elif isinstance(value, datetime):
        # Excel knows no time zones: UTC, without saying so.
        cell = WriteOnlyCell(sheet, value=value.replace(tzinfo=None, microsecond=0))
        cell.number_format = "yyyy-mm-dd hh:mm:ss"
    else:
        cell = WriteOnlyCell(sheet, value=float(value) if isinstance(value, Decimal) else value)
    cell.alignment = _TOP
    return cell
