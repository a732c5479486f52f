"""How many cells and totals of bills with known truth were read right."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analyzer_service.bills.model import UNSURE, Bill, Check

_CELLS = ("description", "hsn", "qty", "unit", "rate", "amount", "cgst", "sgst")
_FIELDS = ("invoice_no", "date", "seller_gstin", "buyer_gstin", "gross", "discount", "taxable", "round_off", "total")


@dataclass(frozen=True)
class Score:
    """Counts of one bill.

    Attributes:
        cells, right: cells in the truth, and those read right; spaces and case of descriptions do not count.
        fields, fields_right: header fields and totals.
        silent: wrong values that were given with confidence and that no check doubts.
        silent_totals: those among them that are header fields or totals.
    """

    cells: int
    right: int
    fields: int
    fields_right: int
    silent: int
    silent_totals: int
    wrong: tuple[str, ...]


def score(bill: Bill, checks: Sequence[Check], truth: Mapping[str, Any]) -> Score:
    """Compares a bill with its truth; rows are matched by their order."""
    wrong: list[str] = []
    cells = right = silent = 0
    doubted = {check.row for check in checks if not check.passed}
    for number, item in enumerate(truth["items"], start=1):
        row = bill.table.rows[number - 1] if number <= len(bill.table.rows) else None
        for name in _CELLS:
            if name not in item:
                continue
            cells += 1
            cell = bill.table.cell(row, name) if row else None
            if cell is not None and _same(item[name], cell.text, cell.number):
                right += 1
                continue
            wrong.append(f"row {number} {name}: {cell.text if cell else ''!r} for {item[name]!r}")
            if cell is not None and cell.text and cell.confidence >= UNSURE and number not in doubted:
                silent += 1
    fields, fields_right, silent_totals = _score_fields(bill, checks, truth, wrong)
    return Score(cells, right, fields, fields_right, silent + silent_totals, silent_totals, tuple(wrong))


def _score_fields(
    bill: Bill, checks: Sequence[Check], truth: Mapping[str, Any], wrong: list[str]
) -> tuple[int, int, int]:
    wanted = dict(truth) | {f"{who}_gstin": truth[who]["gstin"] for who in ("seller", "buyer")}
    wanted |= {tax["type"].lower(): tax["amount"] for tax in truth["taxes"]}
    names = [*_FIELDS, *(tax["type"].lower() for tax in truth["taxes"])]
    if not truth["discount"]:
        names = [name for name in names if name not in ("gross", "discount")]
    read = {item.name: item for item in bill.fields}
    doubted = {check.rule for check in checks if check.row == 0 and not check.passed}
    right = silent = 0
    for name in names:
        item = read.get(name)
        value = abs(wanted[name]) if name == "discount" else wanted[name]
        number = item.number if item else None
        if item and _same(value, item.value, abs(number) if name == "discount" and number is not None else number):
            right += 1
            continue
        wrong.append(f"{name}: {item.value if item else ''!r} for {wanted[name]!r}")
        rule = "gstin_checksum" if name.endswith("gstin") else name
        silent += bool(item and item.value and item.confidence >= UNSURE and not doubted & {rule, "total"})
    return len(names), right, silent


def _same(wanted: object, text: str, number: float | None) -> bool:
    if isinstance(wanted, int | float):
        return number is not None and abs(number - wanted) < 0.005
    return re.sub(r"\s", "", str(wanted)).lower() == re.sub(r"\s", "", text).lower()
