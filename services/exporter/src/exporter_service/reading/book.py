"""A workbook as the rest of this package sees it, whatever file it came in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from exporter_service.model import Medium
from exporter_service.xlsx.reading import Area, Validation
from exporter_service.xlsx.styles import Format

Texts = dict[int, str]
"""Texts of a row by column, from 1."""


@dataclass(frozen=True, slots=True)
class SheetName:
    """A sheet, and whether it is hidden."""

    name: str
    hidden: bool = False


class Book(Protocol):
    """What a file says. Sheets are named, rows and columns count from 1."""

    medium: Medium
    epoch_1904: bool
    notes: Sequence[str]
    """What is to be known of the file's format."""

    @property
    def sheets(self) -> Sequence[SheetName]:
        """The sheets, in the order of the workbook."""
        ...

    @property
    def names(self) -> Mapping[str, str]:
        """What defined names refer to, by name without case."""
        ...

    def rows(self, sheet: str, first: int, last: int) -> Iterator[tuple[int, Texts]]:
        """Rows that hold any text, with their number, in order."""
        ...

    def block(self, sheet: str, area: Area) -> list[str]:
        """Texts of a block of cells that are not empty, row by row; [] where there is no such sheet."""
        ...

    def fills(self, sheet: str, row: int) -> Mapping[int, str]:
        """Colour of each filled cell of a row, as RGB in hexadecimal, by column."""
        ...

    def formats(self, sheet: str, row: int) -> Mapping[int, Format]:
        """What kind of value cells of a row show, by column; those of the whole column where the row has none."""
        ...

    def validations(self, sheet: str) -> Sequence[Validation]:
        """Rules for what cells take."""
        ...

    def formula_columns(self, sheet: str, row: int) -> set[int]:
        """Columns that hold formulas in `row` or below."""
        ...
