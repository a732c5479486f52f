"""Time spent in each service on behalf of one request, for the Server-Timing header."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_spent: ContextVar[dict[str, float] | None] = ContextVar("spent", default=None)


def start() -> dict[str, float]:
    """Starts a record for the current context and the tasks made from it; seconds by service."""
    record: dict[str, float] = {}
    _spent.set(record)
    return record


def current() -> dict[str, float] | None:
    """The record of the current context; None outside of a request."""
    return _spent.get()


def join(record: dict[str, float] | None) -> None:
    """Makes the current context add to a record that another one started."""
    _spent.set(record)


@contextmanager
def spent(service: str) -> Iterator[None]:
    """Adds the time of the block to the service. Calls that overlap add up."""
    record = _spent.get()
    started = time.perf_counter()
    try:
        yield
    finally:
        if record is not None:
            record[service] = record.get(service, 0.0) + time.perf_counter() - started


def header(record: dict[str, float], total: float) -> str:
    """The header's value; milliseconds by service and in all."""
    parts = [f"{service};dur={seconds * 1000:.1f}" for service, seconds in record.items()]
    return ", ".join([*parts, f"total;dur={total * 1000:.1f}"])
