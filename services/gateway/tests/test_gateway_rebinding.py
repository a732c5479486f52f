"""Forbidden addresses through the front door, against listeners that must see no connection at all."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Sequence

import pytest
from _pytest.monkeypatch import MonkeyPatch

from gateway_service import fetch
from gateway_service.fetch import Fetcher
from servicekit import errors


class Trap:
    """Listeners on one port of every address that could be meant; counts connections, not requests."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0
        self._servers: list[asyncio.Server] = []

    async def open(self) -> None:
        self.port = (await self._listen("127.0.0.1", 0)).sockets[0].getsockname()[1]
        # Where the machine has no IPv6 loopback, nobody could reach it there.
        if socket.has_ipv6:
            with contextlib.suppress(OSError):
                await self._listen("::1", self.port)

    async def _listen(self, host: str, port: int) -> asyncio.Server:
        def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            writer.close()

        server = await asyncio.start_server(connected, host, port)
        self._servers.append(server)
        return server

    def close(self) -> None:
        for server in self._servers:
            server.close()


@pytest.fixture
async def trap(monkeypatch: MonkeyPatch) -> AsyncIterator[Trap]:
    # Were ports left closed, the port alone would be refused, which shows nothing about the host.
    monkeypatch.setattr(fetch, "_PUBLIC_PORTS", frozenset(range(65536)))
    opened = Trap()
    await opened.open()
    yield opened
    opened.close()


# What is not in the list of the fetcher's own tests, or matters most at the door.
SPELLINGS = [
    "http://127.0.0.1:{port}/a.jpg",
    "http://localhost:{port}/a.jpg",
    "http://LocalHost.:{port}/a.jpg",
    "http://ip6-localhost:{port}/a.jpg",
    "http://127.1:{port}/a.jpg",
    "http://127.0.1:{port}/a.jpg",
    "http://0:{port}/a.jpg",
    "http://0.0.0.0:{port}/a.jpg",
    "http://00.0x0.0:{port}/a.jpg",
    "http://2130706433:{port}/a.jpg",
    "http://0x7f000001:{port}/a.jpg",
    "http://0x7f.0x0.0x0.0x1:{port}/a.jpg",
    "http://017700000001:{port}/a.jpg",
    "http://0177.0.0.01:{port}/a.jpg",
    "http://127.0.0.1.:{port}/a.jpg",
    "http://127.127.127.127:{port}/a.jpg",
    "http://[::]:{port}/a.jpg",
    "http://[::1]:{port}/a.jpg",
    "http://[0000:0000:0000:0000:0000:0000:0000:0001]:{port}/a.jpg",
    "http://[::ffff:127.0.0.1]:{port}/a.jpg",
    "http://[::ffff:7f00:1]:{port}/a.jpg",
    "http://[::ffff:0:127.0.0.1]:{port}/a.jpg",
    "http://[::127.0.0.1]:{port}/a.jpg",
    "http://[64:ff9b::127.0.0.1]:{port}/a.jpg",
    "http://[2002:7f00:0001::]:{port}/a.jpg",
    "http://[::1%25lo]:{port}/a.jpg",
    "http://[fe80::1]:{port}/a.jpg",
    "http://[fc00::1]:{port}/a.jpg",
    "http://①②⑦.⓪.⓪.①:{port}/a.jpg",
    "http://127。0。0。1:{port}/a.jpg",
    "http://loc%61lhost:{port}/a.jpg",
    "http://127.0.0.1%00.public.example:{port}/a.jpg",
    "http://public.example@127.0.0.1:{port}/a.jpg",
    "http://public.example:80@127.0.0.1:{port}/a.jpg",
    "http://127.0.0.1:{port}@public.example@127.0.0.1:{port}/a.jpg",
    "http://127.0.0.1:{port}\\@public.example/a.jpg",
    "http://public.example\\.127.0.0.1:{port}/a.jpg",
    "HTTP://127.0.0.1:{port}/a.jpg",
    "http:\\\\127.0.0.1:{port}\\a.jpg",
    "http:/127.0.0.1:{port}/a.jpg",
    "//127.0.0.1:{port}/a.jpg",
    "http://10.0.0.1/a.jpg",
    "http://172.16.0.1/a.jpg",
    "http://192.168.0.1/a.jpg",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://100.100.100.200/latest/meta-data/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "ftp://127.0.0.1:{port}/a.jpg",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_GET",
]


def test_there_are_forty() -> None:
    assert len(set(SPELLINGS)) >= 40


@pytest.mark.parametrize("body", ["json", "data"])
async def test_no_spelling_gets_through_the_door(unserved, trap: Trap, body: str) -> None:
    http = await unserved.client()
    for spelling in SPELLINGS:
        answer = await http.post("/image-search", **{body: {"image_url": spelling.format(port=trap.port)}})
        assert answer.status_code == 422, (spelling, answer.text)
        assert answer.json()["code"] in ("IMAGE_URL_REFUSED", "IMAGE_URL_UNRESOLVED"), spelling
        assert "127.0.0.1" not in answer.json()["detail"]
    answer = await http.post(
        "/generate-images", json={"s3_urls": [f"http://127.0.0.1:{trap.port}/a.jpg"], "product_type": "ear"}
    )
    assert answer.status_code == 422
    assert trap.connections == 0


class Rebinding:
    """Says something harmless first, and the loopback to everybody who asks again."""

    def __init__(self, first: str) -> None:
        self._first = first
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return [self._first if self.asked == 1 else "127.0.0.1"]


@pytest.fixture
def two_is_public(monkeypatch: MonkeyPatch) -> None:
    """Takes 127.0.0.2 for an address of the internet: nothing listens there, and no test leaves the machine."""
    real = fetch.is_public
    public = ipaddress.ip_address("127.0.0.2")
    monkeypatch.setattr(fetch, "is_public", lambda address: address == public or real(address))


async def test_a_name_that_changes_after_the_check_is_not_asked_again(trap: Trap, two_is_public: None) -> None:
    resolve = Rebinding("127.0.0.2")
    with pytest.raises(errors.InvalidArgument) as refused:
        await Fetcher(resolve=resolve).fetch(f"http://rebind.example:{trap.port}/a.jpg")
    assert refused.value.reason == "IMAGE_URL_FAILED"
    assert resolve.asked == 1
    assert trap.connections == 0


async def test_a_redirect_to_a_name_that_has_changed_is_refused(trap: Trap, two_is_public: None) -> None:
    resolve = Rebinding("127.0.0.2")
    answer = b"HTTP/1.1 302 Found\r\nLocation: http://rebind.example:%d/b.jpg\r\nContent-Length: 0\r\n\r\n" % trap.port
    server = await asyncio.start_server(_answering(answer), "127.0.0.2", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(errors.InvalidArgument) as refused:
        await Fetcher(resolve=resolve).fetch(f"http://rebind.example:{port}/a.jpg")
    server.close()
    assert refused.value.reason == "IMAGE_URL_REFUSED"
    assert resolve.asked == 2
    assert trap.connections == 0


def _answering(answer: bytes):  # type: ignore[no-untyped-def]
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    return serve
