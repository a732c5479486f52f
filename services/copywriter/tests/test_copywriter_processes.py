"""Replicas as processes of their own over one database: one paid call, also when the one that writes is killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from jewelry.copywriter.v1 import copywriter_pb2 as pb
from jewelry.copywriter.v1 import copywriter_pb2_grpc

from copywriter_service.domain import Order
from servicekit import client
from tests.emulators import Emulator

# Nobody waits longer, whatever happens; processes may take longer to start on a busy machine.
STUCK_SECONDS = 60
START_SECONDS = 110


@dataclass
class Replica:
    """A service process, and a channel to it for any number of threads."""

    process: subprocess.Popen[bytes]
    channel: grpc.Channel

    def write(self, order: Order) -> pb.WriteCopyResponse:
        """Asks on the calling thread.

        Raises:
            grpc.RpcError: With the code UNAVAILABLE when the process is gone.
        """
        request = pb.WriteCopyRequest(sku=order.sku, marketplace_code=order.code, brand=order.brand)
        answer: pb.WriteCopyResponse = copywriter_pb2_grpc.CopywriterServiceStub(self.channel).WriteCopy(
            request, timeout=STUCK_SECONDS
        )
        return answer

    def wait_ready(self) -> None:
        """Returns when it answers."""
        stub = copywriter_pb2_grpc.CopywriterServiceStub(self.channel)
        stub.GetProviders(pb.GetProvidersRequest(), wait_for_ready=True, timeout=START_SECONDS)


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
        # As the services' own clients do it: a replica gets calls when its health says so.
        config = json.dumps(client.service_config([pb.DESCRIPTOR.services_by_name["CopywriterService"]]))
        started.append(Replica(process, grpc.insecure_channel(address, [("grpc.service_config", config)])))
        return started[-1]

    yield begin
    for replica in started:
        replica.channel.close()
        replica.process.send_signal(signal.SIGTERM)
    codes = [await asyncio.to_thread(ended, replica.process) for replica in started]
    assert all(code in (0, -signal.SIGKILL) for code in codes)


def ended(process: subprocess.Popen[bytes]) -> int | None:
    """Exit status; None for a process that does not end, which is then killed."""
    try:
        return process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("replicas", "threads"), [(2, 25), pytest.param(4, 50, marks=pytest.mark.slow)])
async def test_kill_nine_of_the_one_that_writes(
    replicas: int, threads: int, start: Callable[[], Replica], make_order: Callable[..., Order], emulator: Emulator
) -> None:
    doomed, *living = [start() for _ in range(replicas)]
    loop, order = asyncio.get_running_loop(), make_order()
    with ThreadPoolExecutor(replicas * threads + 1) as pool:

        def ask(replica: Replica) -> asyncio.Future[pb.WriteCopyResponse]:
            return loop.run_in_executor(pool, replica.write, order)

        await asyncio.gather(*(loop.run_in_executor(pool, replica.wait_ready) for replica in (doomed, *living)))
        emulator.fault("hang", seconds=40, operation="responses")
        holder = ask(doomed)
        async with asyncio.timeout(30):
            # The provider has taken the first request when it has used up the fault.
            while emulator.control.faults:
                await asyncio.sleep(0.02)
        beside = [ask(doomed) for _ in range(threads - 1)]
        others = [ask(replica) for replica in living for _ in range(threads)]
        done, _ = await asyncio.wait([holder, *beside, *others], timeout=3.0)
        assert not done, "the living holder renews its lease of two seconds"
        doomed.process.send_signal(signal.SIGKILL)
        async with asyncio.timeout(STUCK_SECONDS):
            answers = await asyncio.gather(*others)
            lost = await asyncio.gather(holder, *beside, return_exceptions=True)
        # Those of the killed process are told at once, and find the text where they ask next.
        assert all(isinstance(error, grpc.RpcError) for error in lost)
        assert {error.code() for error in lost} == {grpc.StatusCode.UNAVAILABLE}  # type: ignore[union-attr]
        again = await asyncio.gather(*(ask(living[0]) for _ in lost))
    assert len({answer.copy.description for answer in [*answers, *again]}) == 1
    assert all(answer.cached for answer in again)
    # Beside the killed process's request, one more was paid for.
    assert emulator.count("responses", status=200) == 1
    assert emulator.count("responses") <= 2
