"""Reads what a workbook says, within bounds: texts of rows, fills and formats, names, validations.

A workbook is never loaded as a whole. Extension validations (x14), which most readers drop, are read like others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal
from xml.etree import ElementTree
from xml.parsers import expat

from exporter_service.xlsx import cells
from exporter_service.xlsx.package import Package, local, unreadable
from exporter_service.xlsx.styles import Styles
from servicekit import errors

MAX_TEXTS = 64 * 1024 * 1024
"""Most characters of shared texts."""
_CHUNK = 1 << 16
_START = re.compile(rb"<(?:\w+:)?sheetData\b[^>]*?(/?)>")
_END = re.compile(rb"</(?:\w+:)?sheetData\s*>")
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")


@dataclass(frozen=True, slots=True)
class Area:
    """A block of cells; rows and columns count from 1."""

    first_column: int
    first_row: int
    last_column: int
    last_row: int

    def holds(self, column: int, row: int) -> bool:
        """Whether a cell lies in the block."""
        return self.first_column <= column <= self.last_column and self.first_row <= row <= self.last_row


@dataclass(frozen=True, slots=True)
class Validation:
    """A rule of the sheet for what cells take; formulas as they stand, without a leading `=`."""

    areas: tuple[Area, ...]
    kind: str
    operator: str = "between"
    formula1: str = ""
    formula2: str = ""


@dataclass
class Line:
    """A row: texts and style numbers by column."""

    number: int
    texts: dict[int, str] = field(default_factory=dict)
    styles: dict[int, int] = field(default_factory=dict)


class WorkbookReader:
    """Reads a package."""

    def __init__(self, package: Package) -> None:
        self.package = package
        self.sheets = package.sheet_parts()
        self._parts = {sheet.name: sheet.part for sheet in self.sheets}

    @cached_property
    def styles(self) -> Styles:
        """Fills and formats of cells by style number."""
        part = self.package.related("styles")
        theme = self.package.related("theme")
        return Styles(
            self.package.xml(part) if part else ElementTree.Element("styleSheet"),
            self.package.xml(theme) if theme else None,
        )

    @cached_property
    def _book(self) -> ElementTree.Element:
        return self.package.xml(self.package.workbook_part())

    @cached_property
    def epoch_1904(self) -> bool:
        """Whether days are counted from 1904."""
        told = (each.get("date1904", "0") for each in self._book.iter() if local(each.tag) == "workbookPr")
        return next(told, "0") in ("1", "true")

    @cached_property
    def names(self) -> Mapping[str, str]:
        """What defined names refer to; those of a single sheet come after those of the workbook."""
        found: dict[str, str] = {}
        elements = [each for each in self._book.iter() if local(each.tag) == "definedName"]
        for element in sorted(elements, key=lambda each: "localSheetId" in each.attrib):
            found.setdefault(element.get("name", "").casefold(), (element.text or "").strip())
        return found

    @cached_property
    def _texts(self) -> list[str]:
        part = self.package.related("sharedStrings")
        return _shared_texts(self.package.read(part)) if part else []

    def lines(self, sheet: str, first: int = 1, last: int = cells.MAX_ROWS) -> Iterator[Line]:
        """Rows that hold anything, in order; reads no further than `last`."""
        data = self.package.read(self._parts[sheet])
        walker = _Lines(first, self._texts if b't="s"' in data or b"t='s'" in data else [])
        for start in range(0, len(data), _CHUNK):
            walker.feed(data[start : start + _CHUNK], start + _CHUNK >= len(data))
            done, walker.done = walker.done, []
            for line in done:
                if line.number > last:
                    return
                yield line

    def column_styles(self, sheet: str) -> dict[int, int]:
        """Style number of each column that has one."""
        found: dict[int, int] = {}
        for element in self._outline(sheet).iter():
            if local(element.tag) == "col" and "style" in element.attrib:
                first, last = int(element.get("min", "1")), int(element.get("max", "1"))
                for column in range(max(1, first), min(last, cells.MAX_COLUMNS) + 1):
                    found[column] = int(element.get("style", "0"))
        return found

    def validations(self, sheet: str) -> list[Validation]:
        """Rules for cells, extension ones included."""
        elements = self._outline(sheet).iter()
        return [_validation(element) for element in elements if local(element.tag) == "dataValidation"]

    def _outline(self, sheet: str) -> ElementTree.Element:
        """The sheet without its rows."""
        data = self.package.read(self._parts[sheet])
        start = _START.search(data)
        if start is None or b"<!DOCTYPE" in data[: start.start()]:
            raise unreadable()
        if start[1]:
            outline = data
        else:
            ends = list(_END.finditer(data))
            if not ends:
                raise unreadable()
            outline = data[: start.end()] + data[ends[-1].start() :]
        try:
            return ElementTree.fromstring(outline)  # noqa: S314  # a document type was refused above
        except ElementTree.ParseError as error:
            raise unreadable() from error


class _Texts:
    """Collects texts, those of phonetic hints left out."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._depth_of_hint = 0
        self._in_text = False

    def start(self, name: str) -> None:
        if name == "rPh":
            self._depth_of_hint += 1
        elif name == "t":
            self._in_text = not self._depth_of_hint

    def end(self, name: str) -> None:
        if name == "rPh":
            self._depth_of_hint -= 1
        elif name == "t":
            self._in_text = False

    def data(self, text: str) -> None:
        if self._in_text:
            self.parts.append(text)

    def take(self) -> str:
        text, self.parts = "".join(self.parts), []
        return unescaped(text)


