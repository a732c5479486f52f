"""What would pass instead: the nearest allowed value, the number in a text, a text cut to its limit."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache

import marketplaces
from exporter_service.xlsx import cells

# Below this likeness (difflib's ratio, 0 to 1) an option is no suggestion but a guess.
LIKENESS = 0.5
_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


class Options:
    """The allowed values of a column."""

    def __init__(self, values: tuple[str, ...], spellings: Mapping[str, Iterable[str]]) -> None:
        """`spellings` holds other spellings of a value, as some of the marketplace's lists have them."""
        self.values = values
        self._exact = frozenset(values)
        self._folded: dict[str, str] = {}
        for value in values:
            self._folded.setdefault(_folded(value), value)
        self._spellings = {_folded(value): tuple(others) for value, others in spellings.items()}

    def __bool__(self) -> bool:
        """Whether there are any; a column without takes all values."""
        return bool(self.values)

    def __contains__(self, text: str) -> bool:
        return text in self._exact

    def same(self, text: str) -> str | None:
        """The option that the text is, spelled as the marketplace spells it."""
        if text in self._exact:
            return text
        needle = _folded(text)
        found = self._folded.get(needle)
        if found is None:
            others = (self._folded.get(_folded(other)) for other in self._spellings.get(needle, ()))
            found = next((other for other in others if other), None)
        return found

    def nearest(self, text: str) -> str:
        """The option most like a text; "" where none is."""
        return nearest(text, self.values)


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


@lru_cache(maxsize=8192)
def nearest(text: str, options: tuple[str, ...]) -> str:
    """The option most like a text; "" where none is."""
    folded = {option.casefold(): option for option in options}
    needle = text.strip().casefold()
    words = set(_WORD.findall(needle))
    sharing = [f for f in folded if words and (words <= (own := set(_WORD.findall(f))) or (own and own <= words))]
    close = difflib.get_close_matches(needle, sharing or list(folded), 1, 0.0 if sharing else LIKENESS)
    return folded[close[0]] if close else ""


def number_within(text: str, whole: bool) -> str:
    """The one number that stands in a text such as `₹ 1,299.00`; "" where there is none or several."""
    found = _NUMBER.findall(text)
    if len(found) != 1:
        return ""
    number = Decimal(found[0].replace(",", "")).normalize()
    if whole and number != number.to_integral_value():
        return ""
    plain = f"{number:f}"
    return plain if cells.is_number(plain) else ""


def shortened(field: marketplaces.Field, text: str, limit: int) -> str:
    """The text cut to a limit in the field's unit, at a word where there is one near."""
    cut = text[:limit]
    while field.length(cut) > limit:
        cut = cut[:-1]
    head, blank, _ = cut.rpartition(" ")
    return (head if blank and len(head) > limit // 2 else cut).rstrip(" ,;:-")
