"""Replicas as processes of their own over one database: one paid call, also when the one that writes is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest
from jewelry.copywriter.v1 import copywriter_pb2 as pb
from jewelry.copywriter.v1 import copywriter_pb2_grpc

from copywriter_service.domain import Order
from servicekit import client, testing
from tests.emulators import Emulator

Replica = tuple[subprocess.Popen[bytes], grpc.aio.Channel]
DESCRIPTOR = pb.DESCRIPTOR.services_by_name["CopywriterService"]


@pytest.fixture
async def start(tmp_path: Path, emulator: Emulator) -> AsyncIterator[Callable[[], Replica]]:
    """Starts service processes over one SQLite file, with a lease of two seconds."""
    started: list[Replica] = []

    def begin() -> Replica:
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        environment = {
            "PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path), "COPYWRITER_ADDR": address, "OPENAI_API_KEY": "key",
            "OPENAI_BASE_URL": emulator.url, "COPY_LEASE_SECONDS": "2",
        }  # fmt: skip
        process = subprocess.Popen([sys.executable, "-m", "copywriter_service"], env=environment, cwd=tmp_path)
        started.append((process, client.connect(address, [DESCRIPTOR], testing.settings())))
        return started[-1]

    yield begin
    for process, channel in started:
        await channel.close()
        process.send_signal(signal.SIGTERM)
    codes = [await asyncio.to_thread(process.wait, 30) for process, _ in started]
    assert all(code in (0, -signal.SIGKILL) for code in codes)


async def ready(channel: grpc.aio.Channel) -> None:
    stub = copywriter_pb2_grpc.CopywriterServiceStub(channel)
    await stub.GetProviders(pb.GetProvidersRequest(), wait_for_ready=True, timeout=60)


async def ask(channel: grpc.aio.Channel, order: Order) -> pb.WriteCopyResponse:
    stub = copywriter_pb2_grpc.CopywriterServiceStub(channel)
    request = pb.WriteCopyRequest(sku=order.sku, marketplace_code=order.code, brand=order.brand)
    return await client.call(stub.WriteCopy, request, timeout=40)


async def test_kill_nine_of_the_one_that_writes(
    start: Callable[[], Replica], make_order: Callable[..., Order], emulator: Emulator
) -> None:
    replicas = [start() for _ in range(2)]
    await asyncio.gather(*(ready(channel) for _, channel in replicas))
    emulator.fault("hang", seconds=30, operation="responses")
    order = make_order()
    doomed = asyncio.create_task(ask(replicas[0][1], order))
    async with asyncio.timeout(30):
        # The provider has taken the first request when it has used up the fault.
        while emulator.control.faults:
            await asyncio.sleep(0.02)
    others = [asyncio.create_task(ask(channel, order)) for _, channel in replicas[1:] for _ in range(25)]
    done, _ = await asyncio.wait(others, timeout=3.0)
    assert not done, "the living holder renews its lease of two seconds"
    replicas[0][0].send_signal(signal.SIGKILL)
    answers = await asyncio.gather(*others)
    await asyncio.gather(doomed, return_exceptions=True)
    # Nobody is stuck, everybody has the same text, and beside the killed replica's request one more was paid for.
    assert len({answer.copy.description for answer in answers}) == 1
    assert emulator.count("responses", status=200) == 1
