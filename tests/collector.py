"""A collector of traces for tests: speaks OTLP over gRPC on a port of the loopback, and remembers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


@dataclass(frozen=True)
class Span:
    """One span as it arrived; ids are in hex, and `parent` is empty for a root."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    attributes: Mapping[str, Any]
    events: tuple[str, ...]
    everything: str
    """All of it as text."""


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """What was received so far."""

    def __init__(self) -> None:
        self.url = ""
        self._lock = threading.Lock()
        self._spans: list[Span] = []

    def Export(self, request: Any, context: Any) -> Any:
        """An exporter's batch."""
        with self._lock:
            self._spans.extend(_spans(request))
        return trace_service_pb2.ExportTraceServiceResponse()

    @property
    def spans(self) -> list[Span]:
        """Every span so far."""
        with self._lock:
            return list(self._spans)

    def wait_for(self, wanted: Callable[[list[Span]], bool], seconds: float = 30.0) -> list[Span]:
        """Waits until the spans satisfy `wanted`, or the time is over; the spans as they are then."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not wanted(self.spans):
            time.sleep(0.1)
        return self.spans


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    collector = Collector()
    add: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server  # untyped
    add(collector, server)
    collector.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(1.0).wait()


def _spans(request: Any) -> Iterator[Span]:
    for resource in request.resource_spans:
        service = _attributes(resource.resource.attributes).get("service.name", "")
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    service=service,
                    name=span.name,
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    attributes=_attributes(span.attributes),
                    events=tuple(event.name for event in span.events),
                    everything=str(span),
                )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
