"""Health, readiness and drain of the server builder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from jewelry.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from servicekit import Service, ServiceSettings, client, deadlines, errors, interceptors, testing
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


class Counting(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Counts the pictures that it is sent."""

    def __init__(self) -> None:
        self.calls = 0
        self.trace_id = 0

    async def EmbedImages(
        self, request: embedding_pb2.EmbedImagesRequest, call: grpc.aio.ServicerContext[Any, Any]
    ) -> embedding_pb2.EmbedImagesResponse:
        self.calls += 1
        self.trace_id = trace.get_current_span().get_span_context().trace_id
        if not request.images:
            raise errors.ResourceExhausted("full", reason="QUEUE_FULL", retry_after=1.0)
        return embedding_pb2.EmbedImagesResponse(model_id=str(len(request.images[0])))


def counting(servicer: Counting, admit: Callable[[str], None] | None = None) -> Service:
    return Service(
        register=lambda server: embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(servicer, server),
        descriptors=[DESCRIPTOR],
        admit=admit,
    )


async def test_what_was_sent_before_the_stop_is_answered() -> None:
    """Also what no handler has seen yet: gRPC itself would cancel it."""
    settings = ServiceSettings(_env_file=None, drain_pause_seconds=0.5)  # type: ignore[call-arg]  # pydantic-settings
    server = RunningServer(counting(Counting()), settings, "127.0.0.1:0")
    await server.start()
    await server.become_ready()
    # A plain channel: no health checks, nothing repeated.
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        await channel.channel_ready()
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        request = embedding_pb2.EmbedImagesRequest(images=[bytes(200_000)])
        calls = [asyncio.ensure_future(stub.EmbedImages(request, timeout=60)) for _ in range(100)]
        # One turn of the loop: the calls are begun and none has arrived.
        await asyncio.sleep(0)
        await server.stop(60)
        answers = await asyncio.gather(*calls)
    assert [answer.model_id for answer in answers] == ["200000"] * 100


@pytest.mark.slow
async def test_a_client_whose_pings_bunch_up_is_not_cut_off() -> None:
    servicer = Slow()
    server = RunningServer(make(servicer), testing.settings(), "127.0.0.1:0")
    await server.start()
    await server.become_ready()
    pinging = [
        ("grpc.keepalive_time_ms", 50),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", pinging) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        waiting = asyncio.ensure_future(stub.GetModel(embedding_pb2.GetModelRequest(), timeout=60))
        await servicer.started.wait()
        # gRPC sends one a second at most; a server that counts strikes ends the connection at the fourth.
        await asyncio.sleep(6)
        servicer.go.set()
        await waiting
    await server.stop(1)


async def test_a_call_is_refused_before_its_request_is_read() -> None:
    servicer, asked = Counting(), []

    def admit(method: str) -> None:
        asked.append((method, deadlines.remaining()))
        if len(asked) == 1:
            raise errors.ResourceExhausted("full", reason="QUEUE_FULL", retry_after=2.0)

    request = embedding_pb2.EmbedImagesRequest(images=[bytes(5_000_000)])
    async with testing.serve_locally(counting(servicer, admit)) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        with pytest.raises(errors.ResourceExhausted) as refused:
            await client.call(stub.EmbedImages, request, timeout=60)
        assert servicer.calls == 0
        answer = await client.call(stub.EmbedImages, request, timeout=60)
    assert (refused.value.reason, refused.value.retry_after) == ("QUEUE_FULL", 2.0)
    assert answer.model_id == "5000000"
    assert [method for method, _ in asked] == ["/jewelry.embedding.v1.EmbeddingService/EmbedImages"] * 2
    assert all(left is not None and 50 < left < 60 for _, left in asked)


async def test_a_call_is_traced_as_part_of_its_callers_trace_and_holds_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(interceptors, "_tracer", provider.get_tracer("test"))
    servicer = Counting()
    metadata = (("traceparent", f"00-{7:032x}-{9:016x}-01"),)
    async with testing.serve_locally(counting(servicer)) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        good = embedding_pb2.EmbedImagesRequest(images=[b"1"])
        await stub.EmbedImages(good, timeout=60, metadata=metadata)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.EmbedImages(embedding_pb2.EmbedImagesRequest(), timeout=60, metadata=metadata)
    assert servicer.trace_id == 7
    # Not in the order of the calls: a span ends after the caller has its answer.
    finished = sorted(spans.get_finished_spans(), key=lambda span: span.attributes["rpc.grpc.status_code"])  # type: ignore[index,arg-type,return-value]
    assert [span.attributes["rpc.grpc.status_code"] for span in finished if span.attributes] == [0, 8]
    assert all(span.parent is not None and span.parent.span_id == 9 for span in finished)
    assert all(span.name == "/jewelry.embedding.v1.EmbeddingService/EmbedImages" for span in finished)
    assert not any(span.events for span in finished)


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
