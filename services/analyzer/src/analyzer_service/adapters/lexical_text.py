"""The embedder of texts where no model is installed: words and parts of words, counted. It knows no meanings."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from analyzer_service.adapters.base import AdapterInfo, Task
from analyzer_service.pricing import Cost

SIZE = 512
MODEL_ID = f"lexical-hash-1@{SIZE}"
# A word says more than its parts; parts bring "earring" and "earrings" together.
_WORD, _PART, _PART_LENGTH = 1.0, 0.4, 3


class LexicalEmbedder:
    """Hashed words and triples of letters, with counts damped by their logarithm (feature hashing, Weinberger 2009)."""

    @property
    def model_id(self) -> str:
        """Vectors of this kind are compared with each other only."""
        return MODEL_ID

    async def load(self) -> None:
        """There is nothing to load."""

    async def embed(self, texts: Sequence[str], task: Task) -> tuple[NDArray[np.float32], Cost]:
        """Unit vectors; documents and queries alike."""
        return await asyncio.to_thread(lambda: np.stack([_vector(text) for text in texts])), Cost()

    async def info(self) -> AdapterInfo:
        """Says that this is a stand-in of a stand-in."""
        detail = "no key and no sentence model: texts are compared by their words, not by their meaning"
        return AdapterInfo("text_embedding", "lexical", True, MODEL_ID, detail)


def _features(text: str) -> Iterator[tuple[str, float]]:
    for word in re.findall(r"\w+", text.casefold()):
        yield word, _WORD
        marked = f"<{word}>"
        for start in range(len(marked) - _PART_LENGTH + 1):
            yield "part " + marked[start : start + _PART_LENGTH], _PART


@lru_cache(maxsize=65_536)
def _place(feature: str) -> tuple[int, float]:
    digest = hashlib.blake2b(feature.encode(), digest_size=5).digest()
    return int.from_bytes(digest[:4], "big") % SIZE, 1.0 if digest[4] % 2 else -1.0


def _vector(text: str) -> NDArray[np.float32]:
    weights = dict(_features(text))
    vector = np.zeros(SIZE, dtype=np.float32)
    for feature, count in Counter(feature for feature, _ in _features(text)).items():
        index, sign = _place(feature)
        vector[index] += sign * weights[feature] * (1 + np.log(count))
    norm = float(np.linalg.norm(vector))
    if norm == 0:
        # Signs only, such as "!!!": a direction of its own.
        vector[_place(text)[0]] = norm = 1.0
    return np.asarray(vector / norm, dtype=np.float32)
