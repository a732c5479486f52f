"""The health check of an image, run as the image runs it."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

from grpc_health.v1 import health_pb2

from servicekit import Service, testing
from servicekit.server import RunningServer


async def probe(folder: Path, *arguments: str) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "servicekit.probe", *arguments, cwd=folder, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait()


async def test_it_tells_serving_from_starting_and_from_gone(tmp_path: Path) -> None:
    service = Service(register=lambda server: None, descriptors=[health_pb2.DESCRIPTOR.services_by_name["Health"]])
    server = RunningServer(service, testing.settings(), "127.0.0.1:0")
    await server.start()
    address = f"127.0.0.1:{server.port}"
    try:
        assert await probe(tmp_path, address) == 1
        await server.become_ready()
        assert await probe(tmp_path, address) == 0
    finally:
        await server.stop(0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        gone = f"127.0.0.1:{taken.getsockname()[1]}"
    assert await probe(tmp_path, gone) == 1
    assert await probe(tmp_path) == 2
