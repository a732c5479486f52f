"""From what a client sends to a wish for a collection."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import date

from gateway_service.model import Wish
from gateway_service.orders import split_list
from servicekit import errors

_RANGE = re.compile(r"\s*(?P<low>.*?)\s*(?:-|–|—|\bto\b)\s*(?P<high>.*?)\s*", re.IGNORECASE)
_DATES = re.compile(r"\s*(?P<low>[0-9-]*)\s*(?:\bto\b|–|—|/|,|\s-\s)\s*(?P<high>[0-9-]*)\s*", re.IGNORECASE)
_MONEY = re.compile(r"(?:₹|rs\.?|inr)?\s*([0-9][0-9,]*(?:\.[0-9]+)?)", re.IGNORECASE)

Ids = str | Sequence[str | int]


def wish(
    *,
    color: str = "",
    category: str = "",
    target_audience: str = "",
    price_range: str = "",
    date_range: str = "",
    start_price: str | float | None = None,
    end_price: str | float | None = None,
    start_date: str | None = None,
    end_date: str | None = None,
    collection_size: int | None = None,
    manual_prompt: str = "",
    category_description: str | Sequence[str] = (),
    extra_jewelry: Ids = (),
    hidden_jewelry: Ids = (),
    in_stock: bool = False,
) -> Wish:
    """Understands the ranges; single ends win over a range.

    Raises:
        errors.InvalidArgument: A range is reversed or cannot be read; the sentence shows the form.
    """
    low, high = _prices(price_range)
    low = _price("start_price", start_price) if start_price not in (None, "") else low
    high = _price("end_price", end_price) if end_price not in (None, "") else high
    if low is not None and high is not None and low > high:
        raise _invalid("price_range", f"the range is reversed: {low:g} is more than {high:g}")
    first, last = _days(date_range)
    first = _day("start_date", start_date) if start_date else first
    last = _day("end_date", end_date) if end_date else last
    if first and last and first > last:
        raise _invalid("date_range", f"the range is reversed: {first} is after {last}")
    wanted = [category_description] if isinstance(category_description, str) else category_description
    return Wish(
        color=color,
        category=category,
        target_audience=target_audience,
        min_price=low,
        max_price=high,
        start_date=first,
        end_date=last,
        collection_size=collection_size or 0,
        manual_prompt=manual_prompt,
        category_description=tuple(text for text in wanted if text.strip()),
        pinned_ids=_ids(extra_jewelry),
        hidden_ids=_ids(hidden_jewelry),
        in_stock=in_stock,
    )


def _prices(text: str) -> tuple[float | None, float | None]:
    if not text.strip():
        return None, None
    found = _RANGE.fullmatch(text)
    if not found or not (found["low"] or found["high"]):
        raise _invalid("price_range", "write the range as 1000-5000; either end may be left out")
    low, high = (_price("price_range", found[end]) if found[end] else None for end in ("low", "high"))
    return low, high


def _price(field: str, value: str | float | None) -> float:
    if isinstance(value, str):
        found = _MONEY.fullmatch(value.strip())
        value = float(found[1].replace(",", "")) if found else None
    if value is None or not math.isfinite(value) or value < 0:
        raise _invalid(field, "a price is a number of rupees, such as 1000")
    return float(value)


def _days(text: str) -> tuple[str, str]:
    if not text.strip():
        return "", ""
    found = _DATES.fullmatch(text)
    if not found or not (found["low"] or found["high"]):
        raise _invalid("date_range", "write the range as 2024-01-01 to 2024-12-31; either end may be left out")
    first, last = (_day("date_range", found[end]) if found[end] else "" for end in ("low", "high"))
    return first, last


def _day(field: str, text: str) -> str:
    try:
        return date.fromisoformat(text.strip()[:10]).isoformat()
    except ValueError:
        raise _invalid(field, f"{text[:40]!r} is no date; write it as 2024-12-31") from None


def _ids(given: Ids) -> tuple[str, ...]:
    entries = given if isinstance(given, str) else [str(entry) for entry in given]
    return tuple(entry for entry in split_list(entries) if entry)


def _invalid(field: str, sentence: str) -> errors.InvalidArgument:
    return errors.InvalidArgument(sentence, fields={field: sentence})
