"""A small HTTP client for load: little work per request, so that the server is what is measured."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """Seconds and status of each request, in the order of their ends; status 0: no complete answer."""

    seconds: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    wall: float = 0.0

    def at(self, share: float, *, status: int | None = None) -> float:
        """Quantile of the seconds, of all requests or of those with a status; NaN where there are none."""
        chosen = sorted(
            one for one, got in zip(self.seconds, self.statuses, strict=True) if status is None or got == status
        )
        return chosen[min(len(chosen) - 1, int(share * len(chosen)))] if chosen else float("nan")

    def count(self, status: int) -> int:
        """Answers with a status."""
        return self.statuses.count(status)


class Connection:
    """A keep-alive connection; opened again where the server closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes) -> int:
        """Sends a request; returns the status when the whole answer is here."""
        if self._writer is None or self._writer.is_closing():
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        assert self._reader is not None
        self._writer.write(request)
        await self._writer.drain()
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = 0
        closes = False
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
            closes = closes or (line.startswith(b"connection:") and b"close" in line)
        await self._reader.readexactly(length)
        if closes:
            self.close()
        return int(head[9:12])

    def close(self) -> None:
        """Closes it."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


async def load(port: int, request: bytes, *, count: int, at_once: int) -> Outcome:
    """Sends a request many times over a few connections."""
    outcome = Outcome()
    left = count

    async def worker() -> None:
        nonlocal left
        connection = Connection(port)
        while left > 0:
            left -= 1
            await timed(outcome, lambda: connection.ask(request))
        connection.close()

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    outcome.wall = time.perf_counter() - started
    return outcome


async def timed(outcome: Outcome, ask: Callable[[], Awaitable[int]]) -> None:
    """Adds the time and the status of one request."""
    started = time.perf_counter()
    try:
        status = await ask()
    except (OSError, asyncio.IncompleteReadError):
        status = 0
    outcome.seconds.append(time.perf_counter() - started)
    outcome.statuses.append(status)


def raw(path: str, content: bytes, kind: str = "image/jpeg") -> bytes:
    """A request whose body is the file itself."""
    return _request(path, content, kind)


def multipart(path: str, content: bytes) -> bytes:
    """A request with the file in a form."""
    disposition = b'Content-Disposition: form-data; name="file"; filename="a.jpg"'
    head = b"--frontier\r\n" + disposition + b"\r\nContent-Type: image/jpeg\r\n\r\n"
    return _request(path, head + content + b"\r\n--frontier--\r\n", "multipart/form-data; boundary=frontier")


def _request(path: str, body: bytes, kind: str) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class SlowClients:
    """Connections that send a byte each second, in their head or in their body, and come back when they are cut off."""

    def __init__(self, port: int, count: int) -> None:
        self._port = port
        self._count = count
        self._tasks: Sequence[asyncio.Task[None]] = ()
        self.cut_off = 0

    async def __aenter__(self) -> SlowClients:
        """Opens them all."""
        self._tasks = [asyncio.create_task(self._one(number)) for number in range(self._count)]
        await asyncio.sleep(2.0)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _one(self, number: int) -> None:
        slow_head = b"POST /image-search HTTP/1.1\r\nHost: x\r\nX-Slow: "
        slow_body = (
            b"POST /image-search HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: 99999\r\n\r\n"
        )
        await asyncio.sleep(number / self._count)
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            closed = asyncio.create_task(reader.read())
            try:
                writer.write(slow_head if number % 2 else slow_body)
                while not closed.done():
                    writer.write(b"x")
                    await asyncio.sleep(1.0)
                self.cut_off += 1
            finally:
                closed.cancel()
                writer.close()
