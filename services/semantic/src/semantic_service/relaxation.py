"""What to loosen when nothing passes: the smallest change that finds something, as a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from semantic_service import values
from semantic_service.criteria import Criteria, within
from semantic_service.snapshot import Mask, Snapshot
from semantic_service.vocabulary import joined

_NAMES = {
    "category": "the category", "price": "the price range", "date": "the date range", "in_stock": "the stock filter",
    "color": "the colour", "audience": "the audience", "hidden": "the hidden products",
}  # fmt: skip
# To leave a filter out altogether counts like a change of the price by half, or of a date by half a year.
_LEAVE_OUT = 0.5


@dataclass(frozen=True, slots=True)
class _Change:
    effort: float
    sentence: str


def nearest(snapshot: Snapshot, criteria: Criteria, filters: dict[str, Mask]) -> str:
    """A sentence with the nearest relaxation; hidden products are never offered."""
    if not len(snapshot):
        return "The catalogue holds no products."
    fixed = filters.get("hidden", np.ones(len(snapshot), dtype=np.bool_))
    loose = {name: mask for name, mask in filters.items() if name != "hidden"}
    changes = [
        change
        for name in loose
        if (change := _single(snapshot, criteria, name, _others(fixed, loose, {name}))) is not None
    ]
    if changes:
        return min(changes, key=lambda change: change.effort).sentence
    for size in range(2, len(loose) + 1):
        options = [(int(_others(fixed, loose, set(names)).sum()), names) for names in combinations(loose, size)]
        count, names = max(options, key=lambda option: option[0])
        if count:
            return f"No single change helps; without {joined(_NAMES[name] for name in names)} {_found(count)}."
    return "Every product is hidden; show some of them again."


def _others(fixed: Mask, loose: dict[str, Mask], without: set[str]) -> Mask:
    result = fixed.copy()
    for name, mask in loose.items():
        if name not in without:
            result &= mask
    return result


def _single(snapshot: Snapshot, criteria: Criteria, name: str, rest: Mask) -> _Change | None:
    if not rest.any():
        return None
    if name == "price" and (change := _price(snapshot, criteria, rest)):
        return change
    if name == "date" and (change := _date(snapshot, criteria, rest)):
        return change
    return _Change(_LEAVE_OUT, f"Without {_NAMES[name]} {_found(int(rest.sum()))}.")


def _price(snapshot: Snapshot, criteria: Criteria, rest: Mask) -> _Change | None:
    low, high = criteria.min_price, criteria.max_price
    prices = snapshot.prices[rest]
    options: list[tuple[float, float, bool]] = []
    if high is not None and (above := prices[prices > high]).size:
        bound = float(above.min())
        options.append(((bound - high) / max(high, 1.0), bound, True))
    if low is not None and (below := prices[prices < low]).size:
        bound = float(below.max())
        options.append(((low - bound) / max(low, 1.0), bound, False))
    if not options:
        return None
    effort, bound, is_high = min(options)
    count = int(within(prices, low if is_high else bound, bound if is_high else high).sum())
    return _Change(effort, f"With a {'highest' if is_high else 'lowest'} price of {rupees(bound)} {_found(count)}.")


def _date(snapshot: Snapshot, criteria: Criteria, rest: Mask) -> _Change | None:
    dates = snapshot.dates[rest]
    dates = dates[dates > 0]
    options: list[tuple[int, int, bool]] = []
    if criteria.end is not None and (after := dates[dates > criteria.end]).size:
        bound = int(after.min())
        options.append((_days(criteria.end, bound), bound, True))
    if criteria.start is not None and (before := dates[dates < criteria.start]).size:
        bound = int(before.max())
        options.append((_days(bound, criteria.start), bound, False))
    if not options:
        return None
    days, bound, is_end = min(options)
    count = int(within(dates, criteria.start if is_end else bound, bound if is_end else criteria.end).sum())
    edge = "last" if is_end else "first"
    return _Change(days / 365.0, f"With {values.as_date(bound).isoformat()} as the {edge} day {_found(count)}.")


def _days(first: int, last: int) -> int:
    return (values.as_date(last) - values.as_date(first)).days


def _found(count: int) -> str:
    return "1 product is found" if count == 1 else f"{count:,} products are found"


def rupees(amount: float) -> str:
    """`₹1,23,456`, grouped as India does; paise only where there are some."""
    whole, paise = divmod(round(amount * 100), 100)
    digits = str(whole)
    head, tail = digits[:-3], digits[-3:]
    groups: list[str] = []
    while head:
        groups.insert(0, head[-2:])
        head = head[:-2]
    return "₹" + ",".join([*groups, tail]) + (f".{paise:02d}" if paise else "")
