"""A copy of a workbook with a sheet that lists what was found."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from itertools import islice
from xml.sax.saxutils import quoteattr

from exporter_service.model import Finding
from exporter_service.xlsx import cells
from exporter_service.xlsx.package import Package, writer_of
from servicekit import errors

SHEET = "Review"
MAX_LISTED = 100_000
"""Most findings that the sheet lists; a sheet has a million rows, and nobody reads so many."""
_PART = "xl/worksheets/review.xml"
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_SHEET_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"
# Columns of the sheet and their widths in characters.
_COLUMNS = {
    "SKU": 22, "Row": 7, "Cell": 8, "Field": 28, "Rule": 20, "Severity": 10, "Message": 80, "Suggestion": 30,
}  # fmt: skip


def with_review(workbook: bytes, findings: Iterable[Finding]) -> bytes:
    """The workbook with one more sheet, last; its other sheets stay as they are."""
    package = Package(workbook)
    book = package.workbook_part()
    folder, _, name = book.rpartition("/")
    relations = f"{folder}/_rels/{name}.rels"
    title = SHEET
    while title in package.sheets():
        title += " "
    numbers = [int(number) for number in re.findall(rb'\bsheetId="(\d+)"', package.read(book))]
    number = max(numbers, default=0) + 1
    entry = f'sheet xmlns:rv="{_RELATIONS}" name={quoteattr(title)} sheetId="{number}" rv:id="rIdReview"'
    relation = f'Relationship Id="rIdReview" Type="{_RELATIONS}/worksheet" Target="/{_PART}"'
    part_type = f'Override PartName="/{_PART}" ContentType="{_SHEET_TYPE}"'
    edits = {
        book: ("sheets", entry),
        relations: ("Relationships", relation),
        "[Content_Types].xml": ("Types", part_type),
    }
    made = {part: _inserted(package.read(part), element, text) for part, (element, text) in edits.items()}
    return package.rewritten(
        {part: writer_of(data) for part, data in made.items()},
        [(_PART, _sheet(findings))],
    )


def alone(findings: Iterable[Finding]) -> bytes:
    """A workbook with nothing but the sheet of findings, beside a workbook that can take no more sheets."""
    # Takes 20 MB of memory, and is seldom needed.
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    book.create_sheet("About").append([f"What was found is in the sheet {SHEET!r}."])
    buffer = io.BytesIO()
    book.save(buffer)
    return with_review(buffer.getvalue(), findings)


def _inserted(xml: bytes, element: str, text: str) -> bytes:
    """Puts an empty element in front of the end of `element`, with the same prefix."""
    ends = list(re.finditer(rb"</(\w+:)?" + element.encode() + rb"\s*>", xml))
    if not ends:
        raise errors.InvalidArgument("the workbook cannot take a review sheet", reason="TEMPLATE_UNREADABLE")
    end = ends[-1]
    prefix = end[1] or b""
    return xml[: end.start()] + b"<" + prefix + text.encode() + b"/>" + xml[end.start() :]


def _sheet(findings: Iterable[Finding]) -> bytes:
    listed = iter(findings)
    rows = [
        (f.sku, str(f.row or ""), f.cell, f.field, f.rule, f.severity.value, f.message, f.suggestion)
        for f in islice(listed, MAX_LISTED)
    ]
    more = sum(1 for _ in listed)
    if more:
        rows.append(("", "", "", "", "more_findings", "info", f"{more} more findings are not listed here", ""))
    widths = "".join(
        f'<col min="{number}" max="{number}" width="{width}" customWidth="1"/>'
        for number, width in enumerate(_COLUMNS.values(), start=1)
    )
    lines = [
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
        f'<worksheet xmlns="{_MAIN}"><cols>{widths}</cols><sheetData>'
    ]
    for number, row in enumerate((tuple(_COLUMNS), *rows), start=1):
        texts = (cells.clean(text)[: cells.MAX_TEXT // 2] for text in row)
        body = "".join(
            f'<c r="{cells.letters(column)}{number}"{cells.text_content(text)}'
            for column, text in enumerate(texts, start=1)
            if text
        )
        lines.append(f'<row r="{number}">{body}</row>')
    lines.append("</sheetData></worksheet>")
    return "".join(lines).encode()
