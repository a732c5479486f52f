"""The REST API for screens, which are synchronous: calls run on one event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import urlsplit

import httpx
from jewelry_client import ApiError, Client, ConnectionFailed, JewelryError

from studio_service.problems import Problem, from_api, from_connection

T = TypeVar("T")

# Seconds: what only reads, and what works on pictures or asks a model.
READ_SECONDS = 20.0
WORK_SECONDS = 150.0
# A workbook with every product, or a picture; bytes. More is not kept in memory for a screen.
MAX_DOWNLOAD = 64 * 1024 * 1024


class Api:
    """Calls the gateway; made once per process.

    Args:
        url: The gateway's address.
        key: Its key; None where it wants none.
        transport: Who answers in place of the network, in tests.
    """

    def __init__(self, url: str, key: str | None = None, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="studio-api", daemon=True)
        self._thread.start()
        self._client = Client(self.url, key, timeout=WORK_SECONDS, transport=transport)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._files = httpx.AsyncClient(base_url=self.url, headers=headers, timeout=READ_SECONDS, transport=transport)

    def ask(self, call: Callable[[Client], Awaitable[T]], seconds: float = WORK_SECONDS) -> T:
        """What a method of the client gives: `api.ask(lambda client: client.caption(picture))`.

        Args:
            call: Gets the client.
            seconds: Longest wait.

        Raises:
            Problem: The gateway refused, failed, cannot be reached, or took too long.
        """

        async def bounded() -> T:
            async with asyncio.timeout(seconds):
                return await call(self._client)

        return self._run(bounded())

    def read(self, call: Callable[[Client], Awaitable[T]]) -> T:
        """The same for what only reads and answers at once."""
        return self.ask(call, READ_SECONDS)

    def file(self, url: str) -> bytes:
        """The bytes at an address that the gateway gave out.

        What lies in the embedded store is asked of the gateway, whatever name its public address has; anything else
        is fetched without the key.

        Raises:
            Problem: It is not there, or larger than MAX_DOWNLOAD.
        """
        return self._run(self._fetch(url))

    @staticmethod
    def problem(error: JewelryError) -> Problem:
        """What a screen says about an error of the client."""
        return from_api(error) if isinstance(error, ApiError) else from_connection(error)

    def close(self) -> None:
        """Ends the connections and the thread."""

        async def end() -> None:
            await self._client.close()
            await self._files.aclose()

        self._run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()

    async def _fetch(self, url: str) -> bytes:
        path = own_path(url)
        try:
            async with asyncio.timeout(READ_SECONDS):
                if path:
                    return await _content(self._files, path)
                async with httpx.AsyncClient(timeout=READ_SECONDS) as plain:
                    return await _content(plain, url)
        except httpx.TransportError as error:
            raise ConnectionFailed(f"{urlsplit(url).hostname} does not answer") from error

    def _run(self, work: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await work

        future = asyncio.run_coroutine_threadsafe(awaited(), self._loop)
        try:
            return future.result()
        except JewelryError as error:
            raise self.problem(error) from error
        except (TimeoutError, concurrent.futures.TimeoutError) as error:
            raise Problem("The gateway has not answered in time.", kind="slow") from error


def own_path(url: str) -> str:
    """The path of an object of the embedded store; empty for an address elsewhere."""
    parts = urlsplit(url)
    return parts.path if parts.path.startswith("/files/") and ".." not in parts.path else ""


async def _content(client: httpx.AsyncClient, url: str) -> bytes:
    async with client.stream("GET", url) as response:
        if response.is_error:
            raise Problem("The file is not there any more, or may not be read.", code=f"HTTP_{response.status_code}")
        found = bytearray()
        async for chunk in response.aiter_bytes():
            found += chunk
            if len(found) > MAX_DOWNLOAD:
                raise Problem("The file is too large to be shown; download it by its address.")
        return bytes(found)
