"""The service under load: in this process beside its bare engine, and as a process of its own over gRPC."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from jewelry.embedding.v1 import embedding_pb2 as pb
from jewelry.embedding.v1 import embedding_pb2_grpc
from pictures import files

from embedding_service.__main__ import limits
from embedding_service.embedder import Embedder
from embedding_service.engine import Engine
from embedding_service.queues import Lane
from embedding_service.selection import load_engine
from embedding_service.settings import Settings, cpus
from servicekit import ServiceSettings, client, errors

DESCRIPTORS = [pb.DESCRIPTOR.services_by_name["EmbeddingService"]]
CLIENTS = (1, 8, 64)
# Single pictures that a p99 is taken of, and the longest that they are waited for.
SINGLES = 100
LONGEST = 60.0
# Passes aimed at, in milliseconds: while a person is near, and while none is.
TIERS = (100, 600)
READY = "bare engine, pixels ready"
FIRST = "bare engine, decoding first"
# Pictures in a pass of the bare engine.
_WHOLE = 8
_ROUNDS = 6


@dataclasses.dataclass
class Load:
    """What a group of clients saw, and the CPU seconds that it took: theirs, and those of the service's process."""

    process: int | None = None
    seconds: float = 0.0
    sending: float = 0.0
    serving: float = 0.0
    latencies: list[float] = dataclasses.field(default_factory=list)
    refusals: list[float] = dataclasses.field(default_factory=list)

    def begin(self) -> None:
        """Counts from here on."""
        self.latencies, self.refusals = [], []
        self.seconds, self.sending, self.serving = (-now for now in self._now())

    def end(self) -> Load:
        """What was counted until here."""
        now = self._now()
        return Load(
            self.process,
            *(before + after for before, after in zip((self.seconds, self.sending, self.serving), now, strict=True)),
            [*self.latencies],
            [*self.refusals],
        )

    def _now(self) -> tuple[float, float, float]:
        return time.perf_counter(), time.process_time(), 0.0 if self.process is None else used(self.process)

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    @property
    def rate_per_cpu(self) -> float:
        """Pictures for each CPU second of the service."""
        return len(self.latencies) / max(self.serving, 0.01)

    @property
    def rate_per_cpu_left(self) -> float:
        """Pictures for each second of a CPU that the senders left to the service."""
        return self.rate / max(cpus() - self.sending / self.seconds, 0.01)

    def quantile(self, share: float) -> float:
        """Milliseconds."""
        return quantile(self.latencies, share)


def quantile(values: list[float], share: float) -> float:
    """Seconds in, milliseconds out."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] * 1000 if values else 0.0


# ---- in this process


async def batcher(model: Path, engine: str, seconds: float) -> None:
    """The whole service but gRPC beside its bare engine: same process, same type, same pictures, taking turns."""
    choice = {"embed_engine": engine, "clip_model": str(model)}
    tiers = {f"service, passes of {ms} ms": Settings(_env_file=None, embed_batch_quiet_ms=ms, **choice) for ms in TIERS}  # type: ignore[arg-type]
    bare = load_engine(next(iter(tiers.values())))
    embedders = {
        name: Embedder(lambda: bare, limits(settings), processes=settings.preprocess_in == "processes")
        for name, settings in tiers.items()
    }
    for embedder in embedders.values():
        await embedder.start()
    data = files()["0.2 MB"]
    passes, whole = bare_work(bare, data)
    # Long passes: in 3 s there were five, and one more or less was a fifth of the figure.
    length = 2 * seconds
    rates: dict[str, list[float]] = {name: [] for name in (READY, FIRST, *embedders)}
    try:
        for _ in range(_ROUNDS):
            rates[READY].append(await asyncio.to_thread(rate, passes, length))
            rates[FIRST].append(await asyncio.to_thread(rate, whole, length))
            for name, embedder in embedders.items():
                images = functools.partial(embedder.images, [data], Lane.BULK, None)
                rates[name].append((await closed(images, 2 * _WHOLE, length)).rate)
                # The bare engine must not meet what the last clients left behind.
                await images()
    finally:
        for embedder in embedders.values():
            await embedder.close()
    card = bare.card
    print(f"\n## Batcher: {card.engine} {card.device} {card.dtype}, one process, {_ROUNDS} turns, 0.2 MB files\n")
    print(f"| | images/s | over {READY} | over {FIRST} |\n|---|--:|--:|--:|")
    for name, values in rates.items():
        ratios = [
            statistics.median(mine / other for mine, other in zip(values, rates[yardstick], strict=True))
            for yardstick in (READY, FIRST)
        ]
        print(f"| {name} | {statistics.median(values):.1f} | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |")


def bare_work(bare: Engine, data: bytes) -> tuple[Callable[[], int], Callable[[], int]]:
    """Two loops' bodies that return how many pictures they did: passes alone, and decoding before each pass.

    The descriptor does everything while it prepares, so both are the same for it.
    """
    pool = ThreadPoolExecutor(cpus())

    def whole() -> int:
        bare.infer(list(pool.map(bare.preprocess, [data] * _WHOLE)))
        return _WHOLE

    if bare.card.engine == "perceptual":
        return whole, whole
    ready = [bare.preprocess(data)] * _WHOLE

    def passes() -> int:
        bare.infer(ready)
        return _WHOLE

    return passes, whole


def rate(work: Callable[[], int], seconds: float) -> float:
    """Mean pictures per second."""
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        count += work()
    return count / (time.perf_counter() - started)


# ---- as a process of its own


@asynccontextmanager
async def running(model: Path, engine: str) -> AsyncIterator[tuple[grpc.aio.Channel, int]]:
    """The service, started; a channel to it, and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    variables = {"EMBEDDING_ADDR": address, "EMBED_ENGINE": engine, "CLIP_MODEL": str(model), "LOG_LEVEL": "WARNING"}
    command = [sys.executable, "-m", "embedding_service"]
    process = subprocess.Popen(command, env={**os.environ, **variables})  # noqa: ASYNC220, S603  # our own module
    try:
        async with client.connect(address, DESCRIPTORS, ServiceSettings(_env_file=None)) as channel:
            stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
            await stub.GetModel(pb.GetModelRequest(), timeout=120, wait_for_ready=True)
            yield channel, process.pid
    finally:
        process.terminate()
        process.wait(30)  # nothing else runs any more


