"""Finds phrases in text whatever their case, accents, hidden characters, blanks and hyphens."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# What belongs to a word: letters and digits, and the combining marks of Latin and of the Indian scripts, which
# Python's \w leaves out.
WORD = r"\w\u0300-\u036f\u0900-\u0dff"
_TOKEN = re.compile(rf"[{WORD}%#&']+")
# A number, letters, or a sign: what phrases begin with.
_ATOM = re.compile(r"\d+|(?:[^\W\d_]|[\u0300-\u036f\u0900-\u0965\u0970-\u0dff])+|[%#&]")
# Typographic apostrophes; compatibility normalising keeps them.
_PLAIN = {"’": "'", "ʼ": "'"}
_GAP = r"[\W_]{1,3}"


@dataclass(frozen=True)
class Folded:
    """Text in its comparable form; `positions[i]` is where its character `i` stood in the original."""

    text: str
    positions: tuple[int, ...]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The original's span for a non-empty span of the folded text."""
        return self.positions[start], self.positions[end - 1] + 1


def fold(text: str) -> Folded:
    """NFKC and case folding; digits of every script become ASCII, accents of Latin letters and what is invisible go."""
    if text.isascii():
        return Folded(text.lower(), tuple(range(len(text))))
    folded: list[str] = []
    positions: list[int] = []
    for index, character in enumerate(text):
        if unicodedata.category(character) == "Cf":
            continue
        plain = _PLAIN.get(character) or unicodedata.normalize("NFKC", character).casefold()
        if character.isdecimal():
            plain = str(unicodedata.decimal(character))
        decomposed = unicodedata.normalize("NFD", plain)
        if decomposed and decomposed[0].isascii():
            plain = "".join(item for item in decomposed if not unicodedata.combining(item))
        if (not plain and folded) or "\u0300" <= character <= "\u036f":
            continue
        folded.append(plain)
        positions.extend([index] * len(plain))
    return Folded("".join(folded), tuple(positions))


def canonical(phrase: str) -> str:
    """The form in which two spellings of a phrase are equal: folded words with one blank between them."""
    return " ".join(_TOKEN.findall(fold(phrase).text))


def words(folded: str) -> Iterator[re.Match[str]]:
    """Words of a folded text."""
    return _TOKEN.finditer(folded)


@dataclass(frozen=True)
class Match:
    """A phrase in a text: its canonical form and its span in the folded text."""

    phrase: str
    start: int
    end: int


class Phrases:
    """A list of phrases, searched in one pass; a longer phrase wins over one inside of it."""

    def __init__(self, phrases: Iterable[str]) -> None:
        self._known = frozenset(filter(None, map(canonical, phrases)))
        # By their first atom, so that each place of a text is compared with few phrases.
        starts: dict[str, list[str]] = {}
        for phrase in sorted(self._known, key=len, reverse=True):
            for atom in _first_atoms(phrase):
                starts.setdefault(atom, []).append(_pattern(phrase))
        self._starts = {atom: re.compile("|".join(patterns)) for atom, patterns in starts.items()}

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._known))

    def find(self, folded: str) -> list[Match]:
        """Every phrase in a folded text, from left to right."""
        found: list[Match] = []
        end = 0
        for atom in _ATOM.finditer(folded):
            pattern = self._starts.get(atom.group())
            hit = pattern.match(folded, atom.start()) if pattern and atom.start() >= end else None
            if hit:
                end = hit.end()
                found.append(Match(self._name(hit.group()), _with_number(folded, hit.start()), end))
        return found

    def _name(self, found: str) -> str:
        name = " ".join(_TOKEN.findall(found))
        forms = (name, name.removesuffix("s"), name.replace(" ", ""))
        return next((form for form in forms if form in self._known), name)


def _first_atoms(phrase: str) -> set[str]:
    hit = _ATOM.match(phrase)
    if hit is None:
        return set()
    return {hit.group(), hit.group() + "s"} if hit.group() == phrase and _has_plural(phrase) else {hit.group()}


def _with_number(folded: str, start: int) -> int:
    """Where a hit really starts: a number before a sign belongs to it, "50% off" is one thing."""
    number = re.search(r"\d{1,4}\s?$", folded[max(0, start - 5) : start]) if folded[start] == "%" else None
    return start - len(number.group()) if number else start


def _has_plural(token: str) -> bool:
    return len(token) > 3 and token.isalpha()


def _pattern(phrase: str) -> str:
    """A regular expression for a canonical phrase. Every repetition in it is bounded."""
    tokens = phrase.split(" ")
    # "14 K" is "14k".
    escaped = [re.sub(r"(?<=\d)(?=[a-z])", r"[\\W_]{0,2}", re.escape(token)) for token in tokens]
    joined = escaped[0]
    for before, token, pattern in zip(tokens, tokens[1:], escaped[1:], strict=False):
        # Next to a sign such as % there may be no gap at all.
        gap = _GAP if before[-1].isalnum() and token[0].isalnum() else r"[\W_]{0,3}"
        joined += gap + pattern
    plural = "s?" if _has_plural(tokens[-1]) else ""
    ahead = rf"(?<![{WORD}])" if tokens[0][0].isalnum() else ""
    behind = rf"(?![{WORD}])" if tokens[-1][-1] not in "%#&'" else ""
    return ahead + joined + plural + behind
