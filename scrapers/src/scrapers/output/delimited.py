"""CSV: one row per product, lists joined by " | ". No cell is one that a spreadsheet would take for a formula."""

from __future__ import annotations

import csv
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from scrapers.output import tables
from scrapers.output.tables import Cell, Results

SEPARATOR = " | "
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def write(path: Path, results: Results) -> None:
    """Writes the file as RFC 4180 has it, in UTF-8 with the mark by which Excel knows it."""
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(tables.PRODUCT_COLUMNS)
        for record in results.records():
            writer.writerow([shown(cell) for cell in tables.product_row(record, SEPARATOR)])


def shown(cell: Cell) -> str:
    """The cell as text; an apostrophe before what would be a formula."""
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return cell.isoformat(timespec="seconds")
    if isinstance(cell, Decimal | int | float):
        return str(cell)
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell
