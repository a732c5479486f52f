"""The index as a whole: what the servicer talks to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from objectstore import ObjectStore
from vision_index_service.background import NO_WISHES, Background, Wishes
from vision_index_service.candidates import Candidates
from vision_index_service.curate import Curator
from vision_index_service.inflight import KeyedLocks
from vision_index_service.ingest import Ingest
from vision_index_service.intake import Intake
from vision_index_service.legacy import LegacyImport
from vision_index_service.model import Embedder, VectorStore
from vision_index_service.reading import Policy, Reader
from vision_index_service.reindex import Gate, Reindex
from vision_index_service.repair import Repair
from vision_index_service.search import Search


@dataclass(frozen=True)
class Index:
    """Takes pictures in, finds them, looks after them."""

    ingest: Ingest
    search: Search
    curator: Curator
    reindex: Reindex
    repair: Repair
    legacy: LegacyImport
    background: Background
    reader: Reader

    async def close(self) -> None:
        """Ends what runs in the background and lets go of threads; the stores belong to who opened them."""
        await self.background.stop()
        await self.reader.close()


def assemble(
    embedder: Embedder,
    vectors: VectorStore,
    objects: ObjectStore,
    policy: Policy,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    *,
    wishes: Wishes = NO_WISHES,
    batch_size: int = 64,
) -> Index:
    """Puts the parts together; touches nothing outside."""
    reader = Reader(embedder, policy)
    candidates = Candidates(vectors, objects, policy.cross_website)
    locks = KeyedLocks()
    search = Search(reader, vectors, objects, candidates)
    intake, gate = Intake(reader, vectors, objects, locks, batch_size), Gate()
    reindex = Reindex(intake, vectors, objects, gate)
    repair = Repair(intake, reader, vectors, objects, locks, gate, clock)
    return Index(
        ingest=Ingest(reader, vectors, objects, candidates, locks, clock),
        search=search,
        curator=Curator(reader, vectors, objects, search, locks, clock),
        reindex=reindex,
        repair=repair,
        legacy=LegacyImport(intake, vectors, objects, gate),
        background=Background(reindex, repair, wishes),
        reader=reader,
    )
