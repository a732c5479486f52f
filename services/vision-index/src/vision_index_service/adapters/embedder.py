"""The embedding service, over gRPC."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
from jewelry.embedding.v1 import embedding_pb2, embedding_pb2_grpc

from servicekit import ServiceSettings, client, errors
from vision_index_service.model import EmbeddingModel, Vector

logger = logging.getLogger(__name__)
_MODEL_TIMEOUT_S = 5.0
_REPEATABLE = {"STOPPING", "DEVICE_FAILED", "QUEUED_TOO_LONG"}  # say nothing about the picture
_BULK_IMAGE_S = 1.0  # a slow CPU embeds four a second, and people's pictures go first


class GrpcEmbedder:
    """Asks the embedding service; remembers the model until an answer names another one."""

    def __init__(self, target: str, settings: ServiceSettings, timeout: float) -> None:
        """``timeout`` in seconds is for one picture. Connects on the first call."""
        descriptor = embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"]
        self._channel = client.connect(target, [descriptor], settings)
        self._stub = embedding_pb2_grpc.EmbeddingServiceStub(self._channel)
        self._timeout = timeout
        self._model: EmbeddingModel | None = None

    async def model(self) -> EmbeddingModel:
        """See ``Embedder.model``."""
        return self._model or await self._ask()

    async def embed_image(self, image: bytes) -> tuple[Vector, EmbeddingModel]:
        """See ``Embedder.embed_image``."""
        request = embedding_pb2.EmbedImagesRequest(images=[image], lane=embedding_pb2.LANE_INTERACTIVE)
        answer = await client.call(self._stub.EmbedImages, request, timeout=self._timeout)
        return _vector(list(answer.results)), await self._named(answer.model_id)

    async def embed_bulk(self, images: Sequence[bytes]) -> tuple[list[Vector | errors.ServiceError], EmbeddingModel]:
        """See ``Embedder.embed_bulk``."""

        async def pictures() -> AsyncIterator[embedding_pb2.EmbedImagesStreamRequest]:
            for number, image in enumerate(images):
                yield embedding_pb2.EmbedImagesStreamRequest(image=image, key=str(number), lane=embedding_pb2.LANE_BULK)

        given: list[Vector | errors.ServiceError] = []
        model_ids = set()
        timeout = self._timeout + len(images) * _BULK_IMAGE_S
        requests: AsyncIterator[Any] = pictures()
        async for answer in client.stream(self._stub.EmbedImagesStream, requests, timeout=timeout):
            given.append(_outcome(answer.result))
            model_ids.add(answer.model_id)
        if len(given) != len(images):
            raise errors.Unavailable("the embedding service left in the middle of a batch", reason="EMBEDDING_CUT_OFF")
        if len(model_ids) != 1:
            raise _changing()
        return given, await self._named(model_ids.pop())

    async def embed_text(self, text: str) -> tuple[Vector, EmbeddingModel]:
        """See ``Embedder.embed_text``."""
        request = embedding_pb2.EmbedTextRequest(texts=[text], lane=embedding_pb2.LANE_INTERACTIVE)
        answer = await client.call(self._stub.EmbedText, request, timeout=self._timeout)
        return _vector(list(answer.results)), await self._named(answer.model_id)

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close()

    async def _named(self, model_id: str) -> EmbeddingModel:
        """The model that an answer names."""
        if self._model is None or self._model.id != model_id:
            await self._ask()
        if self._model is None or self._model.id != model_id:  # replicas of the service disagree
            raise _changing()
        return self._model

    async def _ask(self) -> EmbeddingModel:
        answer = await client.call(
            self._stub.GetModel, embedding_pb2.GetModelRequest(), timeout=min(_MODEL_TIMEOUT_S, self._timeout)
        )
        model = answer.model
        known = EmbeddingModel(
            id=model.id,
            name=model.name,
            dimension=model.dimension,
            duplicate_distance=model.duplicate_distance,
            similar_distance=model.similar_distance,
            has_text_tower=model.has_text_tower,
            detail=model.detail,
        )
        if self._model is not None and self._model.id != known.id:
            logger.warning("the embedding model changed from %s to %s", self._model.id, known.id)
        self._model = known
        return known


def _changing() -> errors.ServiceError:
    return errors.Unavailable(
        "the embedding model is being changed; try again shortly", reason="MODEL_CHANGING", retry_after=2.0
    )


def _vector(results: list[embedding_pb2.EmbeddingResult]) -> Vector:
    if len(results) != 1:
        raise errors.Internal(f"the embedding service gave {len(results)} results for one input")
    outcome = _outcome(results[0])
    if isinstance(outcome, errors.ServiceError):
        raise outcome
    return outcome


def _outcome(result: embedding_pb2.EmbeddingResult) -> Vector | errors.ServiceError:
    if result.WhichOneof("result") == "error":
        reason = result.error.reason
        if reason.startswith(("IMAGE_", "TEXT_")):
            return errors.InvalidArgument(result.error.message, reason=reason)
        kind = errors.Unavailable if reason in _REPEATABLE else errors.Internal
        return kind(result.error.message, reason=reason or None)
    return np.array(result.embedding.values, dtype=np.float32)
