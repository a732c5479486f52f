"""Tables as files: CSV and Excel, in which no cell can be taken for a formula."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE, Cell
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter
from openpyxl.worksheet._write_only import WriteOnlyWorksheet

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
CSV = "text/csv"

# Beginnings that a spreadsheet takes for a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
# Characters; of a column as wide as its longest value, within reason.
_NARROWEST, _WIDEST = 8, 60

Row = Mapping[str, object]


def to_csv(columns: Sequence[str], rows: Sequence[Row]) -> bytes:
    """CSV (RFC 4180) in UTF-8 with the mark by which Excel knows it."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([harmless(name) for name in columns])
    for row in rows:
        writer.writerow([harmless(text(row.get(name))) for name in columns])
    return out.getvalue().encode("utf-8-sig")


def to_xlsx(columns: Sequence[str], rows: Sequence[Row], title: str) -> bytes:
    """A workbook with one sheet; numbers stay numbers, every text is a text."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet(re.sub(r"[\[\]:*?/\\]", " ", title)[:31] or "1")
    sheet.freeze_panes = "A2"
    for number, name in enumerate(columns, start=1):
        longest = max((len(text(row.get(name))) for row in rows), default=0)
        width = min(max(longest, len(name), _NARROWEST), _WIDEST) + 2
        sheet.column_dimensions[get_column_letter(number)].width = width
    sheet.append([_cell(sheet, name, bold=True) for name in columns])
    for row in rows:
        sheet.append([_cell(sheet, row.get(name)) for name in columns])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def harmless(value: str) -> str:
    """The text, behind an apostrophe where a spreadsheet would take it for a formula; plain numbers stay numbers."""
    if value.startswith(_FORMULA) or value.lstrip().startswith(_FORMULA):
        return value if _NUMBER.fullmatch(value) else f"'{value}"
    return value


def text(value: object) -> str:
    """A value as it stands in a file: nothing for None, whole numbers without a point."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def _cell(sheet: WriteOnlyWorksheet, value: object, *, bold: bool = False) -> Cell:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        cell = WriteOnlyCell(sheet, value=value)
    else:
        shown = ILLEGAL_CHARACTERS_RE.sub("", text(value))
        cell = WriteOnlyCell(sheet, value=shown or None)
        if shown:
            # A text that begins with = would else be kept as a formula.
            cell.data_type = "s"
            cell.quotePrefix = shown.startswith(_FORMULA)
    if bold:
        cell.font = Font(bold=True)
    return cell
