"""Workbooks as text: tab-separated with the template's header rows, or comma-separated with one."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

from exporter_service.xlsx.cells import is_number

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
# What ends a cell or a row; some readers take more for a line's end than others, so all of them go.
_BREAKS = re.compile(r"[\t\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")


def header(rows: Iterable[Sequence[str]]) -> bytes:
    """Header rows, all of the same length, as tab-separated lines."""
    lines = [[_BREAKS.sub(" ", cell) for cell in row] for row in rows]
    width = max((len(row) for row in lines), default=0)
    return "".join("\t".join(row + [""] * (width - len(row))) + "\r\n" for row in lines).encode()


def tab_separated(above: bytes, rows: Iterable[Sequence[str]]) -> bytes:
    """The lines above, then rows; tabs and line breaks within a cell become blanks, since the format has no quotes."""
    buffer = io.BytesIO()
    buffer.write(above)
    for row in rows:
        buffer.write(("\t".join(guarded(_BREAKS.sub(" ", cell)) for cell in row) + "\r\n").encode())
    return buffer.getvalue()


def comma_separated(names: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """One header row, then rows, as RFC 4180 has them."""
    buffer = io.BytesIO()
    wrapped = io.TextIOWrapper(buffer, encoding="utf-8", newline="")
    writer = csv.writer(wrapped, lineterminator="\r\n")
    writer.writerow(names)
    writer.writerows([guarded(cell) for cell in row] for row in rows)
    wrapped.flush()
    return buffer.getvalue()


def guarded(cell: str) -> str:
    """The cell with an apostrophe before what a spreadsheet would take for a formula; numbers stay."""
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) and not is_number(cell) else cell
