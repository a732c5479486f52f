"""The embedding service, asked only which model it runs."""

from __future__ import annotations

import grpc
from jewelry.embedding.v1 import embedding_pb2, embedding_pb2_grpc

from gateway_service.adapters.remote import Remote
from gateway_service.model import About, Adapter

DESCRIPTOR = embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"]


class Embedding(Remote):
    """Client of the embedding service."""

    name = "embedding"

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__(channel)
        self._stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)

    async def about(self, timeout: float) -> About:
        """Its engine and model."""
        answer = await self._ask(self._stub.GetModel, embedding_pb2.GetModelRequest(), timeout)
        model = answer.model
        engine = Adapter(
            role="embedding",
            name=model.engine,
            # The descriptor stands in for a learned model, whatever engine runs that.
            embedded=model.engine == "perceptual",
            model_id=model.id,
            detail=", ".join(part for part in (model.dtype, model.device, model.detail) if part),
        )
        return About((engine,), model.id)
