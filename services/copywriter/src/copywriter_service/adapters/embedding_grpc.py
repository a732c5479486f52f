"""The embedding service over gRPC."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jewelry.embedding.v1 import embedding_pb2, embedding_pb2_grpc

from copywriter_service.adapters.likeness import Embedded
from servicekit import ServiceSettings, client, errors


class GrpcEmbedder:
    """The embedding service.

    Args:
        target: host:port.
        settings: For the channel.
        seconds: Longest wait for an answer: the check must not hold up pictures that are finished.
    """

    def __init__(self, target: str, settings: ServiceSettings, seconds: float) -> None:
        descriptor = embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"]
        self._channel = client.connect(target, [descriptor], settings)
        self._stub = embedding_pb2_grpc.EmbeddingServiceStub(self._channel)
        self._seconds = seconds

    async def embed(self, pictures: Sequence[bytes]) -> Embedded:
        """See `Embedder.embed`."""
        request = embedding_pb2.EmbedImagesRequest(images=list(pictures), lane=embedding_pb2.LANE_INTERACTIVE)
        answer = await client.call(self._stub.EmbedImages, request, timeout=self._seconds)
        about = await client.call(self._stub.GetModel, embedding_pb2.GetModelRequest(), timeout=self._seconds)
        model = about.model
        values = [list(result.embedding.values) for result in answer.results]
        if len(values) != len(pictures) or any(len(item) != model.dimension for item in values):
            raise errors.Unavailable("the embedding service could not read a picture", reason="EMBEDDING_INCOMPLETE")
        if model.id != answer.model_id:
            raise errors.Unavailable("the embedding model is being changed", reason="MODEL_CHANGING")
        return Embedded(np.array(values, dtype=np.float32), model.similar_distance, model.engine != "perceptual")

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close()
