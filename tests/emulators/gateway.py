"""The path of one request through an emulator: key, quota, fault, latency, answer, log."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.responses import Response

from tests.emulators.control import Control, Fault, FaultKind, LogEntry


@dataclass(frozen=True)
class Call:
    """One request, understood."""

    method: str
    path: str
    operation: str
    model: str
    key: str
    body: bytes
    images: int = 0
    texts: int = 0
    gone: Callable[[], Awaitable[bool]] | None = None

    @property
    def seed(self) -> int:
        """Depends on what was asked, not on the key or the time."""
        digest = hashlib.sha256(self.operation.encode() + b"\0" + self.model.encode() + b"\0" + self.body).digest()
        return int.from_bytes(digest[:8], "big")


@dataclass(frozen=True)
class Refusals:
    """The provider's own way of saying no."""

    bad_key: Callable[[Fault | None], Response]
    rate_limited: Callable[[Call, float, bool], Response]
    server_error: Callable[[int], Response]


async def handle(
    control: Control, refusals: Refusals, call: Call, answer: Callable[[Fault | None], Awaitable[Response]]
) -> Response:
    """Answers one request and logs it. `answer` is told of faults that change the content of a good answer."""
    started = time.time()
    fault = control.take_fault(model=call.model, key=call.key, operation=call.operation)
    status = 499  # what is logged when the client went away while it waited
    try:
        response = await _respond(control, refusals, call, answer, fault)
        status = response.status_code
        return response
    except ClientGone:
        return Response(status_code=status)
    finally:
        control.record(
            LogEntry(
                at=started, method=call.method, path=call.path, operation=call.operation, model=call.model,
                key=control.label(call.key), project=control.project(call.key), images=call.images,
                texts=call.texts, status=status, fault=fault.kind if fault else "", seconds=time.time() - started,
            )
        )  # fmt: skip


class ClientGone(Exception):
    """The client did not wait for the answer."""


async def _hang(call: Call, seconds: float) -> None:
    """Keeps a client waiting, and notices when it leaves."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if call.gone is not None and await call.gone():
            raise ClientGone
        await asyncio.sleep(min(0.02, seconds))


async def _respond(
    control: Control,
    refusals: Refusals,
    call: Call,
    answer: Callable[[Fault | None], Awaitable[Response]],
    fault: Fault | None,
) -> Response:
    if control.config.latency:
        await asyncio.sleep(control.config.latency)
    if not control.accepts(call.key):
        return refusals.bad_key(None)
    match fault:
        case Fault(kind=FaultKind.REVOKED):
            return refusals.bad_key(fault)
        case Fault(kind=FaultKind.RATE_LIMIT_MINUTE | FaultKind.RATE_LIMIT_DAY):
            return refusals.rate_limited(call, fault.retry_after, fault.kind is FaultKind.RATE_LIMIT_DAY)
        case Fault(kind=FaultKind.SERVER_ERROR):
            return refusals.server_error(fault.status or 500)
        case Fault(kind=FaultKind.HANG):
            await _hang(call, fault.seconds)
        case _:
            pass
    wait = control.over_quota(call.key)
    if wait is not None:
        return refusals.rate_limited(call, wait, False)
    response = await answer(fault)
    if fault is not None and fault.kind is FaultKind.BROKEN_BODY:
        body = bytes(response.body)
        return Response(body[: len(body) // 2], response.status_code, media_type=response.media_type)
    return response
