"""Near-identical titles: how alike two titles are, and how those that may be are found among many.

Two titles are compared as sets of words (Jaccard: shared words over all words). A title that is alike by t to one of n
words has at least t n of them, so it has at least one of any n - t n + 1 of them: looking up the rarest so many finds
every alike title and few others (prefix filtering: Chaudhuri, Ganti and Kaushik 2006).
"""

from __future__ import annotations

import math
from functools import lru_cache

from copywriter_service.matching import fold, words
from copywriter_service.rulebook import book

# Longest word that is told apart, in characters, and most words of a title: no title that a marketplace takes has more.
MAX_WORD, MAX_WORDS = 64, 100


def words_of(title: str) -> frozenset[str]:
    """The words that tell titles apart: folded, without plurals and without the small words of English."""
    found = (hit.group().strip("'") for hit in words(fold(title).text))
    told = {_stem(word)[:MAX_WORD] for word in found if word and word not in _small()}
    return frozenset(sorted(told)[:MAX_WORDS])


def probes(count: int) -> int:
    """How many of a title's `count` words have to be looked up; 0 for a title without words."""
    # What a multiplication of floats adds must not make a probe too few.
    return count - math.ceil(least_likeness() * count - 1e-9) + 1 if count else 0


def likeness(one: str, other: str) -> float:
    """Between 0 and 1, which is for titles of the same words in any order."""
    first, second = words_of(one), words_of(other)
    return len(first & second) / len(first | second) if first and second else 0.0


def least_likeness() -> float:
    """From this likeness two titles are near-identical; from `data/rules.toml`."""
    value: float = book()["titles"]["near_identical"]
    return value


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


@lru_cache(maxsize=1)
def _small() -> frozenset[str]:
    return frozenset(book()["stop_words"]["en"])
