"""Words that mean the same: a text becomes concepts, so that `golden jhumki` finds `gold jhumkas`."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

BUILT_IN = Path(__file__).with_name("data") / "vocabulary.toml"

Kind = Literal["category", "color", "audience", "word"]
_TABLES: dict[str, Kind] = {"categories": "category", "colors": "color", "audiences": "audience", "words": "word"}

# Python's \w leaves out the vowel signs of Devanagari, which are marks, not letters; \u0964 and \u0965
# are its full stops.
_WORD = re.compile(r"(?:[^\W_]|[\u0900-\u0963\u0966-\u097F])+(?:'(?:s|t|re))?")
_NUKTA = str.maketrans({"\u093c": None})


@dataclass(frozen=True, slots=True)
class Token:
    """A concept, or a plain word, found in a text.

    Attributes:
        name: The concept's name, or the word's stem.
        kind: What kind of concept; None for a plain word.
        surface: As written, in lower case.
        negated: True after words such as `without`.
    """

    name: str
    kind: Kind | None
    surface: str
    negated: bool = False


class Vocabulary:
    """Concepts with their terms; immutable after loading."""

    def __init__(self, tables: dict[str, dict[str, dict[str, object]]], lists: dict[str, list[str]]) -> None:
        self._stop = {stem(word) for word in lists["stop_words"]} | set(lists["stop_words"])
        self._negations = frozenset(lists["negations"])
        self._anything = frozenset(stem(word) for word in lists["anything"])
        self._kinds: dict[str, Kind] = {}
        self._broader: dict[str, str] = {}
        # First word of a term -> (all words, concept), longest first.
        self._terms: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        for table, kind in _TABLES.items():
            for concept, entry in tables[table].items():
                self._add(concept, kind, entry)
        for terms in self._terms.values():
            terms.sort(key=lambda term: -len(term[0]))
        for concept, broader in self._broader.items():
            if broader not in self._kinds:
                raise ValueError(f"{concept!r} is a kind of {broader!r}, which is no concept")

    def _add(self, concept: str, kind: Kind, entry: dict[str, object]) -> None:
        if concept in self._kinds:
            raise ValueError(f"the concept {concept!r} stands in two tables")
        self._kinds[concept] = kind
        if broader := entry.get("broader"):
            self._broader[concept] = str(broader)
        terms = entry["terms"]
        if not isinstance(terms, list):
            raise TypeError(f"the terms of {concept!r} are no list")
        # "two-tone" is a name; its words are found as "two tone".
        for term in {stems(str(term)) for term in (concept, *terms)}:
            held = self._terms.setdefault(term[0], [])
            for words, other in held:
                if words == term:
                    raise ValueError(f"{' '.join(term)!r} stands for {other!r} and for {concept!r}")
            held.append((term, concept))

    def tokens(self, text: str) -> list[Token]:
        """Concepts and plain words of a text, in their order; stop words are left out."""
        surfaces = words(text)
        stemmed = [stem(word) for word in surfaces]
        found: list[Token] = []
        position, negated = 0, False
        while position < len(stemmed):
            term, length = self._longest(stemmed, position)
            surface = " ".join(surfaces[position : position + length])
            if term is not None:
                found.append(Token(term, self._kinds[term], surface, negated))
                negated = False
            elif surface in self._negations:
                negated = True
            elif surface not in self._stop and stemmed[position] not in self._stop:
                found.append(Token(stemmed[position], None, surface, negated))
                negated = False
            position += length
        return found

    def names(self, text: str) -> list[str]:
        """Names of the tokens of a text, each followed by what it is a kind of; for indexing.

        What a text says that it is without has a name of its own, `no stone`.
        """
        return [
            name
            for token in self.tokens(text)
            for name in ([without(token.name)] if token.negated else self.with_broader(token.name))
        ]

    def with_broader(self, concept: str) -> list[str]:
        """A concept and what it is a kind of."""
        return [concept, self._broader[concept]] if concept in self._broader else [concept]

    def facets(self, kind: Kind, text: str) -> frozenset[str]:
        """What a text says of one kind, such as its colours, with what they are a kind of.

        A phrase between commas that no concept covers counts as itself, so that a shop's own
        `toe thumb chain` can still be asked for.
        """
        found: set[str] = set()
        for phrase in re.split(r"[,;|/>&]+", text):
            known = [token.name for token in self.tokens(phrase) if token.kind == kind]
            if known:
                found.update(name for concept in known for name in self.with_broader(concept))
            elif own := " ".join(stems(phrase)):
                found.add(own)
        return frozenset(found)

    def asked(self, kind: Kind, text: str) -> frozenset[str]:
        """What is asked for with a category, colour or audience; empty for no wish.

        Unlike `facets` it leaves out what the asked things are a kind of: who asks for jhumkas does
        not ask for every earring.
        """
        found: set[str] = set()
        for phrase in re.split(r"[,;|/>&]+", text):
            known = {token.name for token in self.tokens(phrase) if token.kind == kind}
            if known:
                found |= known
            elif (own := stems(phrase)) and not set(own) <= self._anything:
                found.add(" ".join(own))
        return frozenset(found)

    def mentioned(self, kind: Kind, text: str) -> frozenset[str]:
        """Concepts of one kind in a text, with what they are a kind of; nothing for other words."""
        named = (token.name for token in self.tokens(text) if token.kind == kind and not token.negated)
        return frozenset(name for concept in named for name in self.with_broader(concept))

    def narrowest(self, concepts: frozenset[str]) -> frozenset[str]:
        """Concepts without those that others of them are a kind of."""
        return concepts - {self._broader[concept] for concept in concepts if concept in self._broader}

    def wish_text(self, text: str) -> str:
        """A wish as it is given to a model: without what is not wanted, with what foreign words mean."""
        tokens = self.tokens(text)
        if any(token.negated for token in tokens):
            text = " ".join(token.surface for token in tokens if not token.negated)
        meant = [token.name for token in tokens if not token.negated]
        if any(token.kind is not None and token.name not in words(token.surface) for token in tokens):
            text = f"{text} ({' '.join(dict.fromkeys(meant))})"
        return text

    def _longest(self, stemmed: list[str], position: int) -> tuple[str | None, int]:
        for term, concept in self._terms.get(stemmed[position], ()):
            if tuple(stemmed[position : position + len(term)]) == term:
                return concept, len(term)
        return None, 1


def load(path: Path = BUILT_IN) -> Vocabulary:
    """The vocabulary of a TOML file; raises ValueError where a term stands for two concepts."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    tables = {name: content[name] for name in _TABLES}
    return Vocabulary(tables, {name: content[name] for name in ("stop_words", "negations", "anything")})


def without(name: str) -> str:
    """Under what a text is indexed, and found, that says to be without something."""
    return f"no {name}"


def words(text: str) -> list[str]:
    """The words of a text in lower case, in a Unicode form in which equal looks equal."""
    plain = unicodedata.normalize("NFKD", text.lower().replace("\u2019", "'"))
    # Latin accents and Devanagari's dot below are left out as often as written.
    plain = "".join(char for char in plain if not "\u0300" <= char <= "\u036f").translate(_NUKTA)
    return [word.removesuffix("'s") for word in _WORD.findall(unicodedata.normalize("NFC", plain))]


def stems(text: str) -> tuple[str, ...]:
    """The stems of the words of a text."""
    return tuple(stem(word) for word in words(text))


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """An English word without its plural ending; other words as they are."""
    if len(word) < 4 or not word.isascii() or word.endswith(("ss", "us")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "zes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") else word


def joined(parts: Iterable[str]) -> str:
    """`a, b and c`."""
    listed = list(parts)
    return listed[0] if len(listed) == 1 else ", ".join(listed[:-1]) + " and " + listed[-1] if listed else ""
