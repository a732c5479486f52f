"""The HTTP server: uvicorn, with the bounds that it leaves to a proxy in front.

uvicorn gives a request's head no deadline and no size, waits for ever for a client that does not read its answer, and
refuses in plain text. All of this sits in its protocol class, which its configuration lets one replace.
"""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import secrets
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, service_unavailable
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway_service import problems
from gateway_service.admission import BUSY, LINGER_BYTES, LINGER_SECONDS, Arrival, Room
from gateway_service.middleware import SECURITY_HEADERS
from gateway_service.settings import Settings

logger = logging.getLogger(__name__)

MAX_HEAD_BYTES = 64 * 1024
# A client that takes less than this while its answer waits is cut off; in bytes a second, looked at every 10 s.
LEAST_READ_RATE = 1024
LOOK_SECONDS = 10.0


def config(settings: Settings, app: FastAPI, host: str, port: int) -> uvicorn.Config:
    """Configuration of the server for an application."""
    bounds = {
        "room": app.state.room,
        "head_seconds": settings.gateway_head_seconds,
        "body_seconds": settings.gateway_body_seconds,
        "origins": frozenset(settings.gateway_cors_origins),
        "turned_away": _Tally(),
    }
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=type("BoundedProtocol", (Protocol,), bounds),
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        # The application refuses with an answer that says so; this is the last line behind it.
        limit_concurrency=settings.gateway_max_connections,
        backlog=2048,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
    )


