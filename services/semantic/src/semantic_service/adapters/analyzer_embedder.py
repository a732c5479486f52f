"""Vectors from the analyzer's EmbedTexts."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
import numpy as np
from jewelry.analyzer.v1 import analyzer_pb2, analyzer_pb2_grpc

from semantic_service.ports import AdapterInfo, Embedded, Model
from servicekit import client, errors


class AnalyzerEmbedder:
    """Asks the analyzer; checks what it answers, as one bad vector would spoil a collection.

    Args:
        channel: To the analyzer.
        document_seconds: Deadline of a call that embeds products.
        query_seconds: Deadline of a call that embeds wishes.
    """

    def __init__(self, channel: grpc.aio.Channel, *, document_seconds: float, query_seconds: float) -> None:
        self._stub = analyzer_pb2_grpc.AnalyzerServiceStub(channel)
        self._document_seconds = document_seconds
        self._query_seconds = query_seconds
        self._info = AdapterInfo("text_embedding", "analyzer", embedded=False, detail="not asked yet")

    @property
    def info(self) -> AdapterInfo:
        """Who answered last, or why nobody did."""
        return self._info

    async def documents(self, texts: Sequence[str]) -> Embedded:
        """Vectors of texts that will be found; raises errors.ServiceError."""
        return await self._embed(texts, analyzer_pb2.EMBED_TASK_DOCUMENT, self._document_seconds)

    async def queries(self, texts: Sequence[str]) -> Embedded:
        """Vectors of texts to find with; raises errors.ServiceError."""
        return await self._embed(texts, analyzer_pb2.EMBED_TASK_QUERY, self._query_seconds)

    async def _embed(self, texts: Sequence[str], task: analyzer_pb2.EmbedTask.ValueType, seconds: float) -> Embedded:
        request = analyzer_pb2.EmbedTextsRequest(texts=texts, task=task)
        try:
            answer = await client.call(self._stub.EmbedTexts, request, timeout=seconds)
        except errors.ServiceError as error:
            self._info = AdapterInfo(
                "text_embedding", self._info.name, self._info.embedded, self._info.model_id, error.message
            )
            if isinstance(error, errors.DeadlineExceeded | errors.Unimplemented):
                raise errors.Unavailable(
                    f"texts cannot be embedded now: {error.message}", reason="EMBEDDING_UNAVAILABLE", retry_after=1.0
                ) from error
            raise
        vectors = _checked(answer, len(texts))
        told = answer.adapter
        self._info = AdapterInfo(
            role="text_embedding",
            name=told.name or "analyzer",
            embedded=told.embedded,
            model_id=answer.model_id,
            detail=told.detail,
            shutdown_date=told.shutdown_date,
        )
        return Embedded(vectors, Model(answer.model_id, vectors.shape[1]), self._info)


def _checked(answer: analyzer_pb2.EmbedTextsResponse, count: int) -> np.ndarray:
    """float32 (count, dimensions) of unit length.

    Raises:
        errors.Internal: The answer is not what the contract says.
    """
    rows = [np.asarray(embedding.values, dtype=np.float32) for embedding in answer.embeddings]
    sizes = {row.size for row in rows}
    if len(rows) != count or len(sizes) != 1 or 0 in sizes or not answer.model_id:
        raise errors.Internal("the analyzer answered with too few or uneven vectors", reason="EMBEDDING_BROKEN")
    vectors = np.stack(rows)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(vectors).all() or (lengths < 1e-6).any():
        raise errors.Internal("the analyzer answered with a vector of no length", reason="EMBEDDING_BROKEN")
    unit: np.ndarray = vectors / lengths
    return unit
