"""Addresses and contents of cells in SpreadsheetML (ECMA-376 part 1, 18.3.1.4 and 22.9.2.19)."""

from __future__ import annotations

import re
from functools import lru_cache
from xml.sax.saxutils import escape

MAX_TEXT = 32_767
"""Longest text of a cell, in UTF-16 code units (Excel specifications and limits)."""
MAX_ROWS = 1_048_576
MAX_COLUMNS = 16_384

# XML 1.0 knows only these characters; Excel shows a line break as LF.
_ILLEGAL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_UNCLEAN = re.compile(_ILLEGAL.pattern[:-1] + r"\r]")
# `_x000D_` in a text means the character U+000D; a literal one has its underscore written that way.
_ESCAPED = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")
# What a double holds exactly, written as people write numbers: 15 significant digits, no leading zero.
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?")
_SIGNIFICANT = 15


@lru_cache(maxsize=2048)
def letters(column: int) -> str:
    """Letters of a column counted from 1: 1 is A, 28 is AB."""
    text = ""
    while column:
        column, rest = divmod(column - 1, 26)
        text = chr(65 + rest) + text
    return text


def column_number(address: str) -> int:
    """Number, from 1, of the column of an address such as `AB12`."""
    number = 0
    for char in address:
        if not char.isalpha():
            break
        number = number * 26 + ord(char.upper()) - 64
    return number


def clean(text: str) -> str:
    """The text without what XML cannot carry, its line breaks as LF."""
    if not _UNCLEAN.search(text):
        return text
    return _ILLEGAL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def text_units(text: str) -> int:
    """Length in UTF-16 code units, as Excel counts."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def is_number(text: str) -> bool:
    """Whether the text can be written as a number and read back as the same."""
    return bool(_NUMBER.fullmatch(text)) and sum(char.isdigit() for char in text) <= _SIGNIFICANT


def number_content(text: str) -> str:
    """What follows the address in the element of a number cell; `text` must satisfy `is_number`."""
    return f"><v>{text}</v></c>"


def text_content(text: str) -> str:
    """What follows the address in the element of a text cell; `text` must be `clean`.

    An inline string: nothing that it holds can become a formula, and no shared part of the file changes.
    """
    safe = escape(_ESCAPED.sub("_x005F_", text) if "_x" in text else text)
    keep = ' xml:space="preserve"' if text != text.strip() or "\n" in text or "  " in text else ""
    return f' t="inlineStr"><is><t{keep}>{safe}</t></is></c>'
