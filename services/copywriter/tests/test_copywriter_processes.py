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

REPLICAS, THREADS, LEASE_SECONDS = 4, 50, 3
# The quick tests take the file only.
DATABASES = ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)]
# Nobody waits longer, whatever happens; processes may take longer to start on a busy machine.
STUCK_SECONDS = 60
START_SECONDS = 110

# Starts a service process for each address. Code and rules are read once: a child begins where an import would end,
# and before that nothing of a service runs. Children are waited for when the test has closed the parent's input, so
# that their numbers stay theirs; it ends with the number of those that ended badly.
SERVE = """
import os, signal, sys
import marketplaces
import openai
from copywriter_service import __main__ as service, rulebook

client = openai.AsyncOpenAI(api_key="none")
client.responses, client.chat.completions, client.images, client.models
for code in marketplaces.CODES:
    rulebook.rules_for(code, "en-IN")
children = []
for address in sys.argv[1:]:
    os.environ["COPYWRITER_ADDR"] = address
    child = os.fork()
    if not child:
        service.main()
        os._exit(0)
    children.append(child)
print(*children, flush=True)
sys.stdin.read()
ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
sys.exit(sum(end not in (0, -signal.SIGKILL) for end in ends))
"""


@dataclass
class Replica:
    """A service process, and a channel to it for any number of threads."""

    pid: int
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
async def replicas(database_url: str | None, tmp_path: Path, emulator: Emulator) -> AsyncIterator[list[Replica]]:
    """Service processes over one database."""
    frees = [socket.create_server(("127.0.0.1", 0)) for _ in range(REPLICAS)]
    addresses = [f"127.0.0.1:{free.getsockname()[1]}" for free in frees]
    for free in frees:
        free.close()
    environment = {
        "PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path), "OPENAI_API_KEY": "key", "OPENAI_BASE_URL": emulator.url,
        "COPY_LEASE_SECONDS": str(LEASE_SECONDS), **({"DATABASE_URL": database_url} if database_url else {}),
    }  # fmt: skip
    # As the services' own clients do it: a replica gets calls when its health says so.
    config = json.dumps(client.service_config([pb.DESCRIPTOR.services_by_name["CopywriterService"]]))
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, *addresses], env=environment, cwd=tmp_path, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        pids = (await asyncio.to_thread(process.stdout.readline)).split()
        assert len(pids) == REPLICAS
        started = [
            Replica(int(pid), grpc.insecure_channel(address, [("grpc.service_config", config)]))
            for pid, address in zip(pids, addresses, strict=True)
        ]
        try:
            yield started
        finally:
            for replica in started:
                replica.channel.close()
                os.kill(replica.pid, signal.SIGTERM)
            process.stdin.close()
            try:
                failed = await asyncio.to_thread(process.wait, 30)
            except subprocess.TimeoutExpired:
                for replica in started:
                    os.kill(replica.pid, signal.SIGKILL)
                raise
    assert failed == 0


@pytest.mark.timeout(300)
@pytest.mark.parametrize("database_url", DATABASES, indirect=True)
async def test_kill_nine_of_the_one_that_writes(
    replicas: list[Replica], make_order: Callable[..., Order], emulator: Emulator, tmp_path: Path
) -> None:
    doomed, *living = replicas
    loop, order = asyncio.get_running_loop(), make_order(sku=f"SKU-{tmp_path.name}")
    with ThreadPoolExecutor(REPLICAS * THREADS) as pool:

        def ask(replica: Replica) -> asyncio.Future[pb.WriteCopyResponse]:
            return loop.run_in_executor(pool, replica.write, order)

        await asyncio.gather(*(loop.run_in_executor(pool, replica.wait_ready) for replica in replicas))
        emulator.fault("hang", seconds=40, operation="responses")
        holder = ask(doomed)
        async with asyncio.timeout(30):
            # The provider has taken the first request when it has used up the fault.
            while emulator.control.faults:
                await asyncio.sleep(0.02)
        beside = [ask(doomed) for _ in range(THREADS - 1)]
        others = [ask(replica) for replica in living for _ in range(THREADS)]
        done, _ = await asyncio.wait([holder, *beside, *others], timeout=LEASE_SECONDS * 0.5)
        assert not done, "everybody waits for the one that writes"
        os.kill(doomed.pid, signal.SIGKILL)
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
    assert sum(answer.cost.calls for answer in answers if not answer.cached) <= THREADS
