"""How well products answer a wish: meaning, words and styles together, then diversity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semantic_service.criteria import Criteria
from semantic_service.ports import Vectors
from semantic_service.snapshot import Mask, Snapshot
from semantic_service.styles import Scores
from semantic_service.vocabulary import Kind, Token, Vocabulary, without

Rows = NDArray[np.intp]
Column = NDArray[np.float32]

# Shares of a score.
_MEANING, _WORDS, _STYLES = 0.3, 0.5, 0.2
# How much the descriptions of the styles that a wish means count beside its own words.
_DESCRIBED = 0.5
# What is left of a score when a product differs in what was wished softly.
_DIFFERS = 0.5
# The same for a category or colour that stands in the free words.
_MENTIONED: dict[Kind, float] = {"category": 0.6, "color": 0.8, "audience": 0.7}
# What is left when a product has what the words say it must not have.
_NEGATED = 0.3
# Balance of maximal marginal relevance (Carbonell and Goldstein 1998): 1 is relevance only.
_RELEVANCE = 0.75
# Products that diversity chooses from: at least these, or twice what is wanted.
_POOL, _POOL_TIMES = 200, 2


@dataclass(frozen=True, slots=True)
class Wish:
    """One wish in free words: its tokens and, where there is a model, its vector."""

    tokens: tuple[Token, ...]
    vector: Vectors | None


@dataclass(frozen=True, slots=True)
class Ranking:
    """Scores of every product of the snapshot, each float32 (n,).

    Attributes:
        score: Everything together, between 0 and 1.
        similarity: Cosine with the wish; zeros where nothing was embedded.
        styles: How much each style is meant by the wishes, float32 (styles,).
    """

    score: Column
    similarity: Column
    styles: Scores


def terms(tokens: Sequence[Token], vocabulary: Vocabulary) -> dict[str, float]:
    """The query terms of a wish with their weights; what it is a kind of counts less."""
    found: dict[str, float] = {}
    for token in tokens:
        if token.negated:
            found[without(token.name)] = 1.0
        else:
            own, *broader = vocabulary.with_broader(token.name)
            found[own] = max(found.get(own, 0.0), 1.0)
            for name in broader:
                found[name] = max(found.get(name, 0.0), 0.4)
    return found


def rank(snapshot: Snapshot, criteria: Criteria, wishes: Sequence[Wish], vocabulary: Vocabulary) -> Ranking:
    """Scores all products by what is wished; without free words the newest come first.

    The prompt is one half of what is wished and the best matching description the other: several
    descriptions are alternatives, of which a product need be only one.
    """
    styles = np.zeros(len(snapshot.book), dtype=np.float32)
    if wishes:
        meant = [_styles(snapshot, wish, vocabulary) for wish in wishes]
        styles = np.stack(meant).max(axis=0)
        scored = [_one(snapshot, wish, own, vocabulary) for wish, own in zip(wishes, meant, strict=True)]
        score, similarity = scored[0]
        if criteria.prompt and len(scored) > 1:
            best, near = _best(scored[1:])
            score, similarity = _column((score + best) / 2), _column((similarity + near) / 2)
        elif len(scored) > 1:
            score, similarity = _best(scored)
    else:
        score, similarity = _newest(snapshot), np.zeros(len(snapshot), dtype=np.float32)
    if not criteria.color_hard:
        score = score * _soft(snapshot, "color", criteria.colors, _DIFFERS)
    if not criteria.audience_hard:
        score = score * _soft(snapshot, "audience", criteria.audiences, _DIFFERS)
    return Ranking(_column(np.clip(score, 0.0, 1.0)), similarity, styles)


def choose(snapshot: Snapshot, rows: Rows, score: Column, size: int, taken: Rows) -> Rows:
    """Chooses up to `size` of `rows`, good ones that differ from one another and from `taken`.

    Returns:
        Rows of the snapshot, best score first.
    """
    if size <= 0:
        return rows[:0]
    most = max(_POOL, _POOL_TIMES * size)
    if len(rows) > most:
        rows = rows[np.argpartition(-score[rows], most)[:most]]
    pool: Rows = rows[np.argsort(-score[rows], kind="stable")]
    if len(pool) <= size:
        return pool
    vectors = snapshot.vectors[pool]
    alike = np.maximum(vectors @ vectors.T, 0.0)
    nearest = np.maximum((vectors @ snapshot.vectors[taken].T).max(axis=1, initial=0.0), 0.0)
    relevant = _RELEVANCE * score[pool]
    chosen: list[int] = []
    for _ in range(size):
        pick = int((relevant - (1 - _RELEVANCE) * nearest).argmax())
        chosen.append(pick)
        relevant[pick] = -np.inf
        np.maximum(nearest, alike[pick], out=nearest)
    best_first: Rows = pool[np.sort(np.array(chosen))]
    return best_first


def shared_style(snapshot: Snapshot, row: int, styles: Scores) -> str:
    """The style that a wish means and a product's own words speak for most; empty for none."""
    common = styles * snapshot.facts[row].evidence
    best = int(common.argmax())
    return snapshot.book.styles[best].name if common[best] > 0 else ""


