"""Title and description of a collection: the model's where there is one, checked against what the products carry.

A model likes to say what was wished for. What the products do not carry is not printed: then the composed texts stand.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from semantic_service.filter import Found
from semantic_service.ports import AdapterInfo, StoredProduct
from semantic_service.snapshot import Facts, Snapshot
from semantic_service.styles import StyleBook, says
from semantic_service.vocabulary import Vocabulary, stems, without
from servicekit import errors

logger = logging.getLogger(__name__)

ROLE = "collection_title"
COMPOSED = AdapterInfo(ROLE, "composed", embedded=True, detail="put together from the products' own data")

# Products that a model is told of; a title needs no more, and every one is paid for.
_TOLD = 30


@dataclass(frozen=True, slots=True)
class Texts:
    """Title and description as somebody wrote them."""

    title: str
    description: str
    adapter: AdapterInfo


class CollectionNamer(Protocol):
    """Writes title and description over chosen products."""

    async def name(self, wish: str, products: Sequence[StoredProduct]) -> Texts:
        """Title and description; raises errors.ServiceError, with COPY_NEEDS_MODEL where there is no model."""


class Titles:
    """Names collections. The copywriter keeps what was paid for: the same collection costs nothing again."""

    def __init__(self, namer: CollectionNamer, vocabulary: Vocabulary, book: StyleBook) -> None:
        self._namer = namer
        self._vocabulary = vocabulary
        self._book = book

    async def named(self, found: Found, wish: str, snapshot: Snapshot) -> tuple[Found, AdapterInfo]:
        """The collection with the model's texts, or with its composed ones, and who wrote them."""
        if not found.matches:
            return found, COMPOSED
        rows = [snapshot.position[match.id] for match in found.matches]
        products = [snapshot.products[row] for row in rows]
        try:
            texts = await self._namer.name(wish, products[:_TOLD])
        except errors.ServiceError as error:
            if error.reason == "COPY_NEEDS_MODEL":
                return found, COMPOSED
            logger.warning("the collection's title is composed: %s", error.message)
            return found, replace(COMPOSED, detail=f"{COMPOSED.detail}; {error.message}")
        if claim := self._unsupported(texts, products, [snapshot.facts[row] for row in rows]):
            return found, replace(COMPOSED, detail=f"{COMPOSED.detail}; the model's text said {claim}")
        return replace(found, title=texts.title, description=texts.description), texts.adapter

    def _unsupported(self, texts: Texts, products: Sequence[StoredProduct], facts: Sequence[Facts]) -> str:
        """What the texts say and the products do not carry; empty for nothing.

        A title speaks for all of them, a description for at least one.
        """
        for text, least in ((texts.title, len(facts)), (texts.description, 1)):
            for token in self._vocabulary.tokens(text):
                if token.kind is None:
                    continue
                if token.negated:
                    carried = sum(token.name not in own.terms or without(token.name) in own.terms for own in facts)
                    if carried < len(facts):
                        return f"“{without(token.name)}”, which is not so of all"
                elif (carried := sum(token.name in own.terms for own in facts)) < least:
                    whom = "none" if not carried else f"only {carried} of {len(facts)}"
                    return f"“{token.surface}”, which {whom} of the products carry"
            if style := self._foreign_style(text, products):
                return f"“{style}”, a style that no product's own words name"
        return ""

    def _foreign_style(self, text: str, products: Sequence[StoredProduct]) -> str:
        said = f" {' '.join(stems(text))} "
        for style in self._book.styles:
            # One-word names such as Elegance are common words; several words name the style and nothing else.
            named = " " in style.name and f" {' '.join(stems(style.name))} " in said
            if named and not any(says(item.product.embedding_text(), style.name) for item in products):
                return style.name
        return ""
