"""The arithmetic of a bill: each line, the totals, the taxes, the amount in words, the GSTINs' check characters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from analyzer_service.bills import values
from analyzer_service.bills.model import UNSURE, Bill, Cell, Check, Named, Row

# Rounding of one product or sum; a tax that is the sum of rounded lines may differ by half a paisa per line.
_CENT = 0.011


def checked(bill: Bill) -> tuple[Bill, tuple[Check, ...]]:
    """All tests that the bill allows; totals that a test contradicts lose their confidence."""
    found = [*_line_checks(bill), *_sum_checks(bill), *_gstin_checks(bill)]
    doubted = {
        name for check in found if not check.passed for name in ("total", "taxable", "gross") if check.rule == name
    }
    fields = tuple(
        replace(item, confidence=min(item.confidence, UNSURE / 2)) if item.name in doubted else item
        for item in bill.fields
    )
    return replace(bill, fields=fields), tuple(found)


def line_holds(quantity: Cell, rate: Cell, amount: Cell) -> bool | None:
    """Whether quantity times rate is the amount; None where one of them is no number."""
    if quantity.number is None or rate.number is None or amount.number is None:
        return None
    return abs(quantity.number * rate.number - amount.number) < _CENT


def _line_checks(bill: Bill) -> Iterable[Check]:
    table = bill.table
    missing = [name for name in ("qty", "rate", "amount") if name not in table.columns]
    if missing:
        yield Check("line_amount", 0, False, True, f"no column of {', '.join(missing)} was found")
        return
    for number, row in enumerate(table.rows, start=1):
        cells = [table.cell(row, name) for name in ("qty", "rate", "amount")]
        holds = line_holds(*cells)
        unsure = holds is None or (not holds and _doubtful(cells))
        if holds is None:
            detail = "quantity, rate or amount could not be read"
        else:
            expected = (cells[0].number or 0) * (cells[1].number or 0)
            detail = f"{_plain(cells[0])} x {_plain(cells[1])} = {expected:.2f}, found {_plain(cells[2])}"
        yield Check("line_amount", number, bool(holds), unsure, detail)
        yield from _line_tax(bill, row, number)


def _line_tax(bill: Bill, row: Row, number: int) -> Iterable[Check]:
    table = bill.table
    amount = table.cell(row, "amount")
    taxes = [name for name in ("cgst", "sgst", "igst", "gst") if name in table.columns]
    for name in taxes:
        rate, tax = table.cell(row, f"{name}_rate"), table.cell(row, name)
        if f"{name}_rate" in table.columns:
            parts = (amount.number, rate.number, tax.number)
            expected = (parts[0] or 0) * (parts[1] or 0) / 100
            yield _compared(f"line_{name}", number, expected, tax, [amount, rate, tax])
    if taxes and "line_total" in table.columns:
        cells = [amount, *(table.cell(row, name) for name in taxes)]
        total = table.cell(row, "line_total")
        expected = sum(cell.number or 0.0 for cell in cells)
        yield _compared("line_total", number, expected, total, [*cells, total])


def _sum_checks(bill: Bill) -> Iterable[Check]:
    fields = {item.name: item for item in bill.fields}
    amounts = [bill.table.cell(row, "amount") for row in bill.table.rows]
    base = fields.get("gross") or fields.get("taxable")
    if amounts and base:
        yield _compared(base.name, 0, sum(cell.number or 0.0 for cell in amounts), _cell(base), amounts)
    if "gross" in fields and "taxable" in fields:
        parts = [_cell(fields[name]) for name in ("gross", "discount") if name in fields]
        expected = (parts[0].number or 0.0) - sum(abs(cell.number or 0.0) for cell in parts[1:])
        yield _compared("taxable", 0, expected, _cell(fields["taxable"]), parts)
    yield from _tax_checks(bill, fields)
    total = fields.get("total")
    if total is None:
        yield Check("total", 0, False, True, "the total could not be read")
        return
    if base:
        names = ("taxable" if "taxable" in fields else "gross", "cgst", "sgst", "igst", "gst", "freight", "round_off")
        parts = [_cell(fields[name]) for name in names if name in fields]
        yield _compared("total", 0, sum(cell.number or 0.0 for cell in parts), _cell(total), parts)
    else:
        yield Check("total", 0, False, True, "the value before taxes could not be read")
    words = fields.get("total_in_words")
    if words is not None:
        spoken = values.from_words(words.value)
        holds = spoken is not None and total.number is not None and spoken == int(total.number)
        detail = f"the words say {spoken}, the figures {total.value}" if spoken is not None else "words not understood"
        yield Check("total_in_words", 0, holds, spoken is None or (not holds and total.confidence < UNSURE), detail)


def _tax_checks(bill: Bill, fields: dict[str, Named]) -> Iterable[Check]:
    base = fields.get("taxable") or fields.get("gross")
    for name in ("cgst", "sgst", "igst", "gst"):
        rate, tax = fields.get(f"{name}_rate"), fields.get(name)
        if base and rate and tax:
            parts = [_cell(base), _cell(rate)]
            expected = (parts[0].number or 0.0) * (parts[1].number or 0.0) / 100
            yield _compared(name, 0, expected, _cell(tax), [*parts, _cell(tax)])
        elif tax and name in bill.table.columns:
            cells = [bill.table.cell(row, name) for row in bill.table.rows]
            yield _compared(name, 0, sum(cell.number or 0.0 for cell in cells), _cell(tax), cells)


def _gstin_checks(bill: Bill) -> Iterable[Check]:
    for item in bill.fields:
        if item.name.endswith("gstin"):
            holds = values.gstin_valid(item.value)
            detail = f"{item.name} {item.value}: check character {'holds' if holds else 'does not hold'}"
            yield Check("gstin_checksum", 0, holds, not holds and item.confidence < 0.9, detail)


def _compared(rule: str, row: int, expected: float, found: Cell, parts: list[Cell]) -> Check:
    if found.number is None or any(cell.number is None for cell in parts):
        return Check(rule, row, False, True, "a value that it needs could not be read")
    holds = abs(expected - found.number) < _CENT
    unsure = not holds and _doubtful([*parts, found])
    return Check(rule, row, holds, unsure, f"expected {expected:.2f}, found {found.number:.2f}")


def _doubtful(cells: Iterable[Cell]) -> bool:
    return any(cell.sure is None for cell in cells)


def _cell(item: Named) -> Cell:
    return Cell(item.value, item.number, item.confidence)


def _plain(cell: Cell) -> str:
    return f"{cell.number:g}" if cell.number is not None else "?"
