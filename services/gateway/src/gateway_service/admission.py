"""How much one request, and all of them together, may take: bodies, memory, work at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway_service import auth, problems

# Everything but the file itself: boundaries, part headers, the other fields.
MULTIPART_OVERHEAD = 128 * 1024
# A refused sender is listened to for this long, so that it gets to read the refusal.
LINGER_SECONDS = 5.0
LINGER_BYTES = 64 * 1024 * 1024
# From so many bytes on a body is one that comes, and it should be complete so soon after.
_ARRIVAL_BYTES = 16 * 1024
_ARRIVAL_SECONDS = 2.0
BUSY = "too many requests at once; try again shortly"
# Types that are taken as the file itself.
_FILES = ("image/", "application/octet-stream", "application/pdf", "application/vnd.")
_WITHOUT_BODY = ("GET", "HEAD", "OPTIONS")


class Limits:
    """Refuses early what there is no room for.

    A request takes one of the places for work when its body is there, or comes quickly: senders that are slow keep
    nobody from work, and are bounded by their own deadline and by the memory of all bodies.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        room: Room,
        json_bytes: int,
        upload_bytes: int,
        seconds: float,
    ) -> None:
        self._app = app
        self._json_bytes = json_bytes
        self._upload_bytes = upload_bytes
        self._seconds = seconds
        self._room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http" or scope["path"] in auth.OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        body = _Body(scope, receive, self._limit(scope), self._seconds, self._room)
        sender = _Lingering(body, send)
        try:
            body.admit()
        except problems.HttpProblem as refusal:
            body.leave()
            await problems.from_http_exception(refusal)(scope, body.receive, sender.send)
            return
        try:
            await self._app(scope, body.receive, sender.send)
        finally:
            body.leave()

    def _limit(self, scope: Scope) -> int:
        kind = Headers(scope=scope).get("content-type", "").lower()
        if kind.startswith("multipart/"):
            return self._upload_bytes + MULTIPART_OVERHEAD
        return self._upload_bytes if kind.startswith(_FILES) else self._json_bytes


class Room:
    """Places for work, and bytes of bodies that are held in memory.

    A body that comes quickly has its place from its beginning on, so that whoever comes when all are given away can be
    refused by the head of the request alone. One that does not end soon gives it back: see `Arrival`.
    """

    def __init__(self, places: int, most_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._places = places
        self._most_bytes = most_bytes
        self._clock = clock
        self._taken = 0
        self._held = 0
        # When each began, in that order.
        self._arriving: dict[Arrival, float] = {}

    @property
    def full(self) -> bool:
        """Whether whoever comes now is refused."""
        overdue = self._clock() - _ARRIVAL_SECONDS
        while self._arriving and self._arriving[first := next(iter(self._arriving))] < overdue:
            del self._arriving[first]
        return self._taken + len(self._arriving) >= self._places or self._held >= self._most_bytes

    def check(self) -> None:
        self._refuse_beyond(not self.full)

    def take(self, arrival: Arrival | None) -> None:
        # Places of others that arrive do not count: who is complete goes first.
        self._refuse_beyond(self._taken < self._places)
        self.forget(arrival)
        self._taken += 1

    def expect(self, arrival: Arrival) -> None:
        if not self.full:
            self._arriving[arrival] = self._clock()

    def forget(self, arrival: Arrival | None) -> None:
        if arrival is not None:
            self._arriving.pop(arrival, None)

    def hold(self, size: int) -> None:
        self._refuse_beyond(self._held < self._most_bytes)
        self._held += size

    def give_back(self, places: int, size: int) -> None:
        self._taken -= places
        self._held -= size

    def _refuse_beyond(self, fits: bool) -> None:
        if not fits:
            raise problems.HttpProblem(503, "OVERLOADED", BUSY, retry_after=1.0)


class Arrival:
    """A body that is on its way, as the server sees it: it is in the scope as `jewelry.arrival`.

    It has a place as soon as much of it came, or all, and for so long only as such a body takes that does come: to
    announce much and send little keeps nobody out.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self._size = 0
        self._counted = False

    def add(self, size: int) -> None:
        """So many bytes more came."""
        self._size += size
        if self._size >= _ARRIVAL_BYTES:
            self.count()

    def count(self) -> None:
        """It is large enough to have a place, or complete."""
        if not self._counted:
            self._counted = True
            self._room.expect(self)


class _Body:
    """A request's body, counted while it arrives, and the place that the request has."""

    def __init__(self, scope: Scope, receive: Receive, limit: int, seconds: float, room: Room) -> None:
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        self.announced = int(length) if length.isascii() and length.isdecimal() else None
        self.limit = limit
        # No length and no transfer coding: there is no body (RFC 9112, section 6.3).
        self.ended = self.announced == 0 or (self.announced is None and "transfer-encoding" not in headers)
        self.waits_for_continue = headers.get("expect", "").lower() == "100-continue"
        self._works_at_once = self.ended or scope["method"] in _WITHOUT_BODY
        self._receive = receive
        self._room = room
        self._arrival: Arrival | None = scope.get("jewelry.arrival")
        self._read = 0
        self._held = 0
        self._places = 0
        self._seconds = seconds
        self._deadline: float | None = None

    def admit(self) -> None:
        """Lets the request in, or raises why not, before anything of its body was read."""
        if self.announced is not None and self.announced > self.limit:
            raise self.too_large()
        if self._works_at_once:
            self._take()
        elif self._arrival is None:
            self._room.check()  # otherwise the server has looked, when the head was there

    def leave(self) -> None:
        self._room.forget(self._arrival)
        self._room.give_back(self._places, self._held)
        self._places = self._held = 0

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
        if size := len(message.get("body", b"")):
            self._room.hold(size)
            self._held += size
        if message["type"] == "http.request" and self.ended and not self._places:
            self._take()
        return message

    async def raw(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            self.ended = not message.get("more_body", False)
        else:
            self.ended = True
        return message

    def _take(self) -> None:
        self._room.take(self._arrival)
        self._places = 1


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
        left = LINGER_BYTES
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while not self._body.ended and left > 0:
                    left -= len((await self._body.raw()).get("body", b""))
        except TimeoutError:
            return
