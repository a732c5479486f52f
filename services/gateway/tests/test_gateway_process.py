"""The process itself: what it refuses, how it starts without its services, how it stops."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def process(folder: Path, **variables: str) -> AsyncIterator[asyncio.subprocess.Process]:
    kept = {
        name: os.environ[name]
        for name in ("PATH", "HOME", "PYTHONPATH", "COVERAGE_PROCESS_START")
        if name in os.environ
    }
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway_service"),
        cwd=folder,
        env={**kept, "DATA_DIR": str(folder), **variables},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


async def test_it_does_not_listen_for_others_without_keys(tmp_path) -> None:
    async with process(tmp_path, GATEWAY_ADDR="0.0.0.0:8000") as gateway:
        _, said = await asyncio.wait_for(gateway.communicate(), 30)
    assert gateway.returncode == 1
    assert b"GATEWAY_API_KEYS" in said
    assert b"Traceback" not in said


async def test_it_starts_alone_recovers_and_stops_cleanly(system, tmp_path, jpeg) -> None:
    """Services are down when it starts, come up later, and a request in flight is finished after SIGTERM."""
    from servicekit.server import RunningServer
    from servicekit.testing import settings

    port, index_port = free_port(), free_port()
    base = f"http://127.0.0.1:{port}"
    gone = {f"{name}_ADDR": "127.0.0.1:1" for name in ("EMBEDDING", "ANALYZER", "COPYWRITER", "EXPORTER", "SEMANTIC")}
    variables = {"GATEWAY_ADDR": f"127.0.0.1:{port}", "VISION_INDEX_ADDR": f"127.0.0.1:{index_port}", **gone}
    async with process(tmp_path, **variables) as gateway, httpx.AsyncClient(base_url=base, timeout=20) as http:
        await _until_alive(http)
        answer = await http.get("/readyz")
        assert answer.status_code == 503
        assert {service["status"] for service in answer.json()["services"].values()} == {"down"}
        answer = await http.post("/image-search", files={"file": ("a.jpg", jpeg)})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")

        index = RunningServer(system["vision-index"].service, settings(), f"127.0.0.1:{index_port}")
        await index.start()
        await index.become_ready()
        async with asyncio.timeout(20):
            while (await http.post("/image-search", files={"file": ("a.jpg", jpeg)})).status_code != 200:
                await asyncio.sleep(0.1)

        go, arrived = asyncio.Event(), asyncio.Event()
        reply = system["vision-index"].script["Search"]

        async def held(_: object) -> object:
            arrived.set()
            await go.wait()
            return reply

        system["vision-index"].script["Search"] = held
        last = asyncio.create_task(http.post("/image-search", files={"file": ("a.jpg", jpeg)}))
        await asyncio.wait_for(arrived.wait(), 10)
        gateway.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            while await _connects(port):
                await asyncio.sleep(0.05)
        go.set()
        assert (await last).status_code == 200
        # Reads on while it waits: what it says must not fill the pipe.
        _, said = await asyncio.wait_for(gateway.communicate(), 30)
        assert gateway.returncode == 0
        await index.stop(1)
    assert b"Traceback" not in said, said.decode()
    assert b"cannot schedule" not in said


async def test_it_stops_cleanly_whenever_it_is_told_to(tmp_path) -> None:
    """Also while it looks after jobs, which it does first when it has just started."""
    gone = {
        f"{name}_ADDR": "127.0.0.1:1"
        for name in ("EMBEDDING", "VISION_INDEX", "ANALYZER", "COPYWRITER", "EXPORTER", "SEMANTIC")
    }
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    variables = {"GATEWAY_ADDR": f"127.0.0.1:{port}", "JOBS_POLL_SECONDS": "0.01", **gone}
    async with process(tmp_path, **variables) as gateway, httpx.AsyncClient(base_url=base, timeout=20) as http:
        await _until_alive(http)
        gateway.send_signal(signal.SIGTERM)
        _, said = await asyncio.wait_for(gateway.communicate(), 30)
    assert gateway.returncode == 0
    assert b"Traceback" not in said, said.decode()
    assert b"cannot schedule" not in said


async def _until_alive(http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                if (await http.get("/healthz")).status_code == 200:
                    return
            except httpx.ConnectError:
                await asyncio.sleep(0.1)


async def _connects(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
