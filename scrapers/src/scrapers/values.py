"""Text of shop pages into values: prices in Indian notation, counts such as "1.2k", ratings, clean text.

Every function is total: whatever it is given, it answers a value or None (or an empty string), and raises nothing.
"""

from __future__ import annotations

import html as html_entities
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

# No jewel on these sites costs more than a hundred crore rupees; a larger number is an id or a phone number.
MAX_PRICE = Decimal(1_000_000_000)
MAX_COUNT = 10_000_000_000
MAX_TEXT = 100_000  # characters of a description that are kept

_CURRENCIES = {"₹": "INR", "rs": "INR", "inr": "INR", "mrp": "INR", "$": "USD", "usd": "USD", "€": "EUR", "eur": "EUR"}
_CURRENCIES |= {"£": "GBP", "gbp": "GBP"}
_MARK = r"(?P<mark>₹|\$|€|£|(?<![a-z])(?:rs|inr|usd|eur|gbp|mrp)(?![a-z]))"
_NUMBER = r"\d[\d,]*(?:\.\d+)?"
_SCALE = r"(?:\s*(?P<scale>k|lakhs?|lacs?|lac|l|crores?|cr|m|mn|million)(?![a-z]))?"
# "₹1,29,999.00", "Rs. 499", "MRP: 1,299"
_MARKED = re.compile(rf"{_MARK}\s*[.:]?\s*(?P<number>{_NUMBER}){_SCALE}", re.I)
# What stands before "-₹200", which is a discount, but not before the end of "₹499-₹799", which is a range.
_MINUS = re.compile(r"(?:^|[^\d.\s])\s*[-−–]\s*$")
# "1,299." is what Amazon puts before its raised paise.
_BARE = re.compile(rf"(?P<number>{_NUMBER}){_SCALE}\.?", re.I)
_RANGE_GAP = re.compile(r"\s*(?:-|–|—|to)\s*", re.I)
_SCALES = {"k": 1_000, "l": 100_000, "lakh": 100_000, "lac": 100_000, "cr": 10_000_000, "crore": 10_000_000}
_SCALES |= {"m": 1_000_000, "mn": 1_000_000, "million": 1_000_000}
# A letter straight after the number is a size or a unit ("925S", "18kt"), not a scale.
_COUNT = re.compile(rf"(?P<number>{_NUMBER}){_SCALE}\+?(?![a-z\d])", re.I)
_COUNT_OF_RATINGS = re.compile(rf"(?P<number>{_NUMBER}){_SCALE}\+?\s*(?:global\s+|verified\s+)?ratings?\b", re.I)
_RATING = re.compile(r"(?<![\d.])(?P<rating>\d(?:[.,]\d+)?)(?![\d,.]*\d)")
# What pages use to steer text direction and breaking, and what no cell of a workbook may hold.
_INVISIBLE = re.compile(
    "[\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff\ufffe\uffff\ud800-\udfff\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)


@dataclass(frozen=True, slots=True)
class Price:
    """One price, or a range of prices.

    `low` is the price; `high` is the upper end where the page names a range, else None. `currency` is an ISO 4217 code,
    empty where the text names none.
    """

    low: Decimal
    high: Decimal | None
    currency: str


def clean(text: object) -> str:
    """The text on one line: entities resolved, invisible characters gone, runs of white space as one space."""
    if not isinstance(text, str):
        whole = isinstance(text, int) and not isinstance(text, bool) and abs(text) < 10**30
        return str(text) if whole or (isinstance(text, float) and math.isfinite(text)) else ""
    # Pages hold entities twice encoded inside JSON; a second pass is harmless on plain text.
    visible = _INVISIBLE.sub("", html_entities.unescape(text[: 2 * MAX_TEXT]))
    return " ".join(visible.split())[:MAX_TEXT]


def amount(value: object) -> Decimal | None:
    """A price that the page's state gives as a number or as digits; None for zero, negative or absurd ones."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float | Decimal):
        finite = value.is_finite() if isinstance(value, Decimal) else isinstance(value, int) or math.isfinite(value)
        if not finite:
            return None
        return _sane(Decimal(str(value)) if -MAX_PRICE <= value <= MAX_PRICE else None)
    found = price(value)
    return found.low if found else None


def price(text: object) -> Price | None:
    """The price in a text: "₹1,23,456.00", "Rs. 499 - Rs. 799", "1,299.", "₹1.2 lakh".

    A number without a currency counts only where the text holds nothing else, so that "5 offers" is no price. Where a
    text repeats the price (once for eyes, once for screen readers) the first one counts; two marked prices joined by a
    dash or "to" are a range.
    """
    if isinstance(text, int | float | Decimal):
        low = amount(text)
        return Price(low, None, "") if low is not None else None
    line = clean(text)[:500]
    every = [match for match in _MARKED.finditer(line) if _decimal(match) is not None]
    marked = [match for match in every if not _MINUS.search(line[: match.start()])]
    if not marked:
        return None if every else _bare_price(line)
    low = _decimal(marked[0])
    assert low is not None
    currency = _CURRENCIES[marked[0]["mark"].lower()]
    end, others = marked[0].end(), marked[1:]
    # The same price again is for screen readers.
    while others and not line[end : others[0].start()].strip() and _decimal(others[0]) == low:
        end, others = others[0].end(), others[1:]
    high = _upper_end(line, end, others)
    if high is not None and high < low:
        low, high = high, low
    return Price(low, high if high != low else None, currency)


def _upper_end(line: str, end: int, others: list[re.Match[str]]) -> Decimal | None:
    gap = _RANGE_GAP.match(line, end)
    if gap is None:
        return None
    if others and others[0].start() == gap.end():
        return _decimal(others[0])
    bare = _BARE.match(line, gap.end())  # "₹299 - 599"
    if bare is None or line[bare.end() : bare.end() + 1].strip(" ,;)|") not in ("", "."):
        return None
    return _decimal(bare)


def _bare_price(line: str) -> Price | None:
    first = _BARE.match(line)
    low = _decimal(first) if first else None
    if first is None or low is None:
        return None
    if first.end() == len(line):
        return Price(low, None, "")
    gap = _RANGE_GAP.match(line, first.end())
    second = _BARE.fullmatch(line, gap.end()) if gap else None
    high = _decimal(second) if second else None
    if high is None:
        return None
    return Price(min(low, high), max(low, high) if low != high else None, "")


def _decimal(match: re.Match[str]) -> Decimal | None:
    return _sane(_scaled(match))


def _scaled(match: re.Match[str]) -> Decimal | None:
    digits = match["number"].replace(",", "")
    if len(digits) > 24:
        return None
    try:
        number = Decimal(digits)
    except InvalidOperation:
        return None
    return number * _scale(match["scale"])


def _scale(word: str | None) -> int:
    return _SCALES[word.lower().removesuffix("s")] if word else 1


def _sane(number: Decimal | None) -> Decimal | None:
    if number is None or not number.is_finite() or not 0 < number <= MAX_PRICE:
        return None
    rounded = number.quantize(Decimal("0.01"))
    if rounded == 0:
        return None
    return rounded.quantize(Decimal(1)) if rounded == rounded.to_integral_value() else rounded


def count(value: object) -> int | None:
    """How many: 1234, "1,234 ratings", "1.2k", "(45)", "12,345 Ratings & 678 Reviews" (the ratings)."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        if isinstance(value, float) and not (math.isfinite(value) and value.is_integer()):
            return None
        return int(value) if 0 <= value <= MAX_COUNT else None
    line = clean(value)[:500]
    match = _COUNT_OF_RATINGS.search(line) or _COUNT.search(line)
    number = _scaled(match) if match else None
    if number is None or number > MAX_COUNT:
        return None
    return int(number) if number == number.to_integral_value() else None


def rating(value: object) -> float | None:
    """Stars from 0 to 5: 4.2, "4.2 out of 5 stars", "4.2★", "4,2". Zero means that nobody has rated yet: None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        stars = float(value) if abs(value) <= 5 else math.nan
    else:
        match = _RATING.search(clean(value)[:200])
        stars = float(match["rating"].replace(",", ".")) if match else math.nan
    return round(stars, 2) if 0.005 <= stars <= 5 else None


def web_address(value: object, base: str = "") -> str:
    """An absolute http(s) address; empty for anything else (data: pictures, javascript:, broken ones)."""
    if not isinstance(value, str):
        return ""
    text = _INVISIBLE.sub("", value).strip()
    if not text or len(text) > 4_000 or any(character.isspace() for character in text):
        return ""
    if text.startswith("//"):
        text = "https:" + text
    try:
        joined = urljoin(base, text)
        parts = urlsplit(joined)
        named = bool(parts.hostname)
    except ValueError:
        return ""
    return joined if parts.scheme in ("http", "https") and named else ""


def seconds_to_wait(header: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for: a number or an HTTP date; None where it says neither."""
    if not header:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - now).total_seconds())
