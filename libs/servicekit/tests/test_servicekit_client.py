"""Calls of a client end with whoever waits for them."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from jewelry.embedding.v1 import embedding_pb2, embedding_pb2_grpc

from servicekit import Service, client, errors, testing

DESCRIPTOR = embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"]
# Far beyond what a test waits for: only the caller's leaving ends a call sooner.
DEADLINE = 300.0
LONG = 20.0


class Held(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Answers never; says when a call has begun and when it has ended."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.ended = asyncio.Event()

    async def GetModel(
        self, request: embedding_pb2.GetModelRequest, call: grpc.aio.ServicerContext[Any, Any]
    ) -> embedding_pb2.GetModelResponse:
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()
        return embedding_pb2.GetModelResponse()

    async def EmbedImages(
        self, request: embedding_pb2.EmbedImagesRequest, call: grpc.aio.ServicerContext[Any, Any]
    ) -> embedding_pb2.EmbedImagesResponse:
        raise errors.ResourceExhausted("full", reason="QUEUE_FULL", retry_after=1.0)


def service(servicer: Held) -> Service:
    return Service(
        register=lambda server: embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(servicer, server),
        descriptors=[DESCRIPTOR],
    )


async def test_a_call_ends_at_the_server_when_its_caller_is_cancelled() -> None:
    servicer = Held()
    async with testing.serve_locally(service(servicer)) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        call = asyncio.create_task(client.call(stub.GetModel, embedding_pb2.GetModelRequest(), timeout=DEADLINE))
        await asyncio.wait_for(servicer.began.wait(), LONG)
        assert not servicer.ended.is_set()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(servicer.ended.wait(), LONG)


async def test_errors_pass_through_as_they_are() -> None:
    async with testing.serve_locally(service(Held())) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        with pytest.raises(errors.ResourceExhausted, match="full") as raised:
            await client.call(stub.EmbedImages, embedding_pb2.EmbedImagesRequest(), timeout=DEADLINE)
    assert (raised.value.reason, raised.value.retry_after) == ("QUEUE_FULL", 1.0)
