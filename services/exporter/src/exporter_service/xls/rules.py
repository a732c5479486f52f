"""Drop-downs and other rules for cells of an old workbook, which its usual reader leaves out.

[MS-XLS] 2.4.89 (Dv), 2.5.198.16 (DVParsedFormula) and 2.5.198 (the tokens of formulas).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from exporter_service.xls import records as biff
from exporter_service.xlsx import cells
from exporter_service.xlsx.reading import Area, Validation

_KINDS = ("none", "whole", "decimal", "list", "date", "time", "textLength", "custom")
_OPERATORS = (
    "between", "notBetween", "equal", "notEqual", "greaterThan", "lessThan", "greaterThanOrEqual", "lessThanOrEqual",
)  # fmt: skip
_INLINE = 0x80
_STR, _INT, _NUM = 0x17, 0x1E, 0x1F
# Tokens come in three classes, told by bits 5 and 6.
_NAME, _REF, _AREA, _REF_3D, _AREA_3D = 0x03, 0x04, 0x05, 0x1A, 0x1B


class Rules:
    """Reads the rules of sheets."""

    def __init__(self, stream: bytes, names: Sequence[str]) -> None:
        """`names` are the defined names, in their order."""
        self._stream = stream
        self._names = names
        self._sheets = [sheet.name for sheet in biff.sheets(stream)]
        self._places = self._external_sheets()

    def of(self, sheet: biff.Sheet) -> list[Validation]:
        """The rules of a sheet; those that cannot be read are left out."""
        found = []
        for record in biff.records(self._stream, sheet.start):
            if record.kind == biff.DV:
                try:
                    found.append(self._rule(record.data(self._stream)))
                except (struct.error, IndexError, UnicodeDecodeError):
                    continue
        return found

    def _rule(self, data: bytes) -> Validation:
        (flags,) = struct.unpack_from("<I", data)
        at = 4
        for _ in range(4):  # titles and texts of the prompt and of the error
            at = _after_text(data, at)
        formulas = []
        for _ in range(2):
            (size,) = struct.unpack_from("<H", data, at)
            formulas.append(self._formula(data[at + 4 : at + 4 + size], bool(flags & _INLINE)))
            at += 4 + size
        (count,) = struct.unpack_from("<H", data, at)
        areas = []
        for number in range(count):
            first_row, last_row, first, last = struct.unpack_from("<4H", data, at + 2 + number * 8)
            areas.append(Area(first + 1, first_row + 1, last + 1, last_row + 1))
        kind, operator = flags & 0xF, flags >> 20 & 0xF
        return Validation(tuple(areas), _KINDS[kind], _OPERATORS[operator], *formulas)

    def _formula(self, tokens: bytes, inline: bool) -> str:
        """A formula of one token, as text; "" for any other."""
        if not tokens:
            return ""
        kind = tokens[0] & 0x1F if tokens[0] & 0x60 else tokens[0]
        reader: Callable[[bytes], str] | None = None
        if tokens[0] == _STR:
            wide = tokens[2] & 1
            raw = tokens[3 : 3 + tokens[1] * (2 if wide else 1)]
            text = raw.decode("utf-16-le" if wide else "latin-1")
            if inline:
                text = text.replace("\0", ",")
            return f'"{text}"'
        if tokens[0] == _INT:
            return str(int.from_bytes(tokens[1:3], "little"))
        if tokens[0] == _NUM:
            return f"{struct.unpack_from('<d', tokens, 1)[0]:g}"
        if tokens[0] & 0x60:
            reader = {
                _NAME: self._name,
                _REF: lambda body: _cell(body),
                _AREA: lambda body: _area(body),
                _REF_3D: lambda body: self._sheet(body) + _cell(body[2:]),
                _AREA_3D: lambda body: self._sheet(body) + _area(body[2:]),
            }.get(kind)
        return reader(tokens[1:]) if reader else ""

    def _name(self, body: bytes) -> str:
        return self._names[int.from_bytes(body[:2], "little") - 1]

    def _sheet(self, body: bytes) -> str:
        (number,) = struct.unpack_from("<H", body)
        name = self._sheets[self._places[number]].replace("'", "''")
        return f"'{name}'!"

    def _external_sheets(self) -> list[int]:
        """Number of the sheet behind each reference to one (ExternSheet, 2.4.106)."""
        for record in biff.records(self._stream):
            if record.kind == biff.EXTERNSHEET:
                data = record.data(self._stream)
                (count,) = struct.unpack_from("<H", data)
                count = min(count, (len(data) - 2) // 6)
                return [int.from_bytes(data[4 + number * 6 : 6 + number * 6], "little") for number in range(count)]
        return []


def _after_text(data: bytes, at: int) -> int:
    length, wide = int.from_bytes(data[at : at + 2], "little"), data[at + 2]
    return at + 3 + length * (2 if wide & 1 else 1)


def _cell(body: bytes) -> str:
    row, column = struct.unpack_from("<2H", body)
    return f"${cells.letters((column & 0xFF) + 1)}${row + 1}"


def _area(body: bytes) -> str:
    first_row, last_row, first, last = struct.unpack_from("<4H", body)
    start = f"${cells.letters((first & 0xFF) + 1)}${first_row + 1}"
    return f"{start}:${cells.letters((last & 0xFF) + 1)}${last_row + 1}"
