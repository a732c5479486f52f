"""gRPC in, domain, gRPC out."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
from jewelry.embedding.v1 import embedding_pb2 as pb
from jewelry.embedding.v1 import embedding_pb2_grpc

from embedding_service.embedder import Embedder, StreamItem
from embedding_service.queues import Lane, Outcome
from servicekit import deadlines, errors

# The unary RPCs that wait in the queue.
_QUEUED = ("/EmbedImages", "/EmbedText")

Context = grpc.aio.ServicerContext[Any, Any]


class EmbeddingServicer(embedding_pb2_grpc.EmbeddingServiceServicer):
    """The EmbeddingService of the contract."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def admit(self, method: str) -> None:
        """Refuses a call before its pictures are read, where they would be refused whatever they are."""
        if method.endswith(_QUEUED):
            self._embedder.glance(_deadline())

    async def EmbedImages(  # named by the contract
        self, request: pb.EmbedImagesRequest, context: Context
    ) -> pb.EmbedImagesResponse:
        """A batch of pictures."""
        outcomes = await self._embedder.images(request.images, _lane(request.lane, Lane.INTERACTIVE), _deadline())
        return pb.EmbedImagesResponse(results=map(_result, outcomes), model_id=self._embedder.card.id)

    async def EmbedImagesStream(  # named by the contract
        self, request_iterator: AsyncIterator[pb.EmbedImagesStreamRequest], context: Context
    ) -> AsyncIterator[pb.EmbedImagesStreamResponse]:
        """Any number of pictures, answered in order."""
        model_id = self._embedder.card.id
        async for key, outcome in self._embedder.stream(_items(request_iterator), _deadline()):
            yield pb.EmbedImagesStreamResponse(key=key, result=_result(outcome), model_id=model_id)

    async def EmbedText(  # named by the contract
        self, request: pb.EmbedTextRequest, context: Context
    ) -> pb.EmbedTextResponse:
        """A batch of texts."""
        outcomes = await self._embedder.texts(request.texts, _lane(request.lane, Lane.INTERACTIVE), _deadline())
        return pb.EmbedTextResponse(results=map(_result, outcomes), model_id=self._embedder.card.id)

    async def GetModel(  # named by the contract
        self, request: pb.GetModelRequest, context: Context
    ) -> pb.GetModelResponse:
        """Which model answers."""
        card = self._embedder.card
        return pb.GetModelResponse(
            model=pb.Model(
                id=card.id,
                name=card.name,
                revision=card.revision,
                weights_sha256=card.weights_sha256,
                preprocessing_sha256=card.preprocessing_sha256,
                dtype=card.dtype,
                engine=card.engine,
                device=card.device,
                dimension=card.dimension,
                has_text_tower=card.has_text_tower,
                duplicate_distance=card.duplicate_distance,
                similar_distance=card.similar_distance,
                detail=card.detail,
            )
        )


async def _items(requests: AsyncIterator[pb.EmbedImagesStreamRequest]) -> AsyncIterator[StreamItem]:
    async for request in requests:
        yield StreamItem(request.key, request.image, _lane(request.lane, Lane.BULK))


_LANES = {pb.LANE_INTERACTIVE: Lane.INTERACTIVE, pb.LANE_BULK: Lane.BULK}


def _lane(value: int, default: Lane) -> Lane:
    if value == pb.LANE_UNSPECIFIED:
        return default
    try:
        return _LANES[value]  # type: ignore[index]  # an open enum: any number may arrive
    except KeyError:
        raise errors.InvalidArgument(f"lane {value} is not known; use interactive or bulk") from None


def _deadline() -> float | None:
    left = deadlines.remaining()
    return None if left is None else time.monotonic() + left


def _result(outcome: Outcome) -> pb.EmbeddingResult:
    result = pb.EmbeddingResult()
    if isinstance(outcome, errors.ServiceError):
        result.error.reason = outcome.reason
        result.error.message = outcome.message
    else:
        result.embedding.values.extend(outcome.tolist())
    return result
