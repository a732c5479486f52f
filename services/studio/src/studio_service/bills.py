"""Bills on the screen: rows that a person edits, and the arithmetic that is tested again; no Streamlit."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

# Rounding of one product or sum, in rupees; the analyzer's own bound.
_CENT = 0.011
_TAXES = ("cgst", "sgst", "igst", "gst")
# What follows from the rows; everything else stays as the gateway told it.
_LINES = ("line_amount", "line_total", *(f"line_{name}" for name in _TAXES))
_NUMBER = re.compile(r"(?:₹|rs\.?|inr)?\s*([+-]?(?:\d{1,3}(?:,\d{2,3})+|\d+)(?:\.\d+)?)\s*(?:/-)?", re.IGNORECASE)

Value = str | int | float | None
Row = dict[str, Value]


@dataclass(frozen=True)
class Check:
    """A test of the bill's arithmetic; `row` counts from 1, 0 is the bill as a whole. Not `passed` and not `unsure`:
    wrong. `expected` and `found` only where both are known."""

    rule: str
    row: int
    passed: bool
    unsure: bool = False
    detail: str = ""
    expected: float | None = None
    found: float | None = None

    @property
    def is_wrong(self) -> bool:
        """True where the arithmetic fails."""
        return not self.passed and not self.unsure


@dataclass(frozen=True)
class Bill:
    """A bill as it stands on the screen; `is_part` once rows or columns were left out on purpose."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...] = field(repr=False)
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    extras: Mapping[str, str] = field(default_factory=dict, repr=False)
    told: tuple[Check, ...] = ()
    adapters: tuple[Mapping[str, Any], ...] = ()
    is_part: bool = False

    @property
    def checks(self) -> tuple[Check, ...]:
        """Every test: what follows from the rows as they are now, and what the gateway told of the rest."""
        if self.is_part:
            # Totals are those of the whole bill.
            return (*self._lines(), *(one for one in self.told if one.rule == "gstin_checksum"))
        base = self._base
        kept = [one for one in self.told if one.rule not in _LINES and not (one.rule == base and one.row == 0)]
        return (*self._lines(), *self._sum(base), *kept)

    def of_row(self, number: int) -> tuple[Check, ...]:
        """Tests of a row, counted from 1."""
        return tuple(one for one in self.checks if one.row == number)

    def with_rows(self, rows: Iterable[Row]) -> Bill:
        """The bill with other rows."""
        return replace(self, rows=tuple(rows))

    @property
    def numeric(self) -> frozenset[str]:
        """Columns that hold numbers only."""
        return frozenset(name for name in self.columns if _is_numeric([row.get(name) for row in self.rows]))

    @property
    def _base(self) -> str:
        return "gross" if "gross" in self.fields else "taxable"

    def _lines(self) -> Iterable[Check]:
        if not {"qty", "rate", "amount"} <= set(self.columns):
            yield from (one for one in self.told if one.rule in _LINES)
            return
        taxes = [name for name in _TAXES if name in self.columns]
        for number, row in enumerate(self.rows, start=1):
            qty, rate, amount = (numeral(row.get(name)) for name in ("qty", "rate", "amount"))
            yield _compared("line_amount", number, None if qty is None or rate is None else qty * rate, amount)
            for name in taxes:
                share = numeral(row.get(f"{name}_rate"))
                if f"{name}_rate" in self.columns:
                    expected = None if amount is None or share is None else amount * share / 100
                    yield _compared(f"line_{name}", number, expected, numeral(row.get(name)))
            if taxes and "line_total" in self.columns:
                parts = [amount, *(numeral(row.get(name)) for name in taxes)]
                yield _compared("line_total", number, _sum(parts), numeral(row.get("line_total")))

    def _sum(self, base: str) -> Iterable[Check]:
        found = numeral(self.fields.get(base))
        if found is not None and "amount" in self.columns and self.rows:
            yield _compared(base, 0, _sum([numeral(row.get("amount")) for row in self.rows]), found)


def of(answer: Mapping[str, Any]) -> Bill:
    """What the gateway read."""
    return Bill(
        columns=tuple(answer.get("columns") or ()),
        rows=tuple(dict(row) for row in answer.get("table") or ()),
        fields=dict(answer.get("extracted_data") or {}),
        extras=dict(answer.get("extras") or {}),
        told=tuple(
            Check(
                rule=str(one.get("rule") or ""),
                row=int(one.get("row") or 0),
                passed=bool(one.get("passed")),
                unsure=bool(one.get("unsure")),
                detail=str(one.get("detail") or ""),
            )
            for one in answer.get("checks") or ()
        ),
        adapters=tuple(answer.get("adapters") or ()),
    )


def edited(rows: Sequence[Row], changes: Mapping[str, Any], columns: Sequence[str]) -> list[Row]:
    """The rows after what a person did in the table editor; `changes` as Streamlit keeps them."""
    found = [dict(row) for row in rows]
    for number, values in (changes.get("edited_rows") or {}).items():
        found[int(number)].update({name: value for name, value in values.items() if name in columns})
    gone = set(changes.get("deleted_rows") or ())
    kept = [row for number, row in enumerate(found) if number not in gone]
    added = ({name: values.get(name) for name in columns} for values in changes.get("added_rows") or ())
    return [*kept, *added]


def numeral(value: object) -> float | None:
    """The number that a cell holds, as people write it: 1,23,456.50 or ₹ 540/-."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) else None
    found = _NUMBER.fullmatch(str(value).strip())
    return float(found[1].replace(",", "")) if found else None


def plain(value: float) -> str:
    """An amount as it is shown: 15900, 15900.50."""
    return str(int(value)) if value.is_integer() else f"{value:.2f}"


def _compared(rule: str, row: int, expected: float | None, found: float | None) -> Check:
    if expected is None or found is None:
        return Check(rule, row, passed=False, unsure=True)
    return Check(rule, row, passed=abs(expected - found) < _CENT, expected=expected, found=found)


def _sum(parts: Iterable[float | None]) -> float | None:
    known = list(parts)
    return None if any(part is None for part in known) else math.fsum(part or 0.0 for part in known)


def _is_numeric(values: Iterable[Value]) -> bool:
    given = [value for value in values if value not in (None, "")]
    return bool(given) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in given)


def narrowed(bill: Bill, columns: Sequence[str], rows: Iterable[Row]) -> Bill:
    """The bill with some of its rows and columns; tests of rows as the gateway read them go with the rows."""
    told = tuple(one for one in bill.told if one.row == 0)
    return replace(bill, columns=tuple(columns), rows=tuple(dict(row) for row in rows), told=told, is_part=True)
