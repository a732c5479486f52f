"""Health, readiness and drain of the server builder."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from jewelry.embedding.v1 import embedding_pb2, embedding_pb2_grpc

from servicekit import Service, client, deadlines, errors, testing
from servicekit.client import service_config
from servicekit.server import RunningServer

DESCRIPTOR = embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"]


class Slow(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Answers when the test lets it."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.started = asyncio.Event()

    async def GetModel(
        self, request: embedding_pb2.GetModelRequest, call: grpc.aio.ServicerContext[Any, Any]
    ) -> embedding_pb2.GetModelResponse:
        self.started.set()
        await self.go.wait()
        return embedding_pb2.GetModelResponse()


def make(servicer: Slow, warm: asyncio.Event | None = None) -> Service:
    async def warm_up() -> None:
        if warm is not None:
            await warm.wait()

    return Service(
        register=lambda server: embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(servicer, server),
        descriptors=[DESCRIPTOR],
        warm_up=warm_up,
    )


async def test_not_serving_until_warm_and_calls_are_refused_meanwhile() -> None:
    warm = asyncio.Event()
    servicer = Slow()
    servicer.go.set()
    server = RunningServer(make(servicer, warm), testing.settings(), "127.0.0.1:0")
    await server.start()
    opening = asyncio.create_task(server.become_ready())
    plain = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}")
    health = health_pb2_grpc.HealthStub(plain)
    stub = embedding_pb2_grpc.EmbeddingServiceStub(plain)
    answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
    with pytest.raises(errors.Unavailable, match="starting"):
        await client.call(stub.GetModel, embedding_pb2.GetModelRequest(), timeout=5)
    warm.set()
    await opening
    for name in ("", DESCRIPTOR.full_name):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    await client.call(stub.GetModel, embedding_pb2.GetModelRequest(), timeout=5)
    await plain.close()
    await server.stop(1)


async def test_a_call_in_flight_ends_well_while_the_server_drains() -> None:
    servicer = Slow()
    server = RunningServer(make(servicer), testing.settings(), "127.0.0.1:0")
    await server.start()
    await server.become_ready()
    channel = client.connect(f"127.0.0.1:{server.port}", [DESCRIPTOR], testing.settings())
    stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
    inflight = asyncio.create_task(client.call(stub.GetModel, embedding_pb2.GetModelRequest(), timeout=10))
    await servicer.started.wait()
    stopping = asyncio.create_task(server.stop(10))
    await asyncio.sleep(0)
    servicer.go.set()
    await inflight
    await stopping
    await channel.close()


async def test_a_taken_port_is_told() -> None:
    server = RunningServer(make(Slow()), testing.settings(), "127.0.0.1:0")
    await server.start()
    with pytest.raises(errors.FailedPrecondition, match="port"):
        RunningServer(make(Slow()), testing.settings(), f"127.0.0.1:{server.port}")
    await server.stop(0)


def test_only_what_the_contract_calls_repeatable_is_retried() -> None:
    config = service_config([DESCRIPTOR])
    (methods,) = [entry["name"] for entry in config["methodConfig"]]  # type: ignore[attr-defined]
    names = {entry["method"] for entry in methods}
    assert names == {"EmbedImages", "EmbedText", "GetModel"}


def test_a_deadline_that_passed_refuses_more_work() -> None:
    with pytest.raises(errors.DeadlineExceeded):
        deadlines.enter(0.0)
    deadlines.enter(1.0)
    assert 0.85 < deadlines.shaved(10.0) <= 0.9
    assert deadlines.shaved(0.2) == 0.2
    deadlines.enter(None)
    assert deadlines.shaved(10.0) == 10.0
