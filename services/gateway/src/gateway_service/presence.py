"""Work for a client that has left stops, unless it is kept for its return."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Jobs go on without the client that asked for them; streams watch their client themselves.
_JOBS = ("/catalog-ai", "/catalog_ai_variations", "/jobs")


class Presence:
    """Cancels a request whose client has gone, and with it every call that it has under way.

    Two kinds are finished all the same: jobs, and requests with an `Idempotency-Key`: a repetition finds the answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http" or _is_kept(scope):
            await self._app(scope, receive, send)
            return
        watch = _Watch(receive, send)
        try:
            await self._app(scope, watch.receive, watch.send)
        except asyncio.CancelledError:
            if not watch.left:
                raise
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
            raise ClientDisconnect from None
        finally:
            await watch.close()


class _Watch:
    """Passes a body on; when it has ended, waits for the client to leave."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._working = asyncio.current_task()
        self._waiting: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()
        self._answered = False
        self.left = False

    async def receive(self) -> Message:
        if self._waiting is not None:
            await self._gone.wait()
            return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._waiting = asyncio.create_task(self._wait())
        return message

    async def send(self, message: Message) -> None:
        # Servers say that the client has left when the answer is complete, too.
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._answered = True
        await self._send(message)

    async def close(self) -> None:
        self._answered = True
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.wait([self._waiting])

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone.set()
        if self._working is not None and not self._answered:
            self.left = True
            self._working.cancel()


def _is_kept(scope: Scope) -> bool:
    path: str = scope["path"]
    if scope["method"] in ("GET", "HEAD", "OPTIONS") or path.startswith(_JOBS):
        return True
    return "idempotency-key" in Headers(scope=scope)