def allow_connections(wanted: int) -> None:
    """Raises the process's bound on open files, as far as it may, so that the bound on connections is the one met."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + 256
    if soft != resource.RLIM_INFINITY and soft < needed:
        reachable = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))
        if reachable < needed:
            logger.warning("at most %d files may be open; %d connections need %d", reachable, wanted, needed)


class Protocol(HttpToolsProtocol):
    """uvicorn's own, with deadlines for both directions, that turns away by the head whoever there is no room for.

    To refuse in the application costs some milliseconds of it for each, when there are none to spare.
    """

    room: ClassVar[Room]
    head_seconds: ClassVar[float] = 10.0
    body_seconds: ClassVar[float] = 60.0
    origins: ClassVar[frozenset[str]] = frozenset()
    turned_away: ClassVar[_Tally]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._read_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._in_body = False
        self._unread = 0
        self._arrival: Arrival | None = None
        self._turned_away = False
        self._linger_timer: asyncio.TimerHandle | None = None
        self._discarded = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """Gives the first request its deadline."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends every deadline."""
        _cancel(self._head_timer)
        self._head_timer = None
        _cancel(self._read_timer)
        self._read_timer = None
        _cancel(self._linger_timer)
        self._linger_timer = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Counts a head while it arrives, and gives a deadline to whatever comes where no answer is pending."""
        if self._turned_away:
            self._discard(len(data))
            return
        if self._head_timer is None and self._is_idle:
            self._await_head()
        if not self._in_body:
            self._head_bytes += len(data)
            # A head that ends within this piece may be followed by much of its body.
            if self._head_bytes > MAX_HEAD_BYTES and b"\r\n\r\n" not in data:
                self._refuse(431, "HEADERS_TOO_LARGE", "the request line and the headers are too large")
                return
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """The head is there."""
        _cancel(self._head_timer)
        self._head_timer = None
        self._head_bytes = 0
        self._in_body = True
        if self._turned_away:
            return
        if not self._has_body:
            super().on_headers_complete()
        elif self._is_idle and self.room.full:
            self._turn_away()
        else:
            self._arrival = self.scope["jewelry.arrival"] = Arrival(self.room)  # type: ignore[typeddict-unknown-key]
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """More of the body is there."""
        if self._turned_away:
            self._discarded += len(body)
            return
        if self._arrival is not None:
            self._arrival.add(len(body))
        if self.cycle.body:
            super().on_body(body)
            return
        # As the first piece for a reader: taken as it is, where uvicorn copies it into a buffer and out again.
        super().on_body(b"")
        if not self.cycle.response_complete:
            self.cycle.body = body  # type: ignore[assignment]
            if len(body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()

    def on_message_complete(self) -> None:
        """The body is there."""
        self._in_body = False
        if self._turned_away:
            self.transport.close()
            return
        if self._arrival is not None:
            self._arrival.count()
            self._arrival = None
        super().on_message_complete()

    def pause_writing(self) -> None:
        """The client does not read as fast as is written: from now on it must at least read."""
        super().pause_writing()
        self._unread = self.transport.get_write_buffer_size()
        self._read_timer = self.loop.call_later(LOOK_SECONDS, self._look_at_reader)

    def resume_writing(self) -> None:
        """The client has caught up."""
        _cancel(self._read_timer)
        self._read_timer = None
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Ends an idle connection, at once where its last answer was never read."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        """A request that is no HTTP, as a problem; one whose head was HTTP and whose body is not, too."""
        if self._in_body and self.cycle is not None and not self.cycle.response_started:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self.transport.write(_bare(400, "REQUEST_UNREADABLE", "the body of this request is no valid HTTP"))
        self._refuse(400, "REQUEST_UNREADABLE", "this is no valid HTTP request")

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        super()._start_asgi_task(cycle, _overloaded if app is service_unavailable else app)

    @property
    def _has_body(self) -> bool:
        return any(
            name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
            for name, value in self.scope["headers"]
        )

    def _turn_away(self) -> None:
        """Refuses, and ends the connection when the body was sent: ended before, the answer would be lost with it."""
        self._turned_away = True
        self.turned_away.add()
        self.transport.write(_bare(503, "OVERLOADED", BUSY, retry_after=1, more=self._cors()))
        if self.expect_100_continue:
            self.transport.close()
        else:
            self._linger_timer = self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _cors(self) -> dict[str, str]:
        """Lets a page of an allowed origin read the refusal, as the application's own answers do."""
        origin = dict(self.scope["headers"]).get(b"origin", b"").decode("latin-1")
        if not origin or not self.origins & {origin, "*"}:
            return {}
        return {
            "access-control-allow-origin": "*" if "*" in self.origins else origin,
            "access-control-expose-headers": "X-Request-Id, Retry-After",
            "vary": "Origin",
        }

    def _discard(self, size: int) -> None:
        self._discarded += size
        length = dict(self.scope["headers"]).get(b"content-length", b"")
        announced = int(length) if length.isdigit() else LINGER_BYTES
        if self._discarded >= min(announced, LINGER_BYTES):
            self.transport.close()

    @property
    def _is_idle(self) -> bool:
        """No answer is pending: what comes is a head, blank lines before one, or a body that nobody reads any more."""
        return self.cycle is None or self.cycle.response_complete

    def _await_head(self) -> None:
        seconds = self.body_seconds if self._in_body else self.head_seconds
        self._head_timer = self.loop.call_later(seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        self._refuse(408, "REQUEST_SLOW", "the request did not arrive in time; send it again")

    def _look_at_reader(self) -> None:
        left = self.transport.get_write_buffer_size()
        if self._unread - left < LEAST_READ_RATE * LOOK_SECONDS:
            self.transport.abort()
            return
        self._unread = left
        self._read_timer = self.loop.call_later(LOOK_SECONDS, self._look_at_reader)

    def _refuse(self, status: int, code: str, sentence: str) -> None:
        """Answers without the application, and closes."""
        if self.transport.is_closing():
            return
        # A connection that was opened and never used is closed without a word.
        if self._is_idle and self._head_bytes:
            self.transport.write(_bare(status, code, sentence))
        self.transport.close()


class _Tally:
    """Says how many were turned away, once a second at most: a line for each would cost what turning away saves."""

    def __init__(self) -> None:
        self._count = 0
        self._said = -1.0

    def add(self) -> None:
        self._count += 1
        now = time.monotonic()
        if now - self._said >= 1.0:
            logger.warning("no place for work is free: %d requests were turned away", self._count)
            self._count, self._said = 0, now


def _bare(
    status: int,
    code: str,
    sentence: str,
    *,
    retry_after: int | None = None,
    more: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """A problem as it goes over the wire, with the headers that the application would give it."""
    request_id = secrets.token_hex(8)
    body = json.dumps({**problems.members(status, code, sentence), "request_id": request_id}).encode()
    headers = {
        "content-type": problems.MEDIA_TYPE,
        "content-length": str(len(body)),
        "connection": "close",
        "x-request-id": request_id,
        **({} if retry_after is None else {"retry-after": str(retry_after)}),
        **SECURITY_HEADERS,
        **more,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {problems.phrase(status)}\r\n{lines}\r\n".encode() + body


async def _overloaded(scope: Any, receive: Any, send: Any) -> None:
    """Refuses a request when there are too many connections."""
    sentence = "too many connections at once; try again shortly"
    answer = problems.problem(503, "OVERLOADED", sentence, retry_after=1.0, headers={"Connection": "close"})
    await answer(scope, receive, send)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
