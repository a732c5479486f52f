"""The index as a whole: what the servicer talks to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from objectstore import ObjectStore
from vision_index_service.candidates import Candidates
from vision_index_service.curate import Curator
from vision_index_service.inflight import KeyedLocks
from vision_index_service.ingest import Ingest
from vision_index_service.model import Embedder, VectorStore
from vision_index_service.reading import Policy, Reader
from vision_index_service.search import Search


@dataclass(frozen=True)
class Index:
    """Takes pictures in, finds them, looks after them."""

    ingest: Ingest
    search: Search
    curator: Curator
    reader: Reader


def assemble(
    embedder: Embedder,
    vectors: VectorStore,
    objects: ObjectStore,
    policy: Policy,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Index:
    """Puts the parts together; touches nothing outside."""
    reader = Reader(embedder, policy)
    candidates = Candidates(vectors, objects, policy.cross_website)
    locks = KeyedLocks()
    search = Search(reader, vectors, objects, candidates)
    return Index(
        ingest=Ingest(reader, vectors, objects, candidates, locks, clock),
        search=search,
        curator=Curator(reader, vectors, objects, search, locks, clock),
        reader=reader,
    )
