"""Ranking by words: BM25 over concepts, with fields weighted (BM25F, Robertson and Zaragoza 2009)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

# The paper's usual saturation; a softer length norm, as long texts here are tags, not padding.
_K1 = 1.2
_B = 0.4


class WordIndex:
    """An immutable index of documents given as weighted terms."""

    def __init__(self, documents: Sequence[Mapping[str, float]]) -> None:
        self._count = len(documents)
        rows: dict[str, list[int]] = {}
        weights: dict[str, list[float]] = {}
        lengths = np.zeros(self._count, dtype=np.float32)
        for row, document in enumerate(documents):
            lengths[row] = sum(document.values())
            for term, weight in document.items():
                rows.setdefault(term, []).append(row)
                weights.setdefault(term, []).append(weight)
        average = max(float(lengths.mean()), 1e-9) if self._count else 1.0
        norm = _K1 * (1 - _B + _B * lengths / average)
        # Term -> rows, and how much each row is about it: between 0 and 1.
        self._postings: dict[str, tuple[NDArray[np.int32], NDArray[np.float32]]] = {}
        for term, found in rows.items():
            index = np.array(found, dtype=np.int32)
            strength = np.array(weights[term], dtype=np.float32)
            self._postings[term] = (index, (strength / (strength + norm[index])).astype(np.float32))

    def idf(self, term: str) -> float:
        """Inverse document frequency, above 0; 0 for a term that no document has."""
        if term not in self._postings:
            return 0.0
        having = len(self._postings[term][0])
        return math.log(1 + (self._count - having + 0.5) / (having + 0.5))

    def scores(self, query: Mapping[str, float]) -> NDArray[np.float32]:
        """Score of every document, float32 (documents,), between 0 and 1.

        It is the share of the query that a document covers, terms weighted by rarity; terms that no
        document has tell products apart in no way and are left out.
        """
        total = np.zeros(self._count, dtype=np.float32)
        most = 0.0
        for term, weight in query.items():
            idf = self.idf(term)
            if idf <= 0:
                continue
            rows, about = self._postings[term]
            total[rows] += weight * idf * about
            most += weight * idf
        return total / most if most > 0 else total

    def having(self, term: str) -> NDArray[np.bool_]:
        """Which documents have a term: bool (documents,)."""
        mask = np.zeros(self._count, dtype=np.bool_)
        if term in self._postings:
            mask[self._postings[term][0]] = True
        return mask
