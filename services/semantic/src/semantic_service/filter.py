"""A collection: within the filters, ranked by the wishes, named by what was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from semantic_service import composing, criteria, ranking, relaxation
from semantic_service.composing import Chosen
from semantic_service.criteria import Criteria
from semantic_service.ports import Vectors
from semantic_service.ranking import Wish
from semantic_service.snapshot import Mask, Snapshot
from semantic_service.styles import says
from semantic_service.vocabulary import Token, Vocabulary


@dataclass(frozen=True, slots=True)
class Match:
    """A chosen product; see the proto's FilterMatch."""

    id: str
    score: float
    similarity: float
    style: str
    words: tuple[str, ...]
    why: str
    pinned: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A collection; see the proto's FilterResponse."""

    matches: tuple[Match, ...]
    title: str
    description: str
    counts: dict[str, int]
    relaxation: str


@dataclass(frozen=True, slots=True)
class Passing:
    """What passes the hard filters, before anything is ranked."""

    filters: dict[str, Mask]
    mask: Mask

    @property
    def any(self) -> bool:
        """True when something passes."""
        return bool(self.mask.any())


def sift(snapshot: Snapshot, wanted: Criteria) -> Passing:
    """Applies the hard filters."""
    filters = criteria.masks(snapshot, wanted)
    return Passing(filters, criteria.passing(snapshot, filters))


def collect(
    snapshot: Snapshot, wanted: Criteria, passed: Passing, vectors: Vectors | None, vocabulary: Vocabulary
) -> Found:
    """Ranks what passed and names it.

    Args:
        snapshot: The catalogue.
        wanted: What was asked for.
        passed: What `sift` found in the same snapshot.
        vectors: One row per wish of `wanted.wishes`, float32 (wishes, dimensions); None where nothing
            could be compared by meaning.
        vocabulary: The same that the snapshot was built with.
    """
    counts = criteria.removed_alone(snapshot, passed.filters)
    if not passed.any:
        return Found((), "", "", counts, relaxation.nearest(snapshot, wanted, passed.filters))
    wishes = [
        Wish(tuple(vocabulary.tokens(text)), None if vectors is None else vectors[number])
        for number, text in enumerate(wanted.wishes)
    ]
    ranked = ranking.rank(snapshot, wanted, wishes, vocabulary)
    pinned = np.array(
        [row for id_ in wanted.pinned if (row := snapshot.position.get(id_)) is not None and passed.mask[row]],
        dtype=np.intp,
    )[: wanted.size]
    free = passed.mask.copy()
    free[pinned] = False
    others = ranking.choose(snapshot, np.flatnonzero(free), ranked.score, wanted.size - len(pinned), pinned)
    tokens = [token for wish in wishes for token in wish.tokens]
    told = [_told(snapshot, int(row), tokens, vocabulary) for row in (*pinned, *others)]
    compared = ranked.similarity if vectors is not None and wishes else None
    matches = []
    for place, row in enumerate((*pinned, *others)):
        words = ranking.words_found(tokens, snapshot.facts[row].terms)
        similarity = None if compared is None else float(compared[row])
        style = snapshot.products[row].style
        is_pinned = place < len(pinned)
        reason = composing.why(
            wanted,
            told[place],
            style=style,
            shared_style=ranking.shared_style(snapshot, int(row), ranked.styles),
            words=words,
            similarity=similarity,
            pinned=is_pinned,
        )
        matches.append(
            Match(
                id=snapshot.products[row].product.id,
                score=float(ranked.score[row]),
                similarity=similarity or 0.0,
                style=style,
                words=words,
                why=reason,
                pinned=is_pinned,
            )
        )
    return Found(tuple(matches), composing.title(told), composing.description(told), counts, "")


def _told(snapshot: Snapshot, row: int, tokens: Sequence[Token], vocabulary: Vocabulary) -> Chosen:
    stored, facts = snapshot.products[row], snapshot.facts[row]
    wished = (token.name for token in tokens if token.kind == "word" and not token.negated)
    return Chosen(
        price=stored.product.price,
        categories=facts.facets["category"],
        kind=min(vocabulary.narrowest(facts.facets["category"]), default=""),
        colors=facts.facets["color"],
        audiences=facts.facets["audience"],
        style=stored.style if says(stored.product.embedding_text(), stored.style) else "",
        wished=tuple(dict.fromkeys(name for name in wished if name in facts.terms)),
    )
