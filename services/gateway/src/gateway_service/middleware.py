"""What happens to every request, whatever its path: ids, headers, keys, limits, one line in the log."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway_service import auth, problems, timing
from servicekit import context, deadlines

logger = logging.getLogger(__name__)

_SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
# Everything but the picture itself: boundaries, part headers, the other fields.
MULTIPART_OVERHEAD = 128 * 1024
# A refused sender is listened to for this long, so that it gets to read the refusal.
_LINGER_SECONDS = 5.0
_LINGER_BYTES = 64 * 1024 * 1024


class RequestContext:
    """Outermost: request id, trailing slash, response headers, log line, and an answer to what nobody foresaw."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = context.set_request_id(Headers(scope=scope).get("x-request-id"))
        deadlines.enter(None)  # a path sets its own; none comes from whoever runs the application
        record = timing.start()
        started = time.perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers["server-timing"] = timing.header(record, time.perf_counter() - started)
                for name, value in _SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if scope.get("scheme") == "https":
                    headers["strict-transport-security"] = "max-age=31536000"
            await send(message)

        inner = _without_trailing_slash(scope)
        try:
            await self._app(inner, receive, send_with_headers)
        except ClientDisconnect:
            status = 499
        except Exception:
            logger.exception("an unexpected error")
            if status:
                raise  # the answer has begun: the server can only cut it off
            await problems.internal()(scope, receive, send_with_headers)
        finally:
            _log(inner, status, time.perf_counter() - started)


class KeyCheck:
    """Lets in who has a key; without keys in the configuration, everybody on this machine but its browser's pages."""

    def __init__(self, app: ASGIApp, keys: auth.ApiKeys, origins: Collection[str] = ()) -> None:
        self._app = app
        self._keys = keys
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        refusal = None
        if scope["type"] == "http" and scope["path"] not in auth.OPEN_PATHS:
            refusal = self._with_keys(scope) if self._keys else self._without_keys(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await refusal(scope, receive, send)

    def _with_keys(self, scope: Scope) -> Response | None:
        key = auth.key_of(scope["headers"])
        label = None if key is None else self._keys.label(key)
        if label is not None:
            scope["jewelry.key"] = label
            return None
        missing = "this path needs a key: send Authorization: Bearer <key>, or X-API-Key"
        sentence = missing if key is None else "this key is not known here"
        return problems.problem(401, "UNAUTHENTICATED", sentence, headers={"WWW-Authenticate": "Bearer"})

    def _without_keys(self, scope: Scope) -> Response | None:
        """Any page that is open in a browser can post a form to the loopback; browsers say where from."""
        headers = Headers(scope=scope)
        if scope["method"] in ("GET", "HEAD", "OPTIONS") or headers.get("sec-fetch-site") != "cross-site":
            return None
        if headers.get("origin", "") in self._origins:
            return None
        sentence = "pages of other sites may not call; name their origin in GATEWAY_CORS_ORIGINS to allow it"
        return problems.problem(403, "CROSS_SITE", sentence)


class Limits:
    """Bounds what one request, and all of them together, may take."""

    def __init__(self, app: ASGIApp, *, json_bytes: int, upload_bytes: int, in_flight: int, seconds: float) -> None:
        self._app = app
        self._json_bytes = json_bytes
        self._upload_bytes = upload_bytes
        self._most = in_flight
        self._seconds = seconds
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http" or scope["path"] in auth.OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        body = _Body(scope, receive, self._limit(scope), self._seconds)
        sender = _Lingering(body, send)
        if body.announced is not None and body.announced > body.limit:
            await problems.from_http_exception(body.too_large())(scope, body.receive, sender.send)
            return
        if self._in_flight >= self._most:
            sentence = "too many requests at once; try again shortly"
            refusal = problems.problem(503, "OVERLOADED", sentence, retry_after=1.0)
            await refusal(scope, body.receive, sender.send)
            return
        self._in_flight += 1
        try:
            await self._app(scope, body.receive, sender.send)
        finally:
            self._in_flight -= 1

    def _limit(self, scope: Scope) -> int:
        kind = Headers(scope=scope).get("content-type", "").lower()
        if kind.startswith("multipart/"):
            return self._upload_bytes + MULTIPART_OVERHEAD
        return self._upload_bytes if kind.startswith(("image/", "application/octet-stream")) else self._json_bytes


class _Body:
    """A request's body, counted while it arrives."""

    def __init__(self, scope: Scope, receive: Receive, limit: int, seconds: float) -> None:
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        self.announced = int(length) if length.isascii() and length.isdecimal() else None
        self.limit = limit
        # No length and no transfer coding: there is no body (RFC 9112, section 6.3).
        self.ended = self.announced == 0 or (self.announced is None and "transfer-encoding" not in headers)
        self.waits_for_continue = headers.get("expect", "").lower() == "100-continue"
        self._receive = receive
        self._read = 0
        self._seconds = seconds
        self._deadline: float | None = None

    def too_large(self) -> problems.HttpProblem:
        return problems.HttpProblem(
            413, "BODY_TOO_LARGE", f"the body is larger than {self.limit / 2**20:.0f} MiB, the most that is taken here"
        )

    async def receive(self) -> Message:
        if self.ended:
            return await self.raw()
        now = time.monotonic()
        self._deadline = self._deadline or now + self._seconds
        try:
            async with asyncio.timeout(self._deadline - now):
                message = await self.raw()
        except TimeoutError:
            raise problems.HttpProblem(
                408, "BODY_SLOW", f"the body did not arrive within {self._seconds:.0f} s; send it again"
            ) from None
        if self._read > self.limit:
            raise self.too_large()
        return message

    async def raw(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            self.ended = not message.get("more_body", False)
        else:
            self.ended = True
        return message


class _Lingering:
    """Sends an answer; one that comes before a large body was read ends the connection, but not at once.

    To close while the other side still sends would reset the connection, and the answer would be lost with it.
    """

    def __init__(self, body: _Body, send: Send) -> None:
        self._body = body
        self._send = send
        self._closing = False

    async def send(self, message: Message) -> None:
        body = self._body
        if message["type"] == "http.response.start":
            left = None if body.announced is None else body.announced
            self._closing = not body.ended and (left is None or left > body.limit)
            if self._closing:
                MutableHeaders(scope=message)["connection"] = "close"
        elif self._closing and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            if not body.waits_for_continue:
                await self._drain()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    async def _drain(self) -> None:
        left = _LINGER_BYTES
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while not self._body.ended and left > 0:
                    left -= len((await self._body.raw()).get("body", b""))
        except TimeoutError:
            return


def _without_trailing_slash(scope: Scope) -> Scope:
    """A copy of the scope whose path has no trailing slash; keys of objects are left as they are."""
    path: str = scope["path"]
    inner: dict[str, Any] = dict(scope)
    if len(path) > 1 and path.endswith("/") and not path.startswith("/files/"):
        inner["path"] = path.rstrip("/") or "/"
        inner["raw_path"] = inner["path"].encode("utf-8", "surrogateescape")
    return inner


def _log(scope: Scope, status: int, seconds: float) -> None:
    # The route's own path, not the caller's: what a caller sends has no place in the log.
    path = getattr(scope.get("route"), "path", "(no such path)")
    key = scope.get("jewelry.key", "")
    by = f" by {key}" if key else ""
    level = logging.DEBUG if path in auth.OPEN_PATHS else logging.INFO
    logger.log(level, "%s %s %d %.0f ms%s", scope["method"], path, status, seconds * 1000, by)
