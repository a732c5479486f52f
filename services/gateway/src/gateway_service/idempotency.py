"""POST and PATCH made safe to repeat: the same Idempotency-Key with the same body gets the first answer again."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway_service import problems
from gateway_service.adapters.answers import LEASE_SECONDS, Answers, Claim
from servicekit import errors

KEY = "idempotency-key"
SCOPE_KEY = "jewelry.idempotency"
"""Where a route finds what names the request; empty without a key."""
_VALID = re.compile(r"[\x21-\x7e]{1,255}")
# Paths whose work is a job: a repetition meets the job itself, and waits for it as the first request does.
_JOBS = ("/catalog-ai", "/catalog_ai_variations")
# Answers that say try again: the next request is a new one.
_PASSING = frozenset({401, 403, 408, 409, 425, 429})
_HEADERS = frozenset({"content-type", "location", "preference-applied", "content-disposition", "retry-after"})
_MOST_KEPT = 32 * 1024 * 1024


class Idempotency:
    """Keeps the answers of requests with a key for a day, apart for each API key."""

    def __init__(self, app: ASGIApp, answers: Answers) -> None:
        self._app = app
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http" or scope["method"] not in ("POST", "PATCH"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if KEY not in headers:
            await self._app(scope, receive, send)
            return
        key = headers[KEY]
        if not _VALID.fullmatch(key):
            sentence = "Idempotency-Key is 1 to 255 printable characters without blanks"
            await problems.problem(400, "IDEMPOTENCY_KEY_INVALID", sentence)(scope, receive, send)
            return
        try:
            await self._serve(scope, receive, send, key)
        except problems.HttpProblem as problem:
            await problems.from_http_exception(problem)(scope, receive, send)
        except errors.ServiceError as error:
            await problems.from_service_error(error)(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, key: str) -> None:
        body = await _whole(receive)
        name = _digest(
            scope.get("jewelry.key", "").encode(), scope["method"].encode(), scope["path"].encode(), key.encode()
        )
        claim = await self._answers.claim(name, _digest(scope.get("query_string", b""), body))
        if claim.state == "other":
            sentence = "this Idempotency-Key was used with another body; take a new key for a new request"
            await problems.problem(409, "IDEMPOTENCY_KEY_REUSED", sentence)(scope, receive, send)
            return
        if claim.state == "done":
            await _replay(claim, send)
            return
        scope[SCOPE_KEY] = _digest(name.encode(), claim.since.encode())
        again = _Again(body, receive)
        if claim.state == "new":
            await self._first(scope, again.receive, send, name)
        elif scope["path"].startswith(_JOBS):
            await self._app(scope, again.receive, send)
        else:
            sentence = "the first request with this Idempotency-Key is still worked on; ask again shortly"
            refusal = problems.problem(409, "IDEMPOTENCY_IN_FLIGHT", sentence, retry_after=1.0)
            await refusal(scope, receive, send)

    async def _first(self, scope: Scope, receive: Receive, send: Send, name: str) -> None:
        recorder = _Recorder(self._answers, name, send)
        lease = asyncio.create_task(self._renew(name))
        try:
            await self._app(scope, receive, recorder.send)
        finally:
            lease.cancel()
            if not recorder.kept:
                with contextlib.suppress(errors.ServiceError):
                    await self._answers.release(name)

    async def _renew(self, name: str) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            with contextlib.suppress(errors.ServiceError):
                await self._answers.renew(name)


class _Again:
    """Gives a body that was read once more, then what the connection says."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def receive(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


class _Recorder:
    """Sends an answer on and keeps it; kept before its last part leaves, so that a repetition always finds it."""

    def __init__(self, answers: Answers, name: str, send: Send) -> None:
        self._answers = answers
        self._name = name
        self._send = send
        self._status = 0
        self._headers: list[tuple[str, str]] = []
        self._content = bytearray()
        self.kept = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = [
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in message.get("headers", ())
                if name.decode("latin-1").lower() in _HEADERS
            ]
        elif message["type"] == "http.response.body" and self._is_worth():
            self._content += message.get("body", b"")
            if not message.get("more_body", False) and self._is_worth():
                with contextlib.suppress(errors.ServiceError):
                    await self._answers.store(self._name, self._status, self._headers, bytes(self._content))
                    self.kept = True
        await self._send(message)

    def _is_worth(self) -> bool:
        return self._status < 500 and self._status not in _PASSING and len(self._content) <= _MOST_KEPT


async def _whole(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


async def _replay(claim: Claim, send: Send) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in claim.headers]
    headers += [(b"content-length", str(len(claim.content)).encode()), (b"idempotency-replayed", b"true")]
    await send({"type": "http.response.start", "status": claim.status, "headers": headers})
    await send({"type": "http.response.body", "body": claim.content})


def _digest(*parts: bytes) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()
