"""Values as bills print them: Indian amounts, dates, GSTINs, amounts in words."""

from __future__ import annotations

import re
from datetime import date

_AMOUNT = re.compile(r"^[^\d\-(]{0,4}(\(?-?)\s*(\d[\d,]*(?:\.\d+)?|\.\d+)\)?\s*(/-|/=|%)?\s*([A-Za-z.]{0,8})$")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DATE = re.compile(r"(?<!\d)(\d{1,2})\s*[-/. ]\s*([A-Za-z0][A-Za-z]{2,8}|\d{1,2})\s*[-/., ]\s*(\d{4}|\d{2})(?!\d)")
_GSTIN = re.compile(r"[0-9A-Z]{2}[0-9A-Z]{5}[0-9A-Z]{4}[0-9A-Z][0-9A-Z][Z27][0-9A-Z]")
_BASE36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TO_DIGIT = str.maketrans("OQDILSBZG", "000115826")
_TO_LETTER = str.maketrans("015826", "OISBZG")
# What readers take for one another at the two places of a GSTIN that hold either kind.
_LOOKALIKES = {"0": "OQD", "O": "0Q", "1": "IL", "I": "1", "5": "S", "S": "5", "8": "B", "B": "8", "2": "Z", "Z": "2"}
_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_WORDS = {
    **{word: value for value, word in enumerate(_ONES)},
    **{word: 20 + 10 * place for place, word in enumerate(_TENS)},
    "fourty": 40,
    "hundred": 100,
    "thousand": 1000,
    "lakh": 100_000,
    "lakhs": 100_000,
    "lac": 100_000,
    "lacs": 100_000,
    "crore": 10_000_000,
    "crores": 10_000_000,
    "and": -1,
}


def number(text: str) -> float | None:
    """The number of a cell such as `1,24,980.00`, `54/-`, `1.5%`, `60 PCS`; None where the cell is no number."""
    found = _AMOUNT.match(text.strip().replace("−", "-"))
    if not found or (found.group(3) == "%" and found.group(4)):
        return None
    value = float(found.group(2).replace(",", ""))
    return -value if found.group(1) else value


def iso_date(text: str) -> str | None:
    """The first date in a text as ISO, day before month as in India; None where there is none."""
    for day, month, year in _DATE.findall(text):
        word = month.lower().replace("0", "o")
        number_of_month = _MONTHS.index(word[:3]) + 1 if word[:3] in _MONTHS else 0
        if month.isdigit():
            number_of_month = int(month)
        try:
            return date(int(year) + (2000 if len(year) == 2 else 0), number_of_month, int(day)).isoformat()
        except ValueError:
            continue
    return None


def gstin_check_character(body: str) -> str:
    """The 15th character of a GSTIN from its first 14 (Luhn's method with base 36, weights 1 and 2)."""
    total = 0
    for place, character in enumerate(body[:14]):
        value = _BASE36.index(character) * (1 + place % 2)
        total += value // 36 + value % 36
    return _BASE36[(36 - total % 36) % 36]


def gstin_valid(text: str) -> bool:
    """Whether the check character holds."""
    return len(text) == 15 and text.isalnum() and text[14] == gstin_check_character(text)


def gstins(text: str) -> list[str]:
    """GSTINs in a text. The format settles digits and letters; where it leaves both, the check character may.

    A reading that the check character refuses is given back as it was read.
    """
    compact = re.sub(r"[^0-9A-Z]", "", text.upper())
    compact = compact.rpartition("GSTIN")[2] if "GSTIN" in compact else compact
    return [_settled(found.group()) for found in _GSTIN.finditer(compact) if _plausible(found.group())]


def _plausible(text: str) -> bool:
    return text[2:7].translate(_TO_LETTER).isalpha() and text[7:11].translate(_TO_DIGIT).isdigit()


def _settled(text: str) -> str:
    fixed = (
        text[:2].translate(_TO_DIGIT)
        + text[2:7].translate(_TO_LETTER)
        + text[7:11].translate(_TO_DIGIT)
        + text[11].translate(_TO_LETTER)
        + text[12]
        + "Z"
        + text[14]
    )
    for entity in (fixed[12], *_LOOKALIKES.get(fixed[12], "")):
        for last in (fixed[14], *_LOOKALIKES.get(fixed[14], "")):
            candidate = f"{fixed[:12]}{entity}Z{last}"
            if gstin_valid(candidate):
                return candidate
    return fixed


def from_words(text: str) -> int | None:
    """The whole rupees of an amount in words, such as `Rupees one lakh two hundred only`; None where it cannot be read.

    Spaces do not matter: readers often lose them.
    """
    letters = re.sub(r"[^a-z]", "", text.lower())
    letters = re.sub(r"^.*?(?:rupees|rs|inr)", "", letters)
    letters = re.sub(r"(?:rupees)?(?:only)?$", "", letters)
    if not letters:
        return None
    words = _segmented(letters)
    if words is None:
        return None
    total = group = 0
    for word in words:
        value = _WORDS[word]
        if value >= 1000:
            total += max(group, 1) * value
            group = 0
        elif value == 100:
            group = max(group, 1) * 100
        elif value >= 0:
            group += value
    return total + group


def _segmented(letters: str) -> list[str] | None:
    best: list[list[str] | None] = [[], *[None] * len(letters)]
    for end in range(1, len(letters) + 1):
        for word in _WORDS:
            before = best[end - len(word)] if end >= len(word) and letters[:end].endswith(word) else None
            if before is not None:
                best[end] = [*before, word]
                break
    return best[-1]
