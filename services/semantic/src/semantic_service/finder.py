"""Answers Filter: checks, asks for the vectors of the wishes, ranks, has the collection named."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from semantic_service import criteria, filter
from semantic_service.criteria import Asked
from semantic_service.filter import Found
from semantic_service.naming import COMPOSED, Titles
from semantic_service.ports import AdapterInfo, TextEmbedder, Vectors
from semantic_service.syncing import Catalogue
from semantic_service.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Answer:
    """A collection, who had a part in it, and whether the catalogue behind it is stale."""

    found: Found
    adapters: tuple[AdapterInfo, ...]
    stale: bool


class Finder:
    """Finds collections in the catalogue as it is at the moment.

    Args:
        titles: Has them named; None: the composed texts stand.
    """

    def __init__(
        self, catalogue: Catalogue, embedder: TextEmbedder, vocabulary: Vocabulary, titles: Titles | None = None
    ) -> None:
        self._catalogue = catalogue
        self._embedder = embedder
        self._vocabulary = vocabulary
        self._titles = titles

    async def find(self, asked: Asked) -> Answer:
        """The collection that was asked for.

        Raises:
            errors.InvalidArgument: The request is wrong; its fields say how.
            errors.Unavailable: There is a wish in free words, and nobody who could embed it.
        """
        wanted = criteria.checked(asked, self._vocabulary)
        snapshot, stale = self._catalogue.snapshot, self._catalogue.stale
        passed = await asyncio.to_thread(filter.sift, snapshot, wanted)
        adapters: list[AdapterInfo] = []
        vectors: Vectors | None = None
        if wanted.wishes and passed.any:
            embedded = await self._embedder.queries([self._vocabulary.wish_text(text) for text in wanted.wishes])
            if embedded.model == snapshot.model:
                vectors = embedded.vectors
                adapters.append(embedded.adapter)
            else:
                # Vectors of two models are never compared: words and styles rank until a sync has caught up.
                self._catalogue.request_sync()
                note = "another model than the catalogue's; ranked by words until the next sync has ended"
                adapters.append(replace(embedded.adapter, detail=note))
        found = await asyncio.to_thread(filter.collect, snapshot, wanted, passed, vectors, self._vocabulary)
        namer = COMPOSED
        if self._titles is not None:
            found, namer = await self._titles.named(found, "; ".join(wanted.wishes), snapshot)
        return Answer(found, (*adapters, namer), stale)