Call = Callable[[], Awaitable[Any]]


def embed(stub: Any, data: bytes, lane: int, timeout: float = 60.0) -> Call:
    """One picture, straight to the stub: a refusal is counted, not repeated."""
    request = pb.EmbedImagesRequest(images=[data], lane=lane)  # type: ignore[arg-type]
    return lambda: client.call(stub.EmbedImages, request, timeout=timeout)


async def one(call: Call, load: Load) -> None:
    started = time.perf_counter()
    try:
        await call()
        load.latencies.append(time.perf_counter() - started)
    except (errors.ResourceExhausted, errors.DeadlineExceeded):
        load.refusals.append(time.perf_counter() - started)


async def closed(call: Call, clients: int, seconds: float, process: int | None = None) -> Load:
    """So many clients, each with one call at a time, once each was answered, or the time has passed once.

    As many are under way when counting begins as when it ends: what a pass takes is neither left out nor counted twice.
    """
    # Waits for the pass that the clients before left behind.
    await call()
    load = Load(process)
    started = time.perf_counter()

    async def work() -> None:
        while True:
            await one(call, load)

    workers = [asyncio.ensure_future(work()) for _ in range(clients)]
    # Looks from outside: what is measured is not to signal anything.
    while len(load.latencies) + len(load.refusals) < clients and time.perf_counter() - started < seconds:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    load.begin()
    await asyncio.wait(workers, timeout=seconds)
    counted = load.end()
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    return counted


async def opened(call: Call, per_second: float, seconds: float, process: int | None = None) -> Load:
    """Calls at a fixed rate, whatever becomes of those before; counted until the last has ended."""
    load, calls = Load(process), []
    load.begin()
    started = time.perf_counter()
    for number in range(max(1, int(per_second * seconds))):
        await asyncio.sleep(max(0.0, started + number / per_second - time.perf_counter()))
        calls.append(asyncio.ensure_future(one(call, load)))
    await asyncio.gather(*calls)
    return load.end()


