"""Every status code crosses a real socket and comes back as the same typed error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from jewelry.embedding.v1 import embedding_pb2, embedding_pb2_grpc

from servicekit import Service, client, context, deadlines, errors
from servicekit.testing import serve_locally

DESCRIPTOR = embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"]


class Scripted(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Does what the test says."""

    def __init__(self) -> None:
        self.raises: Exception | None = None
        self.calls = 0
        self.seen: dict[str, Any] = {}
        self.hang = False
        self.fail_first = 0

    async def GetModel(
        self, request: embedding_pb2.GetModelRequest, call: grpc.aio.ServicerContext[Any, Any]
    ) -> embedding_pb2.GetModelResponse:
        self.calls += 1
        self.seen = {"request_id": context.request_id(), "remaining": deadlines.remaining()}
        if self.calls <= self.fail_first:
            raise errors.Unavailable("not now")
        if self.hang:
            await asyncio.sleep(3600)
        if self.raises is not None:
            raise self.raises
        return embedding_pb2.GetModelResponse(model=embedding_pb2.Model(id="m"))

    async def EmbedImagesStream(
        self, requests: AsyncIterator[Any], call: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[embedding_pb2.EmbedImagesStreamResponse]:
        async for request in requests:
            if request.key == "bad":
                raise errors.InvalidArgument("no such picture", reason="IMAGE_EMPTY")
            yield embedding_pb2.EmbedImagesStreamResponse(key=request.key)


def service(servicer: Scripted) -> Service:
    return Service(
        register=lambda server: embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(servicer, server),
        descriptors=[DESCRIPTOR],
    )


@pytest.mark.parametrize("kind", errors.BY_CODE.values(), ids=lambda kind: kind.code)
async def test_every_error_survives_the_wire(kind: type[errors.ServiceError]) -> None:
    servicer = Scripted()
    servicer.raises = kind("say what to do", reason="SOME_REASON", retry_after=1.5, fields={"image": "is empty"})
    async with serve_locally(service(servicer)) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        with pytest.raises(kind) as caught:
            await client.call(stub.GetModel, embedding_pb2.GetModelRequest(), timeout=10)
    error = caught.value
    assert type(error) is kind
    assert (error.message, error.reason, error.retry_after) == ("say what to do", "SOME_REASON", 1.5)
    assert error.fields == {"image": "is empty"}


async def test_a_service_that_gives_no_reason_keeps_its_message() -> None:
    servicer = Scripted()
    servicer.raises = errors.Unavailable("the vector store is down")
    async with serve_locally(service(servicer)) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        with pytest.raises(errors.Unavailable, match="the vector store is down") as caught:
            await client.call(stub.GetModel, embedding_pb2.GetModelRequest(), timeout=10)
    assert caught.value.reason == "UNAVAILABLE"


def test_there_is_one_class_per_canonical_code() -> None:
    assert set(errors.BY_CODE) == {code.name for code in grpc.StatusCode} - {"OK"}


async def test_an_untyped_error_says_nothing_to_the_caller() -> None:
    servicer = Scripted()
    servicer.raises = RuntimeError("password=hunter2 in /secret/path")
    async with serve_locally(service(servicer)) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        with pytest.raises(errors.Internal) as caught:
            await client.call(stub.GetModel, embedding_pb2.GetModelRequest(), timeout=10)
    assert "hunter2" not in caught.value.message
    assert "secret" not in caught.value.message


async def test_an_unbuilt_rpc_is_unimplemented() -> None:
    async with serve_locally(service(Scripted())) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        with pytest.raises(errors.Unimplemented):
            await client.call(stub.EmbedText, embedding_pb2.EmbedTextRequest(texts=["x"]), timeout=10)


async def test_the_request_id_and_a_shaved_deadline_arrive() -> None:
    servicer = Scripted()
    async with serve_locally(service(servicer)) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        context.set_request_id("abc-123")
        await client.call(stub.GetModel, embedding_pb2.GetModelRequest(), timeout=10)
    assert servicer.seen["request_id"] == "abc-123"
    assert 9.0 < servicer.seen["remaining"] < 9.8


async def test_a_slow_server_is_a_typed_deadline() -> None:
    servicer = Scripted()
    servicer.hang = True
    async with serve_locally(service(servicer)) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        with pytest.raises(errors.DeadlineExceeded, match="the embedding service did not answer"):
            await client.call(stub.GetModel, embedding_pb2.GetModelRequest(), timeout=0.3)


async def test_a_repeatable_rpc_is_repeated_on_unavailable() -> None:
    servicer = Scripted()
    servicer.fail_first = 2
    async with serve_locally(service(servicer)) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        answer = await client.call(stub.GetModel, embedding_pb2.GetModelRequest(), timeout=10)
    assert answer.model.id == "m"
    assert servicer.calls == 3


async def test_a_server_that_is_gone_is_named_without_its_address() -> None:
    async with serve_locally(service(Scripted())) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        await client.call(stub.GetModel, embedding_pb2.GetModelRequest(), timeout=10)
        gone = client.connect("127.0.0.1:1", [DESCRIPTOR], __import__("servicekit.testing").testing.settings())
        stub = embedding_pb2_grpc.EmbeddingServiceStub(gone)
        with pytest.raises(errors.Unavailable) as caught:
            await client.call(stub.GetModel, embedding_pb2.GetModelRequest(), timeout=10)
        await gone.close()
    assert caught.value.reason == "SERVICE_UNREACHABLE"
    assert "127.0.0.1" not in caught.value.message


async def test_a_stream_gives_what_came_before_its_error() -> None:
    async with serve_locally(service(Scripted())) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)

        async def requests() -> AsyncIterator[embedding_pb2.EmbedImagesStreamRequest]:
            for key in ("a", "b", "bad"):
                yield embedding_pb2.EmbedImagesStreamRequest(key=key)

        keys = []
        with pytest.raises(errors.InvalidArgument) as caught:
            async for answer in client.stream(stub.EmbedImagesStream, requests(), timeout=10):
                keys.append(answer.key)
    assert keys == ["a", "b"]
    assert caught.value.reason == "IMAGE_EMPTY"