def _parser() -> Any:
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def refuse(*_: Any) -> None:
        raise unreadable()

    parser.StartDoctypeDeclHandler = refuse
    return parser


def _shared_texts(data: bytes) -> list[str]:
    found: list[str] = []
    texts = _Texts()
    size = 0

    def start(name: str, _: dict[str, str]) -> None:
        texts.start(name.rpartition(":")[2])

    def end(name: str) -> None:
        nonlocal size
        plain = name.rpartition(":")[2]
        texts.end(plain)
        if plain == "si":
            text = texts.take()
            size += len(text)
            if size > MAX_TEXTS:
                raise errors.InvalidArgument(
                    "the workbook holds more text than a template does", reason="TEMPLATE_TOO_LARGE"
                )
            found.append(text)

    parser = _parser()
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, texts.data
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise unreadable() from error
    return found


class _Lines:
    """Reads rows as their XML comes."""

    def __init__(self, first: int, shared: list[str]) -> None:
        self.done: list[Line] = []
        self._first = first
        self._shared = shared
        self._line: Line | None = None
        self._number = self._column = 0
        self._kind = ""
        self._inside: Literal["", "v", "is"] = ""
        self._value: list[str] = []
        self._texts = _Texts()
        self._parser = _parser()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._data

    def feed(self, data: bytes, last: bool) -> None:
        try:
            self._parser.Parse(data, last)
        except (expat.ExpatError, ValueError) as error:
            raise unreadable() from error

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        plain = name.rpartition(":")[2]
        if plain == "row":
            self._number = int(attributes.get("r", self._number + 1))
            self._column = 0
            self._line = Line(self._number) if self._number >= self._first else None
        elif self._line is None:
            return
        elif plain == "c":
            self._column = cells.column_number(attributes.get("r", "")) or self._column + 1
            self._kind = attributes.get("t", "n")
            self._value = []
            if "s" in attributes:
                self._line.styles[self._column] = int(attributes["s"])
        elif plain == "v":
            self._inside = "v"
        elif plain == "is":
            self._inside = "is"
        elif self._inside == "is":
            self._texts.start(plain)

    def _end(self, name: str) -> None:
        if self._line is None:
            return
        plain = name.rpartition(":")[2]
        if plain == "row":
            self.done.append(self._line)
            self._line = None
        elif plain == "c":
            text = self._text()
            if text:
                self._line.texts[self._column] = text
        elif plain in ("v", "is"):
            self._inside = ""
        elif self._inside == "is":
            self._texts.end(plain)

    def _data(self, text: str) -> None:
        if self._inside == "v":
            self._value.append(text)
        elif self._inside == "is":
            self._texts.data(text)

    def _text(self) -> str:
        if self._kind == "inlineStr":
            return self._texts.take()
        value = "".join(self._value)
        if self._kind == "s":
            index = int(value or -1)
            return self._shared[index] if 0 <= index < len(self._shared) else ""
        if self._kind == "n":
            return plain_number(value)
        if self._kind == "b":
            return {"1": "TRUE", "0": "FALSE"}.get(value, value)
        return unescaped(value)


def plain_number(text: str) -> str:
    """A number as people write it: 5 for 5.0, 0.045 for 4.4999999999999998E-2."""
    try:
        number = float(text)
    except ValueError:
        return text
    if number.is_integer() and abs(number) < 1e15:
        return str(int(number))
    return repr(number)


def unescaped(text: str) -> str:
    """A text with its `_x000D_` taken for what they mean."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text) if "_x" in text else text


def _validation(element: ElementTree.Element) -> Validation:
    texts: dict[str, str] = {"sqref": element.get("sqref", "")}
    for child in element.iter():
        plain = local(child.tag)
        if plain in ("formula1", "formula2", "sqref"):
            inner = next((each.text for each in child.iter() if local(each.tag) == "f"), None)
            texts[plain] = (inner or child.text or "").strip()
    areas = (area(part) for part in texts["sqref"].split())
    return Validation(
        tuple(each for each in areas if each is not None),
        element.get("type", "none"),
        element.get("operator", "between"),
        texts.get("formula1", "").removeprefix("="),
        texts.get("formula2", "").removeprefix("="),
    )


_AREA = re.compile(r"\$?([A-Za-z]{1,3})?\$?(\d{1,7})?(?::\$?([A-Za-z]{1,3})?\$?(\d{1,7})?)?")


def area(text: str) -> Area | None:
    """A reference such as `$A$2:B9`, `A:A` or `C3`; None if it is none."""
    match = _AREA.fullmatch(text.strip())
    if match is None or not (match[1] or match[2]):
        return None
    ends = ":" in text
    first_column = cells.column_number(match[1]) if match[1] else 1
    first_row = int(match[2]) if match[2] else 1
    last_column = cells.column_number(match[3]) if match[3] else (cells.MAX_COLUMNS if ends else first_column)
    last_row = int(match[4]) if match[4] else (cells.MAX_ROWS if ends else first_row)
    if not ends and not (match[1] and match[2]):
        return None
    return Area(first_column, first_row, min(last_column, cells.MAX_COLUMNS), min(last_row, cells.MAX_ROWS))
