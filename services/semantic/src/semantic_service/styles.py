"""Jewelry styles as data, and how strongly a text speaks for each of them."""

from __future__ import annotations

import hashlib
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semantic_service.vocabulary import Vocabulary, stems

BUILT_IN = Path(__file__).with_name("data") / "styles.toml"

Scores = NDArray[np.float32]

# How much a cue says: what a thing looks like says more than when it is worn, its name most.
_NAME, _MOTIF, _MATERIAL, _OCCASION = 2.0, 1.2, 1.0, 0.6
# Share of the vectors in a score; cues lie between 0 and 1. A z-score above 2.5 over all styles stands
# out clearly and is, without any cue, the least for which a style is named.
_VECTOR_WEIGHT = 0.12
_CLEAR = 2.5
# The same for a wish without any cue, where a guess does less harm.
_GUESSED = 1.5
# How many styles a wish may mean at once: one of a name, but two dozen are for weddings.
_WISHED = 25
_LEAST_WISHED = 0.15


@dataclass(frozen=True, slots=True)
class Style:
    """A style; each cue is a word or phrase that speaks for it."""

    name: str
    description: str
    materials: tuple[str, ...]
    motifs: tuple[str, ...]
    occasions: tuple[str, ...]

    @property
    def cues(self) -> tuple[str, ...]:
        """All cues: materials, motifs, occasions."""
        return self.materials + self.motifs + self.occasions

    def embedding_text(self) -> str:
        """The text whose vector stands for the style."""
        return f"{self.name}. {self.description} {', '.join(self.cues)}."

    def key(self) -> str:
        """Names the embedded text, for keeping its vector."""
        return hashlib.sha256(self.embedding_text().encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Cue:
    style: int
    size: int
    full_weight: float
    weight: float


def says(text: str, style: str) -> bool:
    """True when a text has the very words of a style's name; what only means the same is no claim."""
    name = stems(style)
    return bool(name) and set(name) <= set(stems(text))


class StyleBook:
    """All styles, with an index of their cues; immutable."""

    def __init__(self, styles: Sequence[Style], vocabulary: Vocabulary) -> None:
        self.styles = tuple(styles)
        self.version = hashlib.sha256("".join(style.key() for style in styles).encode()).hexdigest()[:16]
        self._cues: list[_Cue] = []
        # Token name -> cues that need it.
        self._needing: dict[str, list[int]] = {}
        # Cues that mean the same count once, with the most that any of them says.
        gathered: dict[tuple[int, frozenset[str]], float] = {}
        for index, style in enumerate(styles):
            for weight, texts in (
                (_NAME, (style.name,)),
                (_MATERIAL, style.materials),
                (_MOTIF, style.motifs),
                (_OCCASION, style.occasions),
            ):
                for text in texts:
                    if names := frozenset(token.name for token in vocabulary.tokens(text)):
                        gathered[index, names] = max(gathered.get((index, names), 0.0), weight)
        sharing = Counter(names for _, names in gathered)
        for (index, names), weight in gathered.items():
            cue = _Cue(index, len(names), weight, weight / sharing[names] ** 0.5)
            for name in names:
                self._needing.setdefault(name, []).append(len(self._cues))
            self._cues.append(cue)

    def __len__(self) -> int:
        return len(self.styles)

    def evidence(self, names: Iterable[str], *, of_wish: bool = False) -> Scores:
        """How strongly words speak for each style: float32 of shape (styles,), 0 for no cue, below 1.

        In a product a cue that many styles share says little; a wish with it means all of them.
        """
        found: dict[int, int] = {}
        for name in set(names):
            for cue in self._needing.get(name, ()):
                found[cue] = found.get(cue, 0) + 1
        strength = np.zeros(len(self.styles), dtype=np.float32)
        for number, count in found.items():
            complete = self._cues[number]
            if count == complete.size:
                strength[complete.style] += complete.full_weight if of_wish else complete.weight
        share: Scores = strength / (strength + np.float32(1.0))
        return share

    def scores(self, evidence: Scores, vectors: Scores, style_vectors: Scores) -> Scores:
        """Cues and vectors together.

        Args:
            evidence: float32 (texts, styles), from `evidence`.
            vectors: float32 (texts, dimensions), unit length.
            style_vectors: float32 (styles, dimensions), unit length.

        Returns:
            float32 (texts, styles), not below 0.
        """
        clear = np.maximum(standing_out(vectors, style_vectors), 0.0)
        return (evidence + _VECTOR_WEIGHT * clear).astype(np.float32, copy=False)

    def nearest(self, evidence: Scores, vectors: Scores, style_vectors: Scores) -> list[str]:
        """Name of the nearest style of each text; empty where nothing speaks clearly for one."""
        clear = standing_out(vectors, style_vectors)
        scores = evidence + _VECTOR_WEIGHT * np.maximum(clear, 0.0)
        scores[(evidence <= 0) & (clear < _CLEAR)] = 0.0
        best = scores.argmax(axis=1)
        return [self.styles[index].name if scores[row, index] > 0 else "" for row, index in enumerate(best)]

    def wished(self, names: Iterable[str], vector: Scores | None, style_vectors: Scores | None) -> Scores:
        """Which styles a wish means: float32 (styles,) that sums to 1, or all zeros for none."""
        strength = self.evidence(names, of_wish=True)
        if vector is not None and style_vectors is not None:
            clear = standing_out(vector[None, :], style_vectors)[0]
            # What the words name is meant; a model's guess only orders it, or stands in where they name nothing.
            meant = strength > 0 if strength.any() else clear > _GUESSED
            strength += _VECTOR_WEIGHT * np.where(meant, np.maximum(clear, 0.0), np.float32(0.0))
        few = np.argsort(-strength, kind="stable")[:_WISHED]
        chosen = np.zeros(len(self.styles), dtype=np.float32)
        chosen[few] = np.where(strength[few] >= _LEAST_WISHED, strength[few], 0.0)
        total = np.float32(chosen.sum())
        return (chosen / total).astype(np.float32) if total > 0 else chosen


def standing_out(vectors: Scores, style_vectors: Scores) -> Scores:
    """Cosines as z-scores over the styles, so that models with narrow cosines count the same."""
    cosines: Scores = vectors @ style_vectors.T
    spread = cosines.std(axis=1, keepdims=True)
    centred = cosines - cosines.mean(axis=1, keepdims=True)
    clear: Scores = np.divide(centred, spread, out=np.zeros_like(cosines), where=spread > 1e-6)
    return clear


def load(vocabulary: Vocabulary, path: Path = BUILT_IN) -> StyleBook:
    """The styles of a TOML file, by name; raises ValueError for a broken one."""
    styles = []
    for entry in tomllib.loads(path.read_text(encoding="utf-8"))["style"]:
        style = Style(
            name=entry["name"],
            description=entry["description"],
            materials=tuple(entry["materials"]),
            motifs=tuple(entry["motifs"]),
            occasions=tuple(entry["occasions"]),
        )
        if not all((style.name, style.description, *style.cues)):
            raise ValueError(f"the style {style.name!r} has an empty part")
        styles.append(style)
    styles.sort(key=lambda style: style.name.lower())
    return StyleBook(styles, vocabulary)
