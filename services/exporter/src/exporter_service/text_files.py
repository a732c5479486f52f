"""Workbooks as text: tab-separated with the template's header rows, or comma-separated with one."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from exporter_service.model import Finding, Severity
from exporter_service.xlsx.cells import is_number

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
# What ends a cell or a row; some readers take more for a line's end than others, so all of them go.
_BREAKS = re.compile(r"[\t\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")


def header(rows: Iterable[Sequence[str]]) -> bytes:
    """Header rows, all of the same length, as tab-separated lines."""
    lines = [[_in_line(cell) for cell in row] for row in rows]
    width = max((len(row) for row in lines), default=0)
    return "".join("\t".join(row + [""] * (width - len(row))) + "\r\n" for row in lines).encode()


def tab_separated(above: bytes, rows: Iterable[Sequence[str]]) -> bytes:
    """The lines above, then rows; tabs and line breaks within a cell become blanks, since the format has no quotes."""
    buffer = io.BytesIO()
    buffer.write(above)
    for row in rows:
        buffer.write(("\t".join(guarded(_in_line(cell)) for cell in row) + "\r\n").encode())
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


def _in_line(cell: str) -> str:
    return _BREAKS.sub(" ", cell)


def findings(texts: Mapping[str, str], tabs: bool) -> Iterator[Finding]:
    """What a text file cannot hold as it was given, by field; the findings lack the SKU.

    Args:
        texts: of a row.
        tabs: whether the file is tab-separated; comma-separated text keeps line breaks.
    """
    for field, text in texts.items():
        written = _in_line(text) if tabs else text
        if written != text:
            message = "tab-separated text has no tabs or line breaks within a cell: blanks take their place"
            yield Finding("", field, "line_breaks", Severity.INFO, message)
        if guarded(written) != written:
            message = "starts like a formula: an apostrophe stands in front of it, so that no spreadsheet runs it"
            yield Finding("", field, "formula_start", Severity.WARNING, message)


def guarded(cell: str) -> str:
    """The cell with an apostrophe before what a spreadsheet would take for a formula; numbers stay."""
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) and not is_number(cell) else cell
