"""The embedding service, over gRPC."""

from __future__ import annotations

import logging

import numpy as np
from jewelry.embedding.v1 import embedding_pb2, embedding_pb2_grpc

from servicekit import ServiceSettings, client, errors
from vision_index_service.model import EmbeddingModel, Vector

logger = logging.getLogger(__name__)
_MODEL_TIMEOUT_S = 5.0


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
            raise errors.Unavailable(
                "the embedding model is being changed; try again shortly", reason="MODEL_CHANGING", retry_after=2.0
            )
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


def _vector(results: list[embedding_pb2.EmbeddingResult]) -> Vector:
    if len(results) != 1:
        raise errors.Internal(f"the embedding service gave {len(results)} results for one input")
    result = results[0]
    if result.WhichOneof("result") == "error":
        kind = errors.InvalidArgument if result.error.reason.startswith(("IMAGE_", "TEXT_")) else errors.Internal
        raise kind(result.error.message, reason=result.error.reason or None)
    return np.array(result.embedding.values, dtype=np.float32)
