"""Turns the rows of a run into the bytes of its files."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Protocol

from exporter_service import dates, text_files
from exporter_service.keeping import Kept
from exporter_service.model import Column, Format, Medium, Template
from exporter_service.reading import text as text_templates
from exporter_service.reading.opening import top_rows
from exporter_service.xls.filling import filled as filled_xls
from exporter_service.xlsx.filling import Batch, Filler, Kind, Slot, Texts
from exporter_service.xlsx.package import Package, Sink
from exporter_service.xlsx.scanning import Scanned, scan
from servicekit import deadlines, errors

_LOOK_AT_CLOCK = 256
_KINDS: dict[str, Kind] = {"number": "number", "integer": "number", "date": "date"}
_EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
CONTENT_TYPES = {
    "xlsx": _EXCEL,
    "xlsm": "application/vnd.ms-excel.sheet.macroEnabled.12",
    "xls": "application/vnd.ms-excel",
    "txt": "text/tab-separated-values; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
}
"""Content types by extension."""

Opened = tuple[Package, str, Scanned]
_OPENED_BYTES = 128 * 1024 * 1024


class Rows(Protocol):
    """Rows of a run."""

    count: int

    def batches(self) -> Mapping[int, Batch]:
        """What rows share, by the number of their batch."""
        ...

    def texts(self) -> Iterable[tuple[int, Texts]]:
        """Batch of each row, and its texts in the order of the batch's fields."""
        ...


def extension(template: Template, wanted: Format) -> str:
    """Extension of the workbook, without the dot.

    Raises:
        errors.InvalidArgument: FORMAT_UNAVAILABLE.
    """
    if wanted is Format.CSV:
        return "csv"
    if wanted is Format.TSV:
        return "txt"
    if wanted is Format.XLSX and template.medium is Medium.TXT:
        raise errors.InvalidArgument(
            f"the template {template.id} is a text file: ask for tab-separated text, or name another template",
            reason="FORMAT_UNAVAILABLE",
        )
    return template.medium.value


def workbook(template: Template, rows: Rows, wanted: Format) -> bytes:
    """The workbook with rows written into the template in the order given.

    Raises:
        errors.DeadlineExceeded: the caller's time is over.
        errors.ResourceExhausted: SHEET_FULL.
        errors.InvalidArgument: TEMPLATE_UNREADABLE, FORMAT_UNAVAILABLE.
    """
    kind = extension(template, wanted)
    columns = sorted(template.by_key.values(), key=lambda column: column.number)
    if kind == "csv":
        return text_files.comma_separated([column.name for column in columns], _lines(columns, rows))
    if kind == "txt":
        return text_files.tab_separated(_header(template), _in_place(template, columns, _lines(columns, rows)))
    if kind == "xls":
        slots = [Slot(column.key, column.number, _kind(column)) for column in columns]
        return filled_xls(template.content, template.sheet, template.data_row, slots, _whole(rows), template.epoch_1904)
    return _xlsx(template, columns, rows)


def _xlsx(template: Template, columns: list[Column], rows: Rows) -> bytes:
    package, part, scanned = opened(template)
    slots = [Slot(column.key, column.number, _kind(column)) for column in columns]
    serial = partial(dates.serial, epoch_1904=template.epoch_1904)
    filler = Filler(scanned, template.data_row, slots, serial, rows.batches())

    def write(sink: Sink) -> None:
        for chunk in filler.stream(_watched(rows.texts()), rows.count):
            sink.write(chunk)

    return package.rewritten({part: write})


def _kind(column: Column) -> Kind:
    kind = _KINDS.get(column.kind, "text")
    return "text" if kind == "date" and not column.serial else kind


# Templates themselves are kept by `Templates`; this is what was made of the ones in use.
_opened: Kept[Template, Opened] = Kept(_OPENED_BYTES, lambda opened: len(opened[2].xml) + 300 * len(opened[2].rows))


def opened(template: Template) -> Opened:
    """The package of a template, the part of its sheet, and that sheet taken apart."""
    return _opened.get(template, lambda: _open(template))


def _open(template: Template) -> Opened:
    package = Package(template.content)
    part = package.sheets().get(template.sheet)
    if part is None:
        raise errors.InvalidArgument(
            f"the template has no sheet named {template.sheet!r}", reason="TEMPLATE_UNREADABLE"
        )
    return package, part, scan(package.read(part), template.data_row)


def _watched(rows: Iterable[tuple[int, Texts]]) -> Iterator[tuple[int, Texts]]:
    """The rows, until the caller's time is over."""
    for number, row in enumerate(rows):
        if number % _LOOK_AT_CLOCK == 0:
            deadlines.shaved(1.0)
        yield row


def _whole(rows: Rows) -> Iterator[Mapping[str, str]]:
    """All texts of each row by field."""
    batches = rows.batches()
    return (batches[batch].whole(texts) for batch, texts in _watched(rows.texts()))


def _lines(columns: list[Column], rows: Rows) -> Iterator[list[str]]:
    keys = [column.key for column in columns]
    return ([texts.get(key, "") for key in keys] for texts in _whole(rows))


def _header(template: Template) -> bytes:
    """The rows above the first product, as the tab-separated form has them."""
    if template.medium is Medium.TXT:
        return text_templates.header_bytes(template.content, template.data_row)
    above = islice(top_rows(template, template.data_row - 1), template.data_row - 1)
    return text_files.header(above)


def _in_place(template: Template, columns: list[Column], texts: Iterable[list[str]]) -> Iterator[list[str]]:
    width = max((column.number for column in template.columns), default=0)
    for row in texts:
        line = [""] * width
        for column, text in zip(columns, row, strict=True):
            line[column.number - 1] = text
        yield line


class Origins(Protocol):
    """Where the cells of a run's rows came from."""

    def shared_origins(self) -> Iterable[tuple[int, str, str, str]]:
        """Of each batch its number and, as JSON, the origins of what its rows share, the fields in which they may
        differ, and the origins that are named by number."""
        ...

    def origins(self) -> Iterable[tuple[str, int, str]]:
        """SKU and batch of each row, and the origins of its cells in the order of the batch's fields, as JSON."""
        ...


def provenance(about: Mapping[str, object], first_row: int, rows: Origins) -> bytes:
    """The sidecar: for every cell the step of the precedence that won, and its evidence.

    A batch is what one request brought: `origins` are numbered from 0, `shared` holds the origin of each field that its
    rows have in common. A row's `cells` are the origins of its own values, in the order of the batch's `fields`; null
    where it has none of its own. Where a number should be, an origin may also stand in full.

    Args:
        about: what the file tells of the run.
        first_row: row of the first product in the sheet.
        rows: of the run.
    """
    buffer = io.BytesIO()
    buffer.write(f'{json.dumps(about, ensure_ascii=False)[:-1]}, "batches": {{'.encode())
    for place, (number, shared, names, known) in enumerate(rows.shared_origins()):
        start = ",\n" if place else "\n"
        buffer.write(f'{start}"{number}":{{"shared":{shared},"fields":{names},"origins":{known}}}'.encode())
    buffer.write(b'\n}, "rows": [')
    for place, (sku, batch, cells) in enumerate(rows.origins()):
        start = ",\n" if place else "\n"
        name = json.dumps(sku, ensure_ascii=False)
        buffer.write(f'{start}{{"sku":{name},"row":{first_row + place},"batch":"{batch}","cells":{cells}}}'.encode())
    buffer.write(b"\n]}\n")
    return buffer.getvalue()
