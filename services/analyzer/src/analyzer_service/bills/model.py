"""What a bill is once it has been read."""

from __future__ import annotations

from dataclasses import dataclass

UNSURE = 0.6
"""A reading with a confidence below this is said to be unsure."""


@dataclass(frozen=True)
class Cell:
    """A cell: the text as printed, its number where it is one, confidence between 0 and 1."""

    text: str = ""
    number: float | None = None
    confidence: float = 0.0

    @property
    def sure(self) -> float | None:
        """The number where it was read with confidence."""
        return self.number if self.confidence >= UNSURE else None


@dataclass(frozen=True)
class Row:
    """A line of a table; `page` counts from 1."""

    cells: tuple[Cell, ...]
    page: int = 1


@dataclass(frozen=True)
class Table:
    """Lines under named columns; every row has one cell per column."""

    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()

    def cell(self, row: Row, column: str) -> Cell:
        """The row's cell under a column; an empty one where there is no such column."""
        return row.cells[self.columns.index(column)] if column in self.columns else Cell()


@dataclass(frozen=True)
class Named:
    """A value outside of the table; dates are ISO, amounts have no separators of thousands."""

    name: str
    value: str
    confidence: float

    @property
    def number(self) -> float | None:
        """The value as a number, where it is one."""
        try:
            return float(self.value)
        except ValueError:
            return None


@dataclass(frozen=True)
class Check:
    """One test; `row` counts from 1, 0 is the whole bill; `unsure` where a value could not be read with confidence."""

    rule: str
    row: int
    passed: bool
    unsure: bool
    detail: str


@dataclass(frozen=True)
class Bill:
    """A bill as read."""

    table: Table
    fields: tuple[Named, ...] = ()
    extras: tuple[Named, ...] = ()
