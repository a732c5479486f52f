"""What happens to every request, whatever its path: ids, headers, keys, one line in the log."""

from __future__ import annotations

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

SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


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
                for name, value in SECURITY_HEADERS.items():
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