def _styles(snapshot: Snapshot, wish: Wish, vocabulary: Vocabulary) -> Scores:
    vectors = snapshot.style_vectors if wish.vector is not None else None
    return snapshot.book.wished(terms(wish.tokens, vocabulary), wish.vector, vectors)


def _one(snapshot: Snapshot, wish: Wish, styles: Scores, vocabulary: Vocabulary) -> tuple[Column, Column]:
    query = terms(wish.tokens, vocabulary)
    words = snapshot.words.scores(query)
    similarity = (
        snapshot.vectors @ wish.vector if wish.vector is not None else np.zeros(len(snapshot), dtype=np.float32)
    )
    parts: list[tuple[float, Column]] = [(_WORDS, words)] if words.any() else []
    if wish.vector is not None:
        parts.append((_MEANING, _spread(_meaning(snapshot, wish.vector, similarity, styles))))
    if styles.any():
        parts.append((_STYLES, _affinity(snapshot.style_scores, styles)))
    score = np.zeros(len(snapshot), dtype=np.float32)
    for share, part in parts:
        score = score + part * (share / sum(share for share, _ in parts))
    for kind, left in _MENTIONED.items():
        wanted = frozenset(token.name for token in wish.tokens if token.kind == kind and not token.negated)
        broader = frozenset(name for one in wanted for name in vocabulary.with_broader(one))
        score = score * _soft(snapshot, kind, wanted, left, near=broader)
    for token in wish.tokens:
        if token.negated:
            score = np.where(snapshot.words.having(token.name), score * _NEGATED, score)
    return _column(score), _column(similarity)


def _meaning(snapshot: Snapshot, vector: Vectors, similarity: Column, styles: Scores) -> Column:
    """Similarity with the wish and, in part, with the descriptions of the styles that it means.

    A wish is short, and a style's description says what it leaves out: what brides wear.
    """
    if not styles.any():
        return similarity
    described = styles @ snapshot.style_vectors
    length = float(np.linalg.norm(described))
    if length < 1e-6:
        return similarity
    return _column(similarity + _DESCRIBED * (snapshot.vectors @ (described / length)))


def _best(scored: Sequence[tuple[Column, Column]]) -> tuple[Column, Column]:
    """Per product the best of several wishes; each wish's own best counts the same."""
    scores = np.stack([score for score, _ in scored])
    highest = scores.max(axis=1, initial=0.0, keepdims=True)
    scores = scores * np.divide(scores.max(initial=0.0), highest, out=np.ones_like(highest), where=highest > 0)
    similarities = np.stack([similarity for _, similarity in scored])
    which = scores.argmax(axis=0)
    columns = np.arange(scores.shape[1])
    return scores[which, columns], similarities[which, columns]


def _spread(similarity: Column) -> Column:
    """Cosines stretched so that the catalogue's median is 0 and its best is 1; models differ in range."""
    if not len(similarity):
        return similarity
    low, high = float(np.median(similarity)), float(similarity.max())
    if high - low < 1e-6:
        return np.zeros_like(similarity)
    return _column(np.clip((similarity - low) / (high - low), 0.0, 1.0))


def _affinity(style_scores: Scores, styles: Scores) -> Column:
    affinity: Column = style_scores @ styles
    high = float(affinity.max()) if len(affinity) else 0.0
    return _column(affinity / high) if high > 0 else affinity


def _column(values: NDArray[np.floating[Any]]) -> Column:
    """NumPy widens what is mixed with Python numbers."""
    return values.astype(np.float32, copy=False)


def _newest(snapshot: Snapshot) -> Column:
    """Between 0.6 and 1: the newest in stock at the top, undated ones at the end."""
    count = len(snapshot)
    if not count:
        return np.zeros(0, dtype=np.float32)
    days, rank_of_day = np.unique(snapshot.dates, return_inverse=True)
    recent = rank_of_day / max(len(days) - 1, 1)
    return (0.6 + 0.3 * recent + 0.1 * snapshot.in_stock).astype(np.float32)


def _soft(
    snapshot: Snapshot, kind: Kind, wanted: frozenset[str], differs: float, near: frozenset[str] = frozenset()
) -> Column:
    """Factors: 1 for products that carry what is wanted, `differs` for those that say otherwise.

    Between the two are those that say nothing, and those that carry something near, as a chandbali is
    near to a jhumka.
    """
    if not wanted:
        return np.ones(len(snapshot), dtype=np.float32)
    matching: Mask = snapshot.carrying(kind, wanted)
    between: Mask = ~snapshot.saying(kind) | snapshot.carrying(kind, near)
    return _column(np.select([matching, between], [1.0, differs**0.5], differs))


def words_found(tokens: Sequence[Token], terms_of_product: Mapping[str, float]) -> tuple[str, ...]:
    """Words of a wish, as written, that a product carries."""
    return tuple(
        dict.fromkeys(token.surface for token in tokens if not token.negated and token.name in terms_of_product)
    )
