"""Finds stored pictures near a picture, near a stored one, or for a text."""

from __future__ import annotations

from dataclasses import dataclass

from objectstore import ObjectStore
from servicekit import errors
from vision_index_service.candidates import Candidates, norm
from vision_index_service.model import EmbeddingModel, Filter, Match, Neighbour, Row, Vector, VectorStore
from vision_index_service.reading import Reader
from vision_index_service.verdict import Query

DEFAULT_TOP_K = 10
MAX_TOP_K = 1000
_TEXT_OVERFETCH = 4


@dataclass(frozen=True)
class Window:
    """What a search is narrowed to; times in milliseconds since 1970, ``max_distance`` squared L2."""

    website: str = ""
    max_distance: float | None = None
    created_from: int | None = None
    created_before: int | None = None


@dataclass(frozen=True)
class Found:
    """Matches of a search, nearest first."""

    matches: tuple[Match, ...]
    model_id: str

    @property
    def duplicate(self) -> bool:
        """True when the nearest is the same picture."""
        return bool(self.matches) and self.matches[0].verdict.stops_upload


class Search:
    """Only reads."""

    def __init__(self, reader: Reader, vectors: VectorStore, objects: ObjectStore, candidates: Candidates) -> None:
        self._reader, self._vectors, self._objects, self._candidates = reader, vectors, objects, candidates

    async def by_image(self, image: bytes, window: Window, top_k: int = DEFAULT_TOP_K) -> Found:
        """The stored pictures nearest to a picture."""
        count = top_k_of(top_k)
        where = self._where(window)
        picture, vector, model = await self._reader.both(image)
        return await self._search(Query(picture, norm(vector)), vector, model, where, window.max_distance, count)

    async def by_stored(self, address_or_id: str, window: Window, top_k: int = DEFAULT_TOP_K) -> Found:
        """The stored pictures nearest to a stored one, itself first. Raises ``errors.NotFound``."""
        count = top_k_of(top_k)
        where = self._where(window)
        model = await self._reader.model()
        row = await self.resolve(model, address_or_id)
        vector = (await self._vectors.vectors(await self._vectors.space(model), [row.id])).get(row.id)
        if vector is None:
            raise _not_stored()
        return await self._search(Query(row.print, row.norm), vector, model, where, window.max_distance, count)

    async def by_text(self, text: str, window: Window, top_k: int = DEFAULT_TOP_K) -> Found:
        """The stored pictures that fit a text, best cosine first; the picture vectors' norms say nothing here.

        Raises ``errors.Unimplemented`` when the model reads no texts.
        """
        count = top_k_of(top_k)
        where = self._where(window)
        model = await self._reader.model()
        if not model.has_text_tower:
            raise errors.Unimplemented(
                f"the embedding model {model.name} reads no texts; search with a picture, or configure a CLIP model",
                reason="TEXT_SEARCH_UNSUPPORTED",
            )
        vector, model = await self._reader.text_vector(text)
        wide = min(MAX_TOP_K, count * _TEXT_OVERFETCH)
        found = await self._search(Query(None, norm(vector)), vector, model, where, window.max_distance, wide)
        ranked = sorted(found.matches, key=lambda match: -match.cosine)
        return Found(tuple(ranked[:count]), model.id)

    async def resolve(self, model: EmbeddingModel, address_or_id: str, any_model: bool = False) -> Row:
        """The row of an address of ours or of an id; with ``any_model`` also one that only another model has.

        Raises ``errors.NotFound``.
        """
        space = await self._vectors.space(model)
        spaces = [space, *(await self._vectors.other_spaces(space) if any_model else [])]
        ref = self._objects.parse_url(address_or_id)
        for name in spaces:
            if ref is not None:
                found = await self._vectors.find(name, Filter(bucket=ref.bucket, key=ref.key), 1)
                row = found[0] if found else None
            else:
                row = (await self._vectors.get(name, [address_or_id])).get(address_or_id)
            if row is not None:
                return row
        raise _not_stored()

    async def _search(
        self,
        query: Query,
        vector: Vector,
        model: EmbeddingModel,
        where: Filter,
        max_distance: float | None,
        count: int,
    ) -> Found:
        near = await self._vectors.search(await self._vectors.space(model), vector, where, count)
        kept: list[Neighbour] = [n for n in near if max_distance is None or n.distance <= max_distance]
        matches = self._candidates.match_all(query, kept, self._reader.thresholds(model))
        if query.print is not None:
            matches = await self._candidates.without_marked(query.print.sha_bytes, matches)
        return Found(tuple(sorted(matches, key=lambda match: match.distance)), model.id)

    def _where(self, window: Window) -> Filter:
        if window.max_distance is not None and not window.max_distance >= 0:
            raise errors.InvalidArgument(
                "the largest distance must be a number of 0 or more",
                reason="THRESHOLD_INVALID",
                fields={"max_distance": "must be a number of 0 or more"},
            )
        return Filter(
            bucket=self._objects.bucket_for(window.website) if window.website else None,
            created_from=window.created_from,
            created_before=window.created_before,
        )


def top_k_of(asked: int) -> int:
    """How many matches to give; 0 means 10. Raises ``errors.InvalidArgument`` outside of 0 to 1,000."""
    if not 0 <= asked <= MAX_TOP_K:
        raise errors.InvalidArgument(
            f"top_k must be between 1 and {MAX_TOP_K}",
            reason="TOP_K_INVALID",
            fields={"top_k": f"must be between 1 and {MAX_TOP_K}"},
        )
    return asked or DEFAULT_TOP_K


def _not_stored() -> errors.ServiceError:
    return errors.NotFound("no stored picture has this address or id", reason="PICTURE_NOT_FOUND")
