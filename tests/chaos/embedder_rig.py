"""Embedders as processes behind one name, as behind a headless Service: a small DNS server says which there are.

Each listens on an address of its own in 127.0.0.0/8 and on the same port, as pods do.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc
from jewelry.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from jewelry_local.topology import environment
from PIL import Image

from servicekit import ServiceSettings, client, errors

READY_SECONDS = 90.0
NAME = "embedding.test"
_FOREIGN = ("CLIP_", "HF_", "EMBED", "GRPC_", "METRICS_", "OTEL_")
_SERVED = re.compile(r'^jewelry_embedding_images_total\{[^}]*outcome="ok"[^}]*\} (\S+)$', re.MULTILINE)
_A, _IN = 1, 1


class Names(asyncio.DatagramProtocol):
    """A DNS server that knows one name and tells the addresses of today. Answers may not be kept (TTL 0)."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It listens."""
        # asyncio's own class of it is no DatagramTransport.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        """A question; those for other things than addresses get no answers (RFC 1035, 4.1)."""
        end = data.index(b"\0", 12) + 5
        question = data[12:end]
        (kind,) = struct.unpack("!H", question[-4:-2])
        records = [socket.inet_aton(one) for one in self.addresses] if kind == _A else []
        self.asked += kind == _A
        header = data[:2] + struct.pack("!HHHHH", 0x8580, 1, len(records), 0, 0)
        answers = b"".join(struct.pack("!HHHIH", 0xC00C, _A, _IN, 0, 4) + record for record in records)
        self._transport.sendto(header + question + answers, address)


@contextlib.asynccontextmanager
async def naming() -> AsyncIterator[tuple[Names, int]]:
    """The DNS server and its port."""
    transport, names = await asyncio.get_running_loop().create_datagram_endpoint(Names, ("127.0.0.1", 0))
    try:
        yield names, int(transport.get_extra_info("sockname")[1])
    finally:
        transport.close()


class Replica:
    """One embedder."""

    def __init__(self, name: str, host: str, port: int, folder: Path, connection_age: int) -> None:
        self.name, self.host, self._address = name, host, f"{host}:{port}"
        self._metrics = f"http://{host}:{port + 1}/metrics"
        clean = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
        self._log = folder / f"{name}.log"
        self._environment = {
            **environment(),
            **clean,
            "EMBED_ENGINE": "perceptual",
            "EMBEDDING_ADDR": self._address,
            "METRICS_HOST": host,
            "METRICS_PORT": str(port + 1),
            "GRPC_MAX_CONNECTION_AGE_SECONDS": str(connection_age),
            "DATA_DIR": str(folder),
            "OMP_NUM_THREADS": "1",
        }
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._last = 0.0

    def start(self) -> None:
        """Starts the process."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "embedding_service"],
                env=self._environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async def ready(self) -> None:
        """Waits until it says that it serves, as a readiness probe does."""
        deadline = time.monotonic() + READY_SECONDS
        async with grpc.aio.insecure_channel(self._address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            while time.monotonic() < deadline:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=2)
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return
                await asyncio.sleep(0.1)
        raise AssertionError(f"{self.name} is not ready:\n{self._log.read_text()[-2000:]}")

    def signal(self, number: signal.Signals) -> None:
        """SIGKILL or SIGTERM."""
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Waits until it has ended; its exit status."""
        assert self._process is not None
        return await asyncio.to_thread(self._process.wait, 60)

    def stop(self) -> None:
        """Kills what still runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    async def served(self, http: httpx.AsyncClient) -> float:
        """Pictures described since it was last asked; none where it is gone."""
        try:
            text = (await http.get(self._metrics)).text
        except httpx.TransportError:
            return 0.0
        total = sum(float(value) for value in _SERVED.findall(text))
        since, self._last = total - self._last, total
        return since


class Load:
    """Callers that ask one after the other, through the client that every service has."""

    def __init__(self, target: str, callers: int) -> None:
        self._target, self._callers = target, callers
        self.answered = 0
        self.failed: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Load]:
        """Asks for as long as the block runs."""
        descriptors = [embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"]]
        channel = client.connect(self._target, descriptors, ServiceSettings(_env_file=None))
        # The stubs are typed for synchronous and asynchronous channels alike.
        stub: Any = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        tasks = [asyncio.create_task(self._ask(stub, caller)) for caller in range(self._callers)]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await channel.close()

    async def _ask(self, stub: Any, caller: int) -> None:
        picture = embedding_pb2.EmbedImagesRequest(images=[_picture(caller)], lane=embedding_pb2.LANE_INTERACTIVE)
        while True:
            try:
                answer = await client.call(stub.EmbedImages, picture, timeout=20.0)
                assert len(answer.results) == 1
                self.answered += 1
            except errors.ServiceError as error:
                self.failed[f"{error.code} {error.reason}: {error.message}"] += 1
            # A pause, as callers have; without it they would take the cores from those who answer.
            await asyncio.sleep(0.02)


def _picture(seed: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (96, 96), (40 * seed % 256, 90, 160)).save(out, "JPEG")
    return out.getvalue()


def free_port(hosts: Sequence[str]) -> int:
    """A port that is free at every address, the next one too."""
    for _ in range(50):
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            first = held.enter_context(socket.create_server((hosts[0], 0)))
            port = int(first.getsockname()[1])
            for host in hosts:
                for one in (port, port + 1):
                    if (host, one) != (hosts[0], port):
                        held.enter_context(socket.create_server((host, one)))
            return port
    raise AssertionError("no port is free at every address")


@contextlib.contextmanager
def stopping(replicas: Sequence[Replica]) -> Iterator[None]:
    """Nothing is left behind."""
    try:
        yield
    finally:
        for replica in replicas:
            replica.stop()
