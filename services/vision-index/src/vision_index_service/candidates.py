"""Finds the stored pictures that a picture may be, and judges each pair."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from objectstore import ObjectStore
from vision_index_service import verdict
from vision_index_service.claims import row_id
from vision_index_service.model import (
    Decision,
    EmbeddingModel,
    Filter,
    Mark,
    Match,
    Neighbour,
    Print,
    Row,
    Vector,
    VectorStore,
)
from vision_index_service.verdict import Query, Thresholds

NEAREST = 50
"""Nearest rows whose hashes are compared; a copy of a photo is among them unless 50 others are nearer."""
_SAME_PIXELS = 20


@dataclass(frozen=True)
class Judged:
    """Pairs of one picture with its candidates, in its own bucket and in the others."""

    model: EmbeddingModel
    own: tuple[Match, ...]
    others: tuple[Match, ...]

    def decision(self, top_k: int) -> Decision:
        """The verdict that follows."""
        return verdict.decide(self.own, self.others, self.model, top_k)

    def without(self, row_id: str) -> Judged:
        """The same, had this row not been found."""
        return Judged(
            self.model,
            tuple(match for match in self.own if match.row.id != row_id),
            tuple(match for match in self.others if match.row.id != row_id),
        )


class Candidates:
    """Looks rows up by content and by distance."""

    def __init__(self, vectors: VectorStore, objects: ObjectStore, cross_website: str) -> None:
        """``cross_website``: ``report``, ``return`` or ``ignore`` the same picture in other buckets."""
        self._vectors, self._objects, self._policy = vectors, objects, cross_website

    async def judged(
        self, bucket: str, picture: Print, vector: Vector, model: EmbeddingModel, thresholds: Thresholds, top_k: int
    ) -> Judged:
        """Every candidate with its verdict; pairs that a person told apart are never the same picture."""
        space = await self._vectors.space(model)
        limit = max(NEAREST, top_k)
        look_around = self._policy != "ignore" and len(self._objects.websites) > 1
        near, around, same = await asyncio.gather(
            self._vectors.search(space, vector, Filter(bucket=bucket), limit),
            self._vectors.search(space, vector, Filter(not_bucket=bucket), limit) if look_around else _nothing(),
            self._same_content(space, picture),
        )
        neighbours = {neighbour.row.id: neighbour for neighbour in (*near, *around)}
        for row in same:
            if row.id not in neighbours and (row.bucket == bucket or look_around):
                neighbours[row.id] = await self._measured(space, row, vector)
        matches = await self.without_marked(
            picture.sha_bytes, self.match_all(Query(picture, norm(vector)), neighbours.values(), thresholds)
        )
        if self._policy == "return":
            return Judged(model, tuple(matches), ())
        own = tuple(match for match in matches if match.row.bucket == bucket)
        return Judged(model, own, tuple(match for match in matches if match.row.bucket != bucket))

    def match_all(self, query: Query, neighbours: Iterable[Neighbour], thresholds: Thresholds) -> list[Match]:
        """Judges every pair. The address given out is that of the key today, wherever the store has moved."""
        return [
            verdict.judge(query, near, self._objects.url(near.row.bucket, near.row.key), thresholds)
            for near in neighbours
        ]

    async def without_marked(self, sha_bytes: str, matches: list[Match]) -> list[Match]:
        """The matches with the pairs that a person told apart made ``similar``."""
        doubtful = {
            Mark.of(sha_bytes, match.row.print.sha_bytes)
            for match in matches
            if match.verdict.stops_upload and match.row.print.sha_bytes != sha_bytes
        }
        marks = await self._vectors.marked(doubtful) if doubtful else set()
        return verdict.apart(matches, sha_bytes, marks) if marks else matches

    async def _same_content(self, space: str, picture: Print) -> list[Row]:
        ids = [row_id(bucket, picture.sha_bytes) for bucket in self._objects.websites.values()]
        by_bytes, by_pixels = await asyncio.gather(
            self._vectors.get(space, ids),
            self._vectors.find(space, Filter(sha_pixels=picture.sha_pixels), _SAME_PIXELS),
        )
        return [*by_bytes.values(), *by_pixels]

    async def _measured(self, space: str, row: Row, vector: Vector) -> Neighbour:
        """A row that was found by content with its distance, which the search did not tell."""
        stored = (await self._vectors.vectors(space, [row.id])).get(row.id)
        distance = 0.0 if stored is None else float(np.sum((stored - vector) ** 2, dtype=np.float64))
        return Neighbour(row, distance)


def norm(vector: Vector) -> float:
    """L2 norm."""
    return float(np.linalg.norm(vector))


async def _nothing() -> list[Neighbour]:
    return []
