"""Prices, dates and stock as shops write them.

Each function returns None for "not given" and raises ValueError, with a clause for people, for what
is given but cannot be understood.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime

# Text that stands for an empty cell.
_NOTHING = {"", "-", "--", "n/a", "na", "nan", "nil", "none", "null", "undefined"}

_RUPEE_MARKS = re.compile(r"₹|\b(?:rs|inr|mrp|rupees?|only)\b\.?|/-", re.IGNORECASE)
_FOREIGN = re.compile(r"[$€£¥]|\b(?:usd|eur|gbp|aed|aud|cad|sgd|jpy)\b", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")

_TRUE = {"true", "yes", "y", "1", "in stock", "instock", "in_stock", "available", "active", "live"}
_FALSE = {
    "false", "no", "n", "0", "out of stock", "outofstock", "out_of_stock", "unavailable", "sold out", "soldout",
    "sold_out", "inactive", "discontinued", "oos",
}  # fmt: skip

_MONTHS = {
    name: number
    for number, names in enumerate(
        ("jan january", "feb february", "mar march", "apr april", "may", "jun june", "jul july", "aug august",
         "sep sept september", "oct october", "nov november", "dec december"),
        start=1,
    )
    for name in names.split()
}  # fmt: skip
_ISO = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T ].*)?")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})")
_NUMERIC = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})(?:[T ,].*)?")
_DAY_NAME = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?[\s-]+([A-Za-z]+)\.?,?[\s-]+(\d{4})(?:[T ,].*)?")
_NAME_DAY = re.compile(r"([A-Za-z]+)\.?\s+(\d{1,2})(?:st|nd|rd|th)?,?\s+(\d{4})(?:[T ,].*)?")

# Epoch numbers: from 1990 in seconds to 2100 in milliseconds.
_EPOCH_SECONDS = (631_152_000, 4_102_444_800)


def is_nothing(value: object) -> bool:
    """True for None and for text that stands for an empty cell."""
    return value is None or (isinstance(value, str) and value.strip().lower() in _NOTHING)


def price(value: object) -> float | None:
    """A price in rupees: `1299`, `"Rs. 1,299.00"`, `"₹1,299"`, `"1,29,999/-"`; of a range the lower end.

    Zero counts as not given: no shop gives jewelry away, and feeds write 0 for "no sale price".
    """
    if is_nothing(value):
        return None
    if isinstance(value, bool):
        raise ValueError("is not a number")
    if isinstance(value, int | float):
        amount = float(value)
    else:
        text = str(value).strip()
        if _FOREIGN.search(text):
            raise ValueError("is not in rupees")
        text = _RUPEE_MARKS.sub(" ", text).replace(",", "").strip()
        if text.startswith("-"):
            raise ValueError("is below zero")
        parts = [part.strip() for part in re.split(r"\s*(?:-|–|\bto\b)\s*", text)]
        if not parts or len(parts) > 2 or not all(_NUMBER.fullmatch(part) for part in parts):
            raise ValueError("is not a number")
        amount = min(float(part) for part in parts)
    if not math.isfinite(amount):
        raise ValueError("is not a number")
    if amount < 0:
        raise ValueError("is below zero")
    return round(amount, 2) or None


def day(value: object, *, day_first: bool = True) -> int | None:
    """A date as the number yyyymmdd.

    Understood: ISO dates and timestamps, `20240305`, `05/03/2024` (day first, as India writes it, unless
    told otherwise), `5 Mar 2024`, `March 5, 2024`, RFC 2822, and epoch seconds or milliseconds (UTC).
    A timestamp counts for the day that is written in it, whatever its zone.
    """
    if is_nothing(value):
        return None
    if isinstance(value, bool):
        raise ValueError("is not a date")
    if isinstance(value, dict):  # a folded record of MongoDB's extended JSON
        return day(value.get("$date", value.get("$numberlong")), day_first=day_first)
    if isinstance(value, int | float):
        return _epoch(float(value))
    text = str(value).strip()
    if (match := _COMPACT.fullmatch(text)) or (match := _ISO.fullmatch(text)):
        return _number(int(match[1]), int(match[2]), int(match[3]))
    if text.isdigit():
        return _epoch(float(text))
    if match := _NUMERIC.fullmatch(text):
        first, second, year = int(match[1]), int(match[2]), int(match[3])
        if (first > 12) != (second > 12):  # only one reading is possible
            return _number(year, min(first, second), max(first, second))
        return _number(year, second, first) if day_first else _number(year, first, second)
    if match := _DAY_NAME.fullmatch(text):
        return _number(int(match[3]), _month(match[2]), int(match[1]))
    if match := _NAME_DAY.fullmatch(text):
        return _number(int(match[3]), _month(match[1]), int(match[2]))
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        raise ValueError("is not a date") from None
    return _number(moment.year, moment.month, moment.day)


def iso_day(text: str) -> int:
    """An ISO date, `2024-03-05`, as the number yyyymmdd; raises ValueError for anything else."""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        raise ValueError("is not an ISO date such as 2024-03-31")
    try:
        parsed = date.fromisoformat(text)
    except ValueError:
        raise ValueError("is no day of the calendar") from None
    return _number(parsed.year, parsed.month, parsed.day)


def as_date(number: int) -> date:
    """The date of a number yyyymmdd."""
    return date(number // 10_000, number // 100 % 100, number % 100)


def stock(value: object) -> bool | None:
    """True or false from a flag, a quantity, or words such as `In Stock` and `sold out`."""
    if is_nothing(value):
        return None
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value > 0
    # schema.org writes availability as an address.
    text = str(value).strip().lower().removeprefix("https://schema.org/").removeprefix("http://schema.org/")
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    try:
        return float(text) > 0
    except ValueError:
        raise ValueError("is neither yes nor no") from None


def _epoch(number: float) -> int:
    low, high = _EPOCH_SECONDS
    if number == int(number) and 19_000_101 <= number <= 21_001_231:
        return day(str(int(number))) or 0
    if low <= number <= high:
        seconds = number
    elif low * 1000 <= number <= high * 1000:
        seconds = number / 1000
    else:
        raise ValueError("is not a date")
    moment = datetime.fromtimestamp(seconds, tz=UTC)
    return _number(moment.year, moment.month, moment.day)


def _month(name: str) -> int:
    try:
        return _MONTHS[name.lower()]
    except KeyError:
        raise ValueError("is not a date") from None


def _number(year: int, month: int, day_of_month: int) -> int:
    try:
        date(year, month, day_of_month)
    except ValueError:
        raise ValueError("is no day of the calendar") from None
    return year * 10_000 + month * 100 + day_of_month
