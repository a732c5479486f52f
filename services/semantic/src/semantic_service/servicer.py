"""SemanticService: decode, call the domain, encode."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from google.protobuf import duration_pb2, timestamp_pb2
from jewelry.semantic.v1 import semantic_pb2, semantic_pb2_grpc
from jewelry.type.v1 import type_pb2

from semantic_service.criteria import Asked
from semantic_service.finder import Finder
from semantic_service.ports import AdapterInfo, ProductSource, ProductStore, TextEmbedder
from semantic_service.progress import SyncRun
from semantic_service.styles import StyleBook
from semantic_service.syncing import Catalogue

_HARD = semantic_pb2.STRICTNESS_HARD


class SemanticServicer(semantic_pb2_grpc.SemanticServiceServicer):
    """Serves collections, syncs and their state."""

    def __init__(
        self,
        catalogue: Catalogue,
        finder: Finder,
        book: StyleBook,
        source: ProductSource,
        store: ProductStore,
        embedder: TextEmbedder,
    ) -> None:
        self._catalogue = catalogue
        self._finder = finder
        self._book = book
        self._source = source
        self._store = store
        self._embedder = embedder

    async def Sync(self, request: semantic_pb2.SyncRequest, context: Any) -> AsyncIterator[semantic_pb2.SyncResponse]:
        """Follows a sync; it goes on when the caller leaves."""
        run = await self._catalogue.sync(full=request.full)
        told = 0
        async for _ in run.follow():
            problems, told = run.problems[told:], len(run.problems)
            yield _progress(run, problems)

    async def Filter(self, request: semantic_pb2.FilterRequest, context: Any) -> semantic_pb2.FilterResponse:
        """Finds a collection."""
        answer = await self._finder.find(_asked(request))
        found = answer.found
        return semantic_pb2.FilterResponse(
            matches=[
                semantic_pb2.FilterMatch(
                    id=match.id,
                    score=match.score,
                    similarity=match.similarity,
                    style=match.style,
                    words=match.words,
                    why=match.why,
                    pinned=match.pinned,
                )
                for match in found.matches
            ],
            collection_title=found.title,
            collection_description=found.description,
            counts=[semantic_pb2.FilterCount(filter=name, removed=count) for name, count in found.counts.items()],
            relaxation=found.relaxation,
            adapters=[_adapter(info) for info in answer.adapters],
            stale=answer.stale,
        )

    async def GetStatus(self, request: semantic_pb2.GetStatusRequest, context: Any) -> semantic_pb2.GetStatusResponse:
        """Tells what is held, and why the last sync failed, if it did."""
        snapshot = self._catalogue.snapshot
        last_sync = None
        if snapshot.synced_at is not None:
            last_sync = timestamp_pb2.Timestamp()
            last_sync.FromDatetime(snapshot.synced_at)
        adapters = (self._store.info, self._embedder.info, self._source.info)
        return semantic_pb2.GetStatusResponse(
            products=len(snapshot),
            last_sync=last_sync,
            last_error=self._catalogue.last_error,
            model_id=snapshot.model.id if snapshot.model else "",
            adapters=[_adapter(info) for info in adapters],
        )

    async def ListStyles(
        self, request: semantic_pb2.ListStylesRequest, context: Any
    ) -> semantic_pb2.ListStylesResponse:
        """Lists the styles by name."""
        return semantic_pb2.ListStylesResponse(
            styles=[
                semantic_pb2.Style(name=style.name, description=style.description, cues=style.cues)
                for style in self._book.styles
            ]
        )


def _asked(request: semantic_pb2.FilterRequest) -> Asked:
    return Asked(
        color=request.color,
        category=request.category,
        audience=request.target_audience,
        min_price=request.min_price if request.HasField("min_price") else None,
        max_price=request.max_price if request.HasField("max_price") else None,
        start_date=request.start_date,
        end_date=request.end_date,
        size=request.collection_size,
        prompt=request.manual_prompt,
        descriptions=tuple(request.category_description),
        pinned=tuple(request.pinned_ids),
        hidden=tuple(request.hidden_ids),
        in_stock=request.in_stock,
        color_hard=request.color_strictness == _HARD,
        audience_hard=request.audience_strictness == _HARD,
    )


def _progress(run: SyncRun, problems: list[str]) -> semantic_pb2.SyncResponse:
    seconds = max(time.monotonic() - run.started, 1e-3)
    rate = run.done / seconds
    left = None
    if rate > 0 and run.total:
        left = duration_pb2.Duration()
        left.FromMilliseconds(round(max(0, run.total - run.done - run.failed) / rate * 1000))
    return semantic_pb2.SyncResponse(
        progress=type_pb2.Progress(done=run.done, total=run.total, failed=run.failed, rate=rate, time_left=left),
        added=run.added,
        changed=run.changed,
        removed=run.removed,
        problems=problems,
    )


def _adapter(info: AdapterInfo) -> type_pb2.Adapter:
    return type_pb2.Adapter(
        role=info.role,
        name=info.name,
        embedded=info.embedded,
        model_id=info.model_id,
        detail=info.detail,
        shutdown_date=info.shutdown_date,
    )