async def service(
    model: Path, engine: str, seconds: float, sections: Collection[str], ceilings: dict[str, float]
) -> None:
    """End to end, latency and overload of one engine."""
    async with running(model, engine) as (channel, process):
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        card = (await client.call(stub.GetModel, pb.GetModelRequest(), timeout=10)).model
        print(f"\n## Service: {card.engine} {card.device} {card.dtype}, over gRPC, clients on the same CPUs\n")
        small = files()["0.2 MB"]
        await closed(embed(stub, small, pb.LANE_BULK), 8, 2.0)
        if "service" in sections:
            await throughput(stub, seconds, ceilings)
        quiet = (await closed(embed(stub, small, pb.LANE_BULK), 16, 2 * seconds)).rate
        # From here on somebody is near, and passes are short.
        await embed(stub, small, pb.LANE_INTERACTIVE)()
        # Not 0, however short the measurement was asked to be.
        peak = max(0.1, (await closed(embed(stub, small, pb.LANE_BULK), 16, 2 * seconds)).rate)
        print(f"\ncapacity, 16 clients of bulk, 0.2 MB: {quiet:.1f} images/s, with a person near {peak:.1f}")
        if "latency" in sections:
            await latency(stub, small, peak, seconds)
        if "overload" in sections:
            await overload(stub, small, seconds, process)


async def throughput(stub: Any, seconds: float, ceilings: dict[str, float]) -> None:
    """Images per second by size of file and number of clients."""
    print("| file | clients | images/s | of the decode ceiling | p50 ms | p99 ms |\n|---|--:|--:|--:|--:|--:|")
    for name, data in files().items():
        for clients in CLIENTS:
            # Long enough for each client to be answered.
            load = await closed(embed(stub, data, pb.LANE_BULK), clients, seconds * (2 if clients > 8 else 1))
            of = f"{load.rate / ceilings[name]:.2f}" if ceilings else "-"
            row = (name, clients, f"{load.rate:.1f}", of, f"{load.quantile(0.5):.0f}", f"{load.quantile(0.99):.0f}")
            print("| " + " | ".join(map(str, row)) + " |")


async def latency(stub: Any, data: bytes, peak: float, seconds: float) -> None:
    """Single pictures alone, and while bulk takes 70% of what the service can do."""
    alone = await closed(embed(stub, data, pb.LANE_INTERACTIVE), 1, 2 * seconds)
    length = min(LONGEST, SINGLES / (0.1 * peak))
    bulk = asyncio.ensure_future(opened(embed(stub, data, pb.LANE_BULK), 0.7 * peak, length + 2.0))
    await asyncio.sleep(1.0)
    under = await opened(embed(stub, data, pb.LANE_INTERACTIVE), 0.1 * peak, length)
    behind = await bulk
    print(
        f"\nsingle pictures: alone p50 {alone.quantile(0.5):.0f} ms, p99 {alone.quantile(0.99):.0f} ms; under bulk at "
        f"70% p50 {under.quantile(0.5):.0f} ms, p99 {under.quantile(0.99):.0f} ms of {len(under.latencies)} "
        f"(bulk itself p50 {behind.quantile(0.5):.0f} ms): "
        f"**{under.quantile(0.99) / alone.quantile(0.5):.1f} x the idle p50** (target 3)"
    )


async def overload(stub: Any, data: bytes, seconds: float, process: int) -> None:
    """Three times what the service can do, from clients that wait 2 s at most."""
    call = embed(stub, data, pb.LANE_INTERACTIVE)
    best = await closed(call, 16, 4 * seconds, process)
    peak = max(0.1, best.rate)
    hasty = embed(stub, data, pb.LANE_INTERACTIVE, timeout=2.0)
    load = await opened(hasty, 3 * peak, 4 * seconds, process)
    print(
        f"\noverload, 3 x {peak:.1f}/s: {load.rate:.1f} images/s answered (**{load.rate / peak:.2f} of peak**, target "
        f"0.9); {len(load.refusals)} refused, **p50 {quantile(load.refusals, 0.5):.0f} ms**, "
        f"p99 {quantile(load.refusals, 0.99):.0f} ms (target 50). The senders took {best.sending / best.seconds:.2f} "
        f"of {cpus()} CPUs at the peak and {load.sending / load.seconds:.2f} in overload; for each CPU second that "
        f"they left {load.rate_per_cpu_left / best.rate_per_cpu_left:.2f} of the peak, for each that the service used "
        f"{load.rate_per_cpu / best.rate_per_cpu:.2f}; it used {best.serving / best.seconds:.2f} and "
        f"{load.serving / load.seconds:.2f}"
    )


def used(process: int) -> float:
    """CPU seconds of a process and its children so far (proc(5): user and system time, in ticks)."""
    own = Path(f"/proc/{process}")
    fields = (own / "stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    children = " ".join(path.read_text(encoding="ascii") for path in own.glob("task/*/children")).split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") + sum(used(int(child)) for child in children)
