"""Dates as sellers write them, as text for files and as numbers of days for cells that want dates."""

from __future__ import annotations

import re
from datetime import date, datetime

FIRST, LAST = date(1900, 3, 1), date(2199, 12, 31)
"""Before March 1900 spreadsheets count a day that never was; beyond 2199 a date is a slip."""

_ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?")
# Day before month, as in India.
_NUMERIC = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})")
_WORDS = ("%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%B-%Y", "%b %d, %Y", "%B %d, %Y")
_EPOCH_1900 = date(1899, 12, 30).toordinal()
_EPOCH_1904 = date(1904, 1, 1).toordinal()


def parsed(text: str) -> tuple[date, bool] | None:
    """The date, and whether day and month could be the other way round; None if the text is no date."""
    text = " ".join(text.split())
    numbers: tuple[str, ...] | None = None
    doubtful = False
    if match := _ISO.fullmatch(text):
        numbers = match.groups()
    elif match := _NUMERIC.fullmatch(text):
        day, month, year = match.groups()
        numbers = (year, month, day)
        doubtful = int(day) <= 12 and day != month
    try:
        found = date(*map(int, numbers)) if numbers is not None else _in_words(text)
    except ValueError:
        return None
    return (found, doubtful) if FIRST <= found <= LAST else None


def _in_words(text: str) -> date:
    for form in _WORDS:
        try:
            return datetime.strptime(text, form).date()  # a day, not a moment
        except ValueError:
            continue
    raise ValueError(text)


def serial(iso: str, epoch_1904: bool) -> str | None:
    """Number of days of an ISO date as spreadsheets count them; None if the text is none."""
    try:
        day = date.fromisoformat(iso)
    except ValueError:
        return None
    return str(day.toordinal() - (_EPOCH_1904 if epoch_1904 else _EPOCH_1900))
