"""A worksheet's XML taken apart: what stands before its rows, the rows from the first product on, what follows.

Nothing is changed here, and what is not a row of products is never looked into beyond its tags.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from xml.parsers import expat

from exporter_service.xlsx import cells
from servicekit import errors

Styles = tuple[tuple[int, str], ...]
"""Columns, from 1, that have a cell, each with the cell's style."""


@dataclass(frozen=True, slots=True)
class OldRow:
    """A row that the sheet has already.

    Attributes:
        start, end: where it lies in the XML.
        tag_end: end of its start tag.
        styles: of its cells, when all of them are empty; otherwise None.
        style: of cells that it does not have; "" if it has none.
    """

    start: int
    tag_end: int
    end: int
    styles: Styles | None
    style: str = ""


@dataclass(frozen=True, slots=True)
class OldCell:
    """A cell that the sheet has already, as it stands."""

    xml: str
    style: str
    formula: bool


@dataclass
class Scanned:
    """A worksheet taken apart.

    Attributes:
        xml: the worksheet, in UTF-8.
        head_end: where rows of products start.
        tail_start: end of the last row.
        prefix: of element names, with its colon; "" mostly.
        rows: old rows from the first product on, by number, in order.
        column_styles: style of each column that has one.
        empty: the sheet has no rows, and no end tag after them.
    """

    xml: bytes
    head_end: int
    tail_start: int
    prefix: str
    rows: dict[int, OldRow]
    column_styles: dict[int, str]
    empty: bool

    @cached_property
    def head(self) -> bytes:
        """What stands before the rows of products."""
        head = self.xml[: self.head_end]
        return head[:-2].rstrip() + b">" if self.empty else head

    def tail(self, number: int) -> bytes:
        """What stands from row `number` on, the end of the sheet included."""
        if self.empty:
            return f"</{self.prefix}sheetData>".encode() + self.xml[self.head_end :]
        left = next((row.start for at, row in self.rows.items() if at >= number), self.tail_start)
        return self.xml[left:]

    def row_start(self, row: OldRow) -> str:
        """Start tag of an old row, open, without the hint of where its cells are."""
        tag = self.xml[row.start : row.tag_end].decode()
        return re.sub(r"\sspans=([\"'])[^\"']*\1", "", tag).replace("/>", ">")

    def cells(self, row: OldRow) -> dict[int, OldCell]:
        """Cells of an old row by column."""
        found = _Cells(self.xml[row.start : row.end])
        found.walk()
        return found.cells

    def formula_columns(self) -> set[int]:
        """Columns in which a row of products has a formula already."""
        return {
            column
            for row in self.rows.values()
            if row.styles is None and b"f" in self.xml[row.tag_end : row.end]
            for column, cell in self.cells(row).items()
            if cell.formula
        }


class _Walker:
    """Walks over XML with expat and knows where in its bytes it is."""

    def __init__(self, xml: bytes) -> None:
        self.xml = xml
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.StartDoctypeDeclHandler = self._doctype

    def walk(self) -> None:
        try:
            self.parser.Parse(self.xml, True)
        except (expat.ExpatError, ValueError) as error:
            raise broken() from error

    def start(self, name: str, attributes: dict[str, str]) -> None:
        raise NotImplementedError

    def end(self, name: str) -> None:
        raise NotImplementedError

    def after(self, position: int) -> int:
        """End of the tag at `position`; expat gives an empty element's end at its start."""
        return self.xml.index(b">", position) + 1

    def _doctype(self, *_: Any) -> None:
        raise broken()


