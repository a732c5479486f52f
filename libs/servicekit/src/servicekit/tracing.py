"""Clients of outside stores whose calls are spans and are timed; what is asked and answered is not recorded."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from opentelemetry import metrics, trace

T = TypeVar("T")

# The API's proxies: they find the real provider when `telemetry.configure` installs it.
_tracer = trace.get_tracer("jewelry.store")
_durations = metrics.get_meter("jewelry.store").create_histogram(
    "jewelry_store_call_seconds",
    unit="s",
    description="Duration of calls to outside stores, by outcome (ok, refused, error).",
    explicit_bucket_boundaries_advisory=(
        0.001,
        0.0025,
        0.005,
        0.01,
        0.025,
        0.05,
        0.1,
        0.25,
        0.5,
        1.0,
        2.5,
        5.0,
        10.0,
        30.0,
    ),
)

# They ask nobody.
_LOCAL = frozenset({"close", "create_schema", "prepare_index_params"})


def traced(client: T, system: str, *, is_answer: Callable[[BaseException], bool] = lambda error: False) -> T:
    """The client with a span around each call of its methods, named `<system> <method>`.

    Args:
        client: A blocking client, such as boto3's or Milvus's.
        system: Name of the store, such as `s3`.
        is_answer: True for exceptions that are answers, such as "there is no such object"; the rest are errors.
    """
    return cast(T, _Traced(client, system, is_answer))


class _Traced:
    def __init__(self, client: object, system: str, is_answer: Callable[[BaseException], bool]) -> None:
        self._client, self._system, self._is_answer = client, system, is_answer

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._client, name)
        if name.startswith("_") or name in _LOCAL or not callable(value):
            return value
        return self._wrapped(name, value)

    def _wrapped(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            labels = {"system": self._system, "operation": name}
            started = time.perf_counter()
            outcome = "ok"
            with _tracer.start_as_current_span(
                f"{self._system} {name}",
                kind=trace.SpanKind.CLIENT,
                attributes={"db.system.name": self._system, "db.operation.name": name},
                # A client's exception may quote what was asked.
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                try:
                    return method(*arguments, **named)
                except BaseException as error:
                    outcome = "refused" if self._is_answer(error) else "error"
                    span.set_attribute("error.type", type(error).__name__)
                    if outcome == "error":
                        span.set_status(trace.StatusCode.ERROR)
                    raise
                finally:
                    _durations.record(time.perf_counter() - started, {**labels, "outcome": outcome})

        return call
