"""Whether every service can do its work, and who does it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway_service.model import About
from servicekit import errors

TIMEOUT = 2.0
"""Seconds that a service has to answer."""
KEPT = 1.0
"""Seconds that an answer serves others who ask: nobody needs a key, so nobody may multiply the calls behind it."""


class Probed(Protocol):
    """A service that can be asked how it is."""

    @property
    def name(self) -> str:
        """Short name, such as `vision-index`."""
        ...

    async def healthy(self, timeout: float) -> bool:
        """What its health check says."""
        ...

    async def about(self, timeout: float) -> About:
        """Its adapters and its model."""
        ...


@dataclass(frozen=True)
class ServiceState:
    """State of one service: `ready`, `not_ready` (starting or stopping) or `down`."""

    name: str
    status: str
    about: About


class Readiness:
    """Asks all services at once."""

    def __init__(self, services: Sequence[Probed]) -> None:
        self._services = services
        self._lock = asyncio.Lock()
        self._last: tuple[float, list[ServiceState]] | None = None

    async def states(self) -> list[ServiceState]:
        """State of every service, at most a second old."""
        async with self._lock:
            if self._last is None or time.monotonic() - self._last[0] > KEPT:
                found = await asyncio.gather(*(_state(service) for service in self._services))
                self._last = (time.monotonic(), found)
            return self._last[1]


async def _state(service: Probed) -> ServiceState:
    healthy, about = await asyncio.gather(service.healthy(TIMEOUT), service.about(TIMEOUT), return_exceptions=True)
    for answer in (healthy, about):
        if isinstance(answer, BaseException) and not isinstance(answer, errors.ServiceError):
            raise answer
    if isinstance(about, errors.Unimplemented):
        about = About(detail="does not tell its adapters")
    if isinstance(about, errors.ServiceError):
        status = "not_ready" if about.reason == "NOT_READY" else "down"
        return ServiceState(service.name, status, About(detail=about.message))
    if isinstance(healthy, errors.ServiceError):
        return ServiceState(service.name, "down", About(detail=healthy.message))
    assert isinstance(about, About)
    return ServiceState(service.name, "ready" if healthy else "not_ready", about)
