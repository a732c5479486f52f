"""Workbooks of Excel 97 to 2003: .xls, as Flipkart gives them out."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import xlrd  # type: ignore[import-untyped]  # it has no types

from exporter_service.model import Medium
from exporter_service.reading.book import SheetName, Texts
from exporter_service.xls import records as biff
from exporter_service.xls.compound import CompoundFile, unreadable
from exporter_service.xls.rules import Rules
from exporter_service.xlsx import cells
from exporter_service.xlsx.reading import Area, Validation, plain_number
from exporter_service.xlsx.styles import Format, format_of

_SOLID = 1


class LegacyBook:
    """An old workbook.

    Raises:
        errors.InvalidArgument: TEMPLATE_UNREADABLE, TEMPLATE_ENCRYPTED, TEMPLATE_EXTERNAL_LINKS, TEMPLATE_TOO_LARGE,
            TEMPLATE_OLD.
    """

    medium = Medium.XLS
    notes: Sequence[str] = (
        "the workbook is filled in its own format, .xls, which ends at row 65,536; tables that only speed up loading"
        " are left out, and made again by the program that saves it",
    )

    def __init__(self, content: bytes) -> None:
        self._stream = biff.workbook_stream(CompoundFile(content))
        biff.check(self._stream)
        try:
            self._book: Any = xlrd.open_workbook(
                file_contents=content,
                formatting_info=True,
                on_demand=True,
                ragged_rows=True,
                logfile=io.StringIO(),
            )
        except Exception as error:  # the reader raises whatever its input makes it stumble over
            raise unreadable() from error
        self._sheets = {sheet.name: sheet for sheet in biff.sheets(self._stream) if sheet.worksheet}
        self.epoch_1904 = self._book.datemode == 1
        self._rules = Rules(self._stream, [name.name for name in self._book.name_obj_list])

    @property
    def sheets(self) -> Sequence[SheetName]:
        """See `Book`."""
        known = set(self._book.sheet_names())
        return [SheetName(sheet.name, sheet.hidden) for sheet in self._sheets.values() if sheet.name in known]

    @property
    def names(self) -> Mapping[str, str]:
        """See `Book`."""
        found = {}
        for name in self._book.name_obj_list:
            result = name.result
            places = result.value if result is not None and isinstance(result.value, list) else []
            if len(places) == 1 and hasattr(places[0], "coords"):
                found[name.name.casefold()] = self._reference(places[0].coords)
        return found

    def _reference(self, coords: Sequence[int]) -> str:
        sheet, _, first_row, row_end, first, end = coords
        name = self._book.sheet_names()[sheet].replace("'", "''")
        start = f"${cells.letters(first + 1)}${first_row + 1}"
        return f"'{name}'!{start}:${cells.letters(end)}${row_end}"

    def rows(self, sheet: str, first: int, last: int) -> Iterator[tuple[int, Texts]]:
        """See `Book`."""
        content = self._sheet(sheet)
        for row in range(first - 1, min(last, content.nrows)):
            texts = {
                column + 1: text for column, cell in enumerate(content.row(row)) if (text := self._text(cell)).strip()
            }
            if texts:
                yield row + 1, texts

    def block(self, sheet: str, area: Area) -> list[str]:
        """See `Book`."""
        name = next((each for each in self._sheets if each.casefold() == sheet.casefold()), None)
        if name is None:
            return []
        return [
            text
            for _, texts in self.rows(name, area.first_row, area.last_row)
            for column, text in sorted(texts.items())
            if area.first_column <= column <= area.last_column
        ]

    def fills(self, sheet: str, row: int) -> Mapping[int, str]:
        """See `Book`."""
        found = {}
        for column, xf in self._formats(sheet, row).items():
            if xf.background.fill_pattern == _SOLID:
                colour = self._book.colour_map.get(xf.background.pattern_colour_index)
                if colour is not None:
                    found[column] = "".join(f"{part:02X}" for part in colour)
        return found

    def formats(self, sheet: str, row: int) -> Mapping[int, Format]:
        """See `Book`."""
        codes = self._book.format_map
        found: dict[int, Format] = {}
        for column, info in self._sheet(sheet).colinfo_map.items():
            found[column + 1] = format_of(codes[self._book.xf_list[info.xf_index].format_key].format_str)
        for column, xf in self._formats(sheet, row).items():
            found[column] = format_of(codes[xf.format_key].format_str)
        return found

    def validations(self, sheet: str) -> Sequence[Validation]:
        """See `Book`."""
        return self._rules.of(self._sheets[sheet])

    def formula_columns(self, sheet: str, row: int) -> set[int]:
        """See `Book`."""
        found = set()
        for record in biff.records(self._stream, self._sheets[sheet].start):
            if record.kind == biff.FORMULA:
                data = record.data(self._stream)
                at, column = int.from_bytes(data[:2], "little"), int.from_bytes(data[2:4], "little")
                if at >= row - 1:
                    found.add(column + 1)
        return found

    def _sheet(self, name: str) -> Any:
        try:
            return self._book.sheet_by_name(name)
        except Exception as error:  # as above
            raise unreadable() from error

    def _formats(self, sheet: str, row: int) -> dict[int, Any]:
        content = self._sheet(sheet)
        if row > content.nrows:
            return {}
        return {
            column + 1: self._book.xf_list[cell.xf_index]
            for column, cell in enumerate(content.row(row - 1))
            if cell.xf_index is not None
        }

    def _text(self, cell: Any) -> str:
        if cell.ctype == xlrd.XL_CELL_TEXT:
            return str(cell.value)
        if cell.ctype == xlrd.XL_CELL_NUMBER:
            return plain_number(repr(cell.value))
        if cell.ctype == xlrd.XL_CELL_DATE:
            return self._date(cell.value)
        if cell.ctype == xlrd.XL_CELL_BOOLEAN:
            return "TRUE" if cell.value else "FALSE"
        return ""

    def _date(self, value: float) -> str:
        try:
            moment: datetime = xlrd.xldate_as_datetime(value, self._book.datemode)
        except (ValueError, OverflowError):
            return plain_number(repr(value))
        return moment.date().isoformat()