class _Sheet(_Walker):
    """Finds the rows of a worksheet."""

    def __init__(self, xml: bytes, data_row: int) -> None:
        super().__init__(xml)
        self.data_row = data_row
        self.prefix = ""
        self.rows: dict[int, OldRow] = {}
        self.column_styles: dict[int, str] = {}
        self.head_end = self.tail_start = -1
        self.empty = False
        self._in_data = False
        self._number = 0
        self._row = (-1, -1)
        self._row_style = ""
        self._styles: list[tuple[int, str]] | None = None
        self._column = 0
        self._in_cell = False
        # Rows of a template look alike: their styles are kept once.
        self._seen: dict[Styles, Styles] = {}

    def start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(":")[2]
        if self._in_cell:
            self._styles = None
        elif local == "c" and self._in_data:
            self._column = cells.column_number(attributes.get("r", "")) or self._column + 1
            self._in_cell = True
            if self._styles is not None:
                self._styles.append((self._column, attributes.get("s", "")))
        elif local == "row" and self._in_data:
            self._start_row(attributes)
        elif local == "col" and not self._in_data and "style" in attributes:
            # The last `max` may be 16384; templates have far fewer columns that matter.
            first, last = int(attributes.get("min", 1)), int(attributes.get("max", 1))
            for column in range(max(first, 1), min(last, cells.MAX_COLUMNS) + 1):
                self.column_styles[column] = attributes["style"]
        elif local == "sheetData":
            self.prefix = name[: -len(local)]
            self._in_data = True
            tag_end = self.after(self.parser.CurrentByteIndex)
            self.empty = self.xml[tag_end - 2 : tag_end] == b"/>"
            self.head_end = self.tail_start = tag_end

    def _start_row(self, attributes: dict[str, str]) -> None:
        number = int(attributes.get("r", self._number + 1))
        if number <= self._number:
            raise broken()
        self._number = number
        self._column = 0
        position = self.parser.CurrentByteIndex
        self._row = (position, self.after(position))
        custom = attributes.get("customFormat", "0") in ("1", "true")
        self._row_style = attributes.get("s", "") if custom else ""
        self._styles = []

    def end(self, name: str) -> None:
        local = name.rpartition(":")[2]
        if local == "c":
            self._in_cell = False
        elif local == "row" and self._in_data:
            end = self.after(self.parser.CurrentByteIndex)
            if self._number < self.data_row:
                self.head_end = end
            else:
                styles = None if self._styles is None else tuple(self._styles)
                if styles is not None:
                    styles = self._seen.setdefault(styles, styles)
                self.rows[self._number] = OldRow(*self._row, end, styles, self._row_style)
        elif local == "sheetData":
            self._in_data = False
            self.tail_start = self.parser.CurrentByteIndex


class _Cells(_Walker):
    """Finds the cells of one row."""

    def __init__(self, xml: bytes) -> None:
        super().__init__(xml)
        self.cells: dict[int, OldCell] = {}
        self._column = 0
        self._at = -1
        self._style = ""
        self._formula = False
        self._row = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(":")[2]
        if local == "row":
            self._row = attributes.get("r", "")
        elif local == "f":
            self._formula = True
        elif local == "c":
            self._column = cells.column_number(attributes.get("r", "")) or self._column + 1
            self._at = self.parser.CurrentByteIndex
            self._style = attributes.get("s", "")
            self._formula = False
            self._placed = "r" in attributes

    def end(self, name: str) -> None:
        if name.rpartition(":")[2] == "c":
            xml = self.xml[self._at : self.after(self.parser.CurrentByteIndex)].decode()
            if not self._placed:
                # Beside cells that tell their place, one that does not would be taken for another.
                xml = xml.replace(name, f'{name} r="{cells.letters(self._column)}{self._row}"', 1)
            self.cells[self._column] = OldCell(xml, self._style, self._formula)


def scan(xml: bytes, data_row: int) -> Scanned:
    """Takes a worksheet apart.

    Raises:
        errors.InvalidArgument: TEMPLATE_UNREADABLE.
    """
    if not xml.lstrip(b"\xef\xbb\xbf").startswith(b"<"):
        xml = _as_utf8(xml)
    found = _Sheet(xml, data_row)
    found.walk()
    if found.head_end < 0:
        raise broken()
    return Scanned(xml, found.head_end, found.tail_start, found.prefix, found.rows, found.column_styles, found.empty)


def _as_utf8(xml: bytes) -> bytes:
    try:
        text = xml.decode("utf-16")
    except UnicodeDecodeError as error:
        raise broken() from error
    return re.sub(r'encoding=["\'][^"\']*["\']', 'encoding="UTF-8"', text, count=1).encode()


def broken() -> errors.InvalidArgument:
    """The error of a worksheet that is not well-formed."""
    return errors.InvalidArgument(
        "a sheet of the workbook cannot be read: save it again in a spreadsheet program", reason="TEMPLATE_UNREADABLE"
    )
