"""What a collection must be: the request checked, and which products pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from semantic_service import values
from semantic_service.snapshot import Mask, Snapshot
from semantic_service.vocabulary import Vocabulary
from servicekit import errors

DEFAULT_SIZE = 20
MAX_SIZE = 1_000
MAX_PROMPT = 2_000
MAX_DESCRIPTIONS = 20
MAX_DESCRIPTION = 500
MAX_FACET = 200
MAX_IDS = 10_000

# Who is meant beside those that are asked for: a bracelet for everybody is one for women, too.
_ALSO = {
    "women": {"unisex"},
    "men": {"unisex"},
    "girls": {"unisex", "kids"},
    "boys": {"unisex", "kids"},
    "kids": {"girls", "boys"},
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came; see the proto's FilterRequest."""

    color: str = ""
    category: str = ""
    audience: str = ""
    min_price: float | None = None
    max_price: float | None = None
    start_date: str = ""
    end_date: str = ""
    size: int = 0
    prompt: str = ""
    descriptions: Sequence[str] = ()
    pinned: Sequence[str] = ()
    hidden: Sequence[str] = ()
    in_stock: bool = False
    color_hard: bool = False
    audience_hard: bool = False


@dataclass(frozen=True, slots=True)
class Criteria:
    """A checked request; dates are yyyymmdd, prices rupees, both ends inclusive."""

    colors: frozenset[str]
    categories: frozenset[str]
    audiences: frozenset[str]
    min_price: float | None
    max_price: float | None
    start: int | None
    end: int | None
    size: int
    prompt: str
    descriptions: tuple[str, ...]
    pinned: tuple[str, ...]
    hidden: frozenset[str]
    in_stock: bool
    color_hard: bool
    audience_hard: bool

    @property
    def wishes(self) -> tuple[str, ...]:
        """The wishes in free words: the prompt first, then the descriptions."""
        return ((self.prompt,) if self.prompt else ()) + self.descriptions


def checked(asked: Asked, vocabulary: Vocabulary) -> Criteria:
    """The criteria of a request.

    Raises:
        errors.InvalidArgument: With a sentence for each field that is wrong.
    """
    wrong: dict[str, str] = {}
    for field, price in (("min_price", asked.min_price), ("max_price", asked.max_price)):
        if price is not None and (not math.isfinite(price) or price < 0):
            wrong[field] = "must be a number of rupees, not below 0"
    start, end = _day("start_date", asked.start_date, wrong), _day("end_date", asked.end_date, wrong)
    low, high = asked.min_price, asked.max_price
    if not wrong and low is not None and high is not None and low > high:
        wrong["min_price"] = "is above max_price; exchange the two"
        wrong["max_price"] = "is below min_price; exchange the two"
    if start is not None and end is not None and start > end:
        wrong["start_date"] = "is after end_date; exchange the two"
        wrong["end_date"] = "is before start_date; exchange the two"
    if not 0 <= asked.size <= MAX_SIZE:
        wrong["collection_size"] = f"must be between 1 and {MAX_SIZE}, or 0 for {DEFAULT_SIZE}"
    _lengths(asked, wrong)
    if wrong:
        sentences = "; ".join(f"{field} {sentence}" for field, sentence in wrong.items())
        raise errors.InvalidArgument(sentences, reason="FILTER_INVALID", fields=wrong)
    audiences = vocabulary.asked("audience", asked.audience)
    return Criteria(
        colors=vocabulary.asked("color", asked.color),
        categories=vocabulary.asked("category", asked.category),
        audiences=audiences.union(*(_ALSO.get(name, ()) for name in audiences)),
        min_price=asked.min_price,
        max_price=asked.max_price,
        start=start,
        end=end,
        size=asked.size or DEFAULT_SIZE,
        prompt=asked.prompt.strip(),
        descriptions=tuple(dict.fromkeys(text.strip() for text in asked.descriptions if text.strip())),
        pinned=tuple(dict.fromkeys(asked.pinned)),
        hidden=frozenset(asked.hidden),
        in_stock=asked.in_stock,
        color_hard=asked.color_hard,
        audience_hard=asked.audience_hard,
    )


def _day(field: str, text: str, wrong: dict[str, str]) -> int | None:
    if not text.strip():
        return None
    try:
        return values.iso_day(text.strip())
    except ValueError as error:
        wrong[field] = str(error)
        return None


def _lengths(asked: Asked, wrong: dict[str, str]) -> None:
    for field, text in (
        ("color", asked.color), ("category", asked.category), ("target_audience", asked.audience),
    ):  # fmt: skip
        if len(text) > MAX_FACET:
            wrong[field] = f"must not be longer than {MAX_FACET} characters"
    if len(asked.prompt) > MAX_PROMPT:
        wrong["manual_prompt"] = f"must not be longer than {MAX_PROMPT} characters"
    if len(asked.descriptions) > MAX_DESCRIPTIONS:
        wrong["category_description"] = f"must not have more than {MAX_DESCRIPTIONS} entries"
    elif any(len(text) > MAX_DESCRIPTION for text in asked.descriptions):
        wrong["category_description"] = f"must not have an entry longer than {MAX_DESCRIPTION} characters"
    for field, ids in (("pinned_ids", asked.pinned), ("hidden_ids", asked.hidden)):
        if len(ids) > MAX_IDS:
            wrong[field] = f"must not have more than {MAX_IDS} entries"


def masks(snapshot: Snapshot, criteria: Criteria) -> dict[str, Mask]:
    """Per active filter, which products pass it: bool (n,). What is not known passes no filter."""
    found: dict[str, Mask] = {}
    if criteria.categories:
        found["category"] = snapshot.carrying("category", criteria.categories)
    if criteria.min_price is not None or criteria.max_price is not None:
        found["price"] = within(snapshot.prices, criteria.min_price, criteria.max_price)
    if criteria.start is not None or criteria.end is not None:
        found["date"] = within(snapshot.dates, criteria.start, criteria.end) & (snapshot.dates > 0)
    if criteria.in_stock:
        found["in_stock"] = snapshot.in_stock
    if criteria.color_hard and criteria.colors:
        found["color"] = snapshot.carrying("color", criteria.colors)
    if criteria.audience_hard and criteria.audiences:
        found["audience"] = snapshot.carrying("audience", criteria.audiences)
    if criteria.hidden:
        shown = np.ones(len(snapshot), dtype=np.bool_)
        shown[[snapshot.position[id_] for id_ in criteria.hidden if id_ in snapshot.position]] = False
        found["hidden"] = shown
    return found


def within(column: np.ndarray, low: float | None, high: float | None) -> Mask:
    """Which values lie between the bounds, both inclusive; NaN never does."""
    inside = ~np.isnan(column) if column.dtype.kind == "f" else np.ones(len(column), dtype=np.bool_)
    if low is not None:
        inside = inside & (column >= low)
    if high is not None:
        inside = inside & (column <= high)
    return inside


def passing(snapshot: Snapshot, filters: dict[str, Mask]) -> Mask:
    """Which products pass every filter: bool (n,)."""
    result = np.ones(len(snapshot), dtype=np.bool_)
    for mask in filters.values():
        result &= mask
    return result


def removed_alone(snapshot: Snapshot, filters: dict[str, Mask]) -> dict[str, int]:
    """Per filter, the products that it alone keeps out: without it they would be found."""
    failures = np.zeros(len(snapshot), dtype=np.int32)
    for mask in filters.values():
        failures += ~mask
    return {name: int(((failures == 1) & ~mask).sum()) for name, mask in filters.items()}
