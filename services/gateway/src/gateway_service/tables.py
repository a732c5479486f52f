"""Tables: what a bill holds, and the rows that a client sends and gets back. Plain data, free of gRPC and HTTP."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway_service.model import Adapter, Cost
from servicekit import errors

Scalar = str | int | float | bool | None
Record = dict[str, Scalar]

MAX_ROWS = 10_000
MAX_COLUMNS = 200
MAX_CELL = 5_000

# 1234, 1,234.50, 12,34,567.8, -3.5, each with or without a rupee sign.
_NUMBER = re.compile(r"(?:₹|rs\.?|inr)?\s*([+-]?(?:\d{1,3}(?:,\d{2,3})+|\d+)(?:\.\d+)?)\s*(?:/-)?", re.IGNORECASE)
_PLAIN_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
# Beginnings that a spreadsheet takes for a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@dataclass(frozen=True)
class Cell:
    """Text as printed; `number` where the cell is one; confidence between 0 and 1."""

    text: str
    number: float | None = None
    confidence: float = 1.0


@dataclass(frozen=True)
class Table:
    """Rows in order, one cell per column."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def records(self) -> list[Record]:
        """Rows by name of the column: the number where a cell is one, else its text. Repeated names get a number."""
        names = unique(self.columns)
        return [
            {name: _shown(cell) for name, cell in zip(names, cells + (Cell(""),) * len(names), strict=False)}
            for cells in self.rows
        ]


@dataclass(frozen=True)
class NamedValue:
    """A value outside of the table, such as `invoice_no`."""

    name: str
    value: str
    confidence: float


@dataclass(frozen=True)
class Check:
    """An arithmetic or checksum test; `row` is counted from 1, 0 for the bill as a whole."""

    rule: str
    row: int
    passed: bool
    unsure: bool
    detail: str


@dataclass(frozen=True)
class Bill:
    """What was read from a bill."""

    table: Table
    fields: tuple[NamedValue, ...]
    extras: tuple[NamedValue, ...]
    checks: tuple[Check, ...]
    adapter: Adapter
    cost: Cost


@dataclass(frozen=True)
class Refined:
    """A table with some of its rows and columns, and how the words were understood."""

    table: Table
    understood: str
    adapter: Adapter
    cost: Cost = field(default_factory=Cost)


def from_records(records: Sequence[Mapping[str, object]]) -> Table:
    """A table of what a client sent: a column per name, in the order in which the names first come.

    Raises:
        errors.InvalidArgument: There is no row, there are too many, or a value is no single value.
    """
    if not 1 <= len(records) <= MAX_ROWS:
        raise _invalid("data", f"send 1 to {MAX_ROWS} rows; there are {len(records)}")
    columns = tuple(dict.fromkeys(name for record in records for name in record))
    if not 1 <= len(columns) <= MAX_COLUMNS:
        raise _invalid("data", f"rows have 1 to {MAX_COLUMNS} columns; there are {len(columns)}")
    for name in columns:
        _refuse_unprintable(name)
    return Table(columns, tuple(tuple(_cell(record.get(name), name) for name in columns) for record in records))


def originals(
    sent: Sequence[Mapping[str, object]], table: Table, refined: Table, columns: Sequence[str] = ()
) -> list[Record]:
    """The refined rows with the very values that the client sent, whatever their type.

    Args:
        sent: The rows as sent.
        table: The same as a table.
        refined: Some of its rows, in any order, with some of its columns.
        columns: Names that the client asked for; its spelling of a name is kept.

    Raises:
        errors.DataLoss: A row or column came back that was not sent: rows and values are never invented.
    """
    names = {_spaced(name).casefold(): at for at, name in reversed(list(enumerate(table.columns)))}
    names |= {name: at for at, name in enumerate(table.columns)}
    try:
        places = [names[name] if name in names else names[_spaced(name).casefold()] for name in refined.columns]
    except KeyError:
        raise _invented("a column") from None
    waiting: dict[tuple[str, ...], deque[int]] = defaultdict(deque)
    for at, cells in enumerate(table.rows):
        waiting[tuple(_spaced(cells[place].text) for place in places)].append(at)
    asked = {_spaced(name).casefold(): name for name in columns}
    shown = [asked.get(_spaced(table.columns[place]).casefold(), table.columns[place]) for place in places]
    found: list[Record] = []
    for cells in refined.rows:
        left = waiting.get(tuple(_spaced(cell.text) for cell in cells))
        if not left:
            raise _invented("a row")
        record = sent[left.popleft()]
        values = [record.get(table.columns[place]) for place in places]
        found.append({name: _scalar(value) for name, value in zip(shown, values, strict=True)})
    return found


def to_csv(columns: Sequence[str], records: Sequence[Mapping[str, object]]) -> str:
    """CSV (RFC 4180) with a header row; no cell can be taken for a formula."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([harmless(name) for name in columns])
    for record in records:
        writer.writerow([harmless(_text(record.get(name))) for name in columns])
    return out.getvalue()


def harmless(text: str) -> str:
    """The text, behind an apostrophe where a spreadsheet would take it for a formula; plain numbers stay numbers."""
    if text.lstrip().startswith(_FORMULA) or text.startswith(_FORMULA):
        return text if _PLAIN_NUMBER.fullmatch(text) else f"'{text}"
    return text


def unique(names: Sequence[str]) -> list[str]:
    """The names, repeated ones with a number behind."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def _cell(value: object, name: str) -> Cell:
    if value is not None and not isinstance(value, str | int | float | bool):
        raise _invalid("data", f"values are texts, numbers, true, false or null; {name[:60]} is something else")
    if isinstance(value, float) and not math.isfinite(value):
        raise _invalid("data", f"{name[:60]} is no finite number")
    text = _text(value)
    if len(text) > MAX_CELL:
        raise _invalid("data", f"{name[:60]} is longer than {MAX_CELL} characters")
    _refuse_unprintable(text)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Cell(text, _float(value))
    found = _NUMBER.fullmatch(text.strip()) if isinstance(value, str) else None
    return Cell(text, float(found[1].replace(",", "")) if found else None)


def _float(value: int | float) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def _shown(cell: Cell) -> Scalar:
    if cell.number is None or not math.isfinite(cell.number):
        return cell.text
    number = float(cell.number)
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


def _scalar(value: object) -> Scalar:
    assert value is None or isinstance(value, str | int | float | bool)
    return value


def _spaced(text: str) -> str:
    """The text with single blanks: the one liberty that a service may take."""
    return " ".join(text.split())


def _refuse_unprintable(text: str) -> None:
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise _invalid("data", "a name or value holds half a character; send valid Unicode")


def _invalid(field_name: str, sentence: str) -> errors.InvalidArgument:
    return errors.InvalidArgument(sentence, fields={field_name: sentence})


def _invented(what: str) -> errors.DataLoss:
    return errors.DataLoss(
        f"the refinement gave back {what} that was not sent, so it is not passed on; word it in another way",
        reason="REFINEMENT_INVENTED",
    )
