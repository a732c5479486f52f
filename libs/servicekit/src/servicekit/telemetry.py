"""Traces and metrics through OpenTelemetry, a Prometheus endpoint, and spans for provider calls."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import start_http_server

from servicekit.settings import ServiceSettings

logger = logging.getLogger(__name__)


def configure(service: str, settings: ServiceSettings) -> None:
    """Installs the process-wide providers; called once at start.

    Spans are recorded always, so that logs carry trace ids, and leave only where an OTLP endpoint
    is configured. Metrics are kept for the Prometheus endpoint.
    """
    resource = Resource.create({SERVICE_NAME: f"jewelry-{service}", SERVICE_VERSION: _version(service)})
    tracing = TracerProvider(resource=resource)
    if settings.otel_exporter_otlp_endpoint:
        tracing.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.otel_exporter_otlp_endpoint)))
    trace.set_tracer_provider(tracing)
    metrics.set_meter_provider(MeterProvider(resource=resource, metric_readers=[PrometheusMetricReader()]))
    if settings.metrics_port:
        start_http_server(settings.metrics_port, settings.metrics_host)
        logger.info("metrics on http://%s:%d/metrics", settings.metrics_host, settings.metrics_port)


def _version(service: str) -> str:
    try:
        return version(f"jewelry-{service}")
    except PackageNotFoundError:
        return "0"


def tracer(name: str) -> trace.Tracer:
    """A tracer for the named part of a service."""
    return trace.get_tracer(name)


def meter(name: str) -> metrics.Meter:
    """A meter for the named part of a service."""
    return metrics.get_meter(name)


class ProviderCall:
    """One request to a paid provider; filled in by the adapter while it runs."""

    def __init__(self, span: trace.Span, attributes: dict[str, str]) -> None:
        self._span = span
        self._attributes = attributes

    def tokens(self, read: int, written: int) -> None:
        """Counts tokens (names: OpenTelemetry's semantic conventions for generative AI)."""
        self._span.set_attribute("gen_ai.usage.input_tokens", read)
        self._span.set_attribute("gen_ai.usage.output_tokens", written)
        _tokens.add(read, {**self._attributes, "direction": "input"})
        _tokens.add(written, {**self._attributes, "direction": "output"})

    def cost(self, inr_micros: int) -> None:
        """Counts what the call cost, in millionths of a rupee."""
        self._span.set_attribute("jewelry.cost.inr_micros", inr_micros)
        _cost.add(inr_micros, self._attributes)


@asynccontextmanager
async def provider_call(provider: str, *, model: str, operation: str) -> AsyncIterator[ProviderCall]:
    """Span, counter and duration of one request to a provider; prompts and answers are not recorded."""
    attributes = {"provider": provider, "model": model, "operation": operation}
    started = time.perf_counter()
    outcome = "ok"
    with tracer("jewelry.provider").start_as_current_span(
        f"{provider} {operation}",
        kind=trace.SpanKind.CLIENT,
        attributes={"gen_ai.system": provider, "gen_ai.request.model": model, "gen_ai.operation.name": operation},
        # An SDK's exception may quote the request; only its type is recorded.
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield ProviderCall(span, attributes)
        except BaseException as error:
            outcome = type(error).__name__
            span.set_attribute("error.type", outcome)
            span.set_status(trace.StatusCode.ERROR)
            raise
        finally:
            _calls.add(1, {**attributes, "outcome": outcome})
            _durations.record(time.perf_counter() - started, attributes)


# The library's own boundaries are milliseconds, 5 to 10,000.
PROVIDER_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0)
# The API's proxies: they find the real provider when `configure` installs it.
_meter = metrics.get_meter("jewelry.provider")
_calls = _meter.create_counter("jewelry_provider_calls", description="Requests to paid providers.")
_durations = _meter.create_histogram(
    "jewelry_provider_call_seconds",
    unit="s",
    description="Duration of requests to paid providers.",
    explicit_bucket_boundaries_advisory=PROVIDER_SECONDS,
)
_tokens = _meter.create_counter("jewelry_provider_tokens", description="Tokens read and written.")
_cost = _meter.create_counter("jewelry_provider_cost_inr_micros", description="Cost in millionths of a rupee.")
