"""What the embedding service does on this machine, beside its yardsticks, in one run.

    python services/embedding/bench/bench_embedding.py [--model FOLDER] [--seconds 4] [--only engines,decode,...]

Without a checkpoint it writes one with random weights: speed is the same, accuracy figures then say little
(random weights exaggerate rounding). Sections: engines, decode, service, latency, overload.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import io
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from jewelry.embedding.v1 import embedding_pb2 as pb
from jewelry.embedding.v1 import embedding_pb2_grpc
from PIL import Image

from embedding_service.adapters.perceptual_engine import PerceptualEngine
from embedding_service.engine import Engine, Vectors
from embedding_service.pixels import PixelRules, prepare
from embedding_service.selection import load_engine
from embedding_service.settings import Settings, cpus
from embedding_service.testing import write_random_checkpoint
from servicekit import ServiceSettings, client, errors

DESCRIPTORS = [pb.DESCRIPTOR.services_by_name["EmbeddingService"]]
BATCHES = (1, 8, 32)
GPU_BATCHES = (*BATCHES, 256, 1024, 2048)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of a CLIP checkpoint")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each measurement")
    parser.add_argument("--only", default="engines,decode,service,latency,overload")
    parser.add_argument("--engine", default="clip", choices=("clip", "perceptual"), help="of the service measured")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        model = given.model or write_random_checkpoint(Path(scratch) / "random-vit-b-32")
        print(f"{platform.machine()}, {cpus()} CPUs, load {os.getloadavg()[0]:.1f}, {time.strftime('%Y-%m-%d')}")
        sections = given.only.split(",")
        if "engines" in sections:
            engines(model, given.seconds)
        ceiling = decode(given.seconds) if "decode" in sections else {}
        if {"service", "latency", "overload"} & set(sections):
            asyncio.run(service(model, given.engine, given.seconds, sections, ceiling))


# ---- engines


def engines(model: Path, seconds: float) -> None:
    """Images per second of each engine, its ratio to transformers in float32, and its cosine to it."""
    import torch
    from transformers import CLIPModel

    cuda = torch.cuda.is_available()
    plain = CLIPModel.from_pretrained(model, local_files_only=True).eval()
    rules = PixelRules()
    inputs = [prepare(jpeg(size), rules) for size in ((640, 480), (480, 640), (900, 900), (300, 500)) for _ in range(1)]
    inputs += [np.roll(picture, 40, axis=0) for picture in inputs]

    def transformers(batch: Sequence[Any]) -> Vectors:
        with torch.inference_mode():
            pixels = torch.from_numpy(np.stack(batch)).float() * torch.from_numpy(rules.scale)
            values = (pixels + torch.from_numpy(rules.shift)).permute(0, 3, 1, 2)
            vectors: Vectors = plain.get_image_features(values).pooler_output.numpy()
            return vectors

    candidates: dict[str, Callable[[Sequence[Any]], Vectors]] = {"transformers float32": transformers}
    wanted = [("openvino", "cpu", "float32"), ("openvino", "cpu", "auto"), ("torch", "cpu", "float32")]
    if "bf16" in Path("/proc/cpuinfo").read_text(encoding="ascii"):
        wanted += [("torch", "cpu", "bfloat16")]
    wanted += [("torch", "cuda", "bfloat16")] if cuda else []
    for runtime, device, dtype in wanted:
        values = {"embed_runtime": runtime, "embed_device": device, "embed_dtype": dtype}
        try:
            engine = load_engine(
                Settings(_env_file=None, embed_engine="clip", clip_model=str(model), batch_size=2048, **values)
            )
        except errors.FailedPrecondition as error:
            print(f"{runtime} {dtype}: {error.message}")
            continue
        engine.warm_up()
        candidates.setdefault(f"{engine.card.engine} {engine.card.device} {engine.card.dtype}", engine.infer)
    exact = transformers(inputs)
    rates: dict[int, float] = {}
    print(f"\n{'engine':<28} {'batch':>5} {'images/s':>9} {'ratio':>6} {'cosine':>8} {'centred':>8}")
    for name, infer in candidates.items():
        vectors = infer(inputs)
        cosine, centred = cosines(vectors, exact), cosines(vectors - exact.mean(0), exact - exact.mean(0))
        for size in GPU_BATCHES if "cuda" in name else BATCHES:
            rate = per_second(lambda size=size, infer=infer: infer((inputs * size)[:size]), seconds) * size
            ratio = rate / rates.setdefault(size, rate)
            print(f"{name:<28} {size:>5} {rate:>9.1f} {ratio:>6.2f} {cosine:>8.5f} {centred:>8.5f}")


def cosines(a: Vectors, b: Vectors) -> float:
    return float(((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())


def per_second(work: Callable[[], Any], seconds: float) -> float:
    """Best rate of single calls: on a shared machine the mean measures the neighbours."""
    work()
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return 1 / best


# ---- decoding


def jpeg(size: tuple[int, int], quality: int = 88) -> bytes:
    """A picture with a photo's structure: smooth shapes under fine grain."""
    random = np.random.default_rng(size[0])
    coarse = Image.fromarray(random.integers(0, 256, (12, 12, 3), dtype=np.uint8)).resize(
        size, Image.Resampling.BICUBIC
    )
    grain = random.normal(0, 6, (size[1], size[0], 1))
    image = Image.fromarray(np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def files() -> dict[str, bytes]:
    """The two sizes of the issue: about 0.2 MB and 1.2 MB."""
    return {"0.2 MB": jpeg((1000, 750), 88), "1.2 MB": jpeg((2400, 1800), 90)}


def decode(seconds: float) -> dict[str, float]:
    """Images per second that all CPUs can prepare, by kind of file: no service can do more."""
    ceilings = {}
    print(f"\n{'file':<8} {'bytes':>9} {'CLIP/s/core':>12} {'CLIP/s':>8} {'perceptual/s/core':>18}")
    for name, data in files().items():
        one = per_second(lambda data=data: prepare(data, PixelRules()), seconds / 2)
        with ThreadPoolExecutor(cpus()) as pool:
            started, count = time.perf_counter(), 0
            while time.perf_counter() - started < seconds / 2:
                count += len(list(pool.map(lambda data: prepare(data, PixelRules()), [data] * 4 * cpus())))
            every = count / (time.perf_counter() - started)
        engine = PerceptualEngine()
        perceptual = per_second(lambda data=data, engine=engine: engine.preprocess(data), seconds / 2)
        ceilings[name] = every
        print(f"{name:<8} {len(data):>9} {one:>12.1f} {every:>8.1f} {perceptual:>18.1f}")
    return ceilings


# ---- the service as a process of its own


@asynccontextmanager
async def running(model: Path, engine: str) -> AsyncIterator[grpc.aio.Channel]:
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
            yield channel
    finally:
        process.terminate()
        process.wait(30)  # nothing else runs any more


@dataclasses.dataclass
class Load:
    """What a group of clients saw."""

    seconds: float = 0.0
    latencies: list[float] = dataclasses.field(default_factory=list)
    refusals: list[float] = dataclasses.field(default_factory=list)

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def quantile(self, share: float) -> float:
        return sorted(self.latencies)[min(len(self.latencies) - 1, int(share * len(self.latencies)))] * 1000


async def one(stub: Any, data: bytes, lane: int, load: Load, timeout: float = 60.0) -> None:
    started = time.perf_counter()
    try:
        # Straight to the stub: a refusal is counted, not repeated by the channel.
        await client.call(stub.EmbedImages, pb.EmbedImagesRequest(images=[data], lane=lane), timeout=timeout)  # type: ignore[arg-type]
        load.latencies.append(time.perf_counter() - started)
    except (errors.ResourceExhausted, errors.DeadlineExceeded):
        load.refusals.append(time.perf_counter() - started)


async def closed(stub: Any, data: bytes, clients: int, seconds: float, lane: int = pb.LANE_BULK) -> Load:
    """So many clients, each with one call at a time."""
    load = Load()
    until = time.perf_counter() + seconds

    async def work() -> None:
        while time.perf_counter() < until:
            await one(stub, data, lane, load)

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(clients)))
    load.seconds = time.perf_counter() - started
    return load


async def opened(stub: Any, data: bytes, rate: float, seconds: float, lane: int, timeout: float = 60.0) -> Load:
    """Calls at a fixed rate, whatever becomes of those before."""
    load, calls = Load(), []
    started = time.perf_counter()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
        calls.append(asyncio.ensure_future(one(stub, data, lane, load, timeout)))
    await asyncio.gather(*calls)
    load.seconds = time.perf_counter() - started
    return load


async def service(model: Path, engine: str, seconds: float, sections: Sequence[str], ceiling: dict[str, float]) -> None:
    async with running(model, engine) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        card = (await client.call(stub.GetModel, pb.GetModelRequest(), timeout=10)).model
        print(f"\nservice: {card.engine} {card.device} {card.dtype}")
        small = files()["0.2 MB"]
        await closed(stub, small, 8, 2.0)
        bare = bare_rate(model, engine, small, seconds)
        print(f"bare model in a process of its own, best batch: {bare:.1f} images/s")
        peak = 0.0
        if "service" in sections:
            print(
                f"{'file':<8} {'clients':>7} {'images/s':>9} {'of bare':>8} {'of decode':>10} {'p50':>7} {'p99 ms':>7}"
            )
            for name, data in files().items():
                for clients in (1, 8, 64):
                    load = await closed(stub, data, clients, seconds)
                    of = f"{load.rate / ceiling[name]:.2f}" if ceiling else "-"
                    row = f"{name:<8} {clients:>7} {load.rate:>9.1f} {load.rate / bare:>8.2f} {of:>10}"
                    print(f"{row} {load.quantile(0.5):>7.0f} {load.quantile(0.99):>7.0f}")
                    peak = max(peak, load.rate if name == "0.2 MB" else 0.0)
        peak = peak or (await closed(stub, small, 16, seconds)).rate
        if "latency" in sections:
            await latency(stub, small, peak, seconds)
        if "overload" in sections:
            await overload(stub, small, peak, seconds)


def bare_rate(model: Path, engine: str, data: bytes, seconds: float) -> float:
    bare: Engine = load_engine(Settings(_env_file=None, embed_engine=engine, clip_model=str(model)))  # type: ignore[arg-type]
    bare.warm_up()
    if engine == "perceptual":
        return per_second(lambda: bare.preprocess(data), seconds) * cpus()
    pixels = bare.preprocess(data)
    return max(per_second(lambda size=size: bare.infer([pixels] * size), seconds / 2) * size for size in (1, 4, 16))


async def latency(stub: Any, data: bytes, peak: float, seconds: float) -> None:
    """Single pictures alone, and while bulk takes 70% of what the service can do."""
    alone = await closed(stub, data, 1, seconds, pb.LANE_INTERACTIVE)
    bulk = asyncio.ensure_future(opened(stub, data, 0.7 * peak, 3 * seconds, pb.LANE_BULK))
    await asyncio.sleep(seconds / 2)
    under = await opened(stub, data, 0.1 * peak, 2 * seconds, pb.LANE_INTERACTIVE)
    await bulk
    print(
        f"\nsingle pictures: alone p50 {alone.quantile(0.5):.0f} ms, p99 {alone.quantile(0.99):.0f} ms; "
        f"under bulk at 70% p50 {under.quantile(0.5):.0f} ms, p99 {under.quantile(0.99):.0f} ms "
        f"({under.quantile(0.99) / alone.quantile(0.5):.1f} x the idle p50; target 3)"
    )


async def overload(stub: Any, data: bytes, peak: float, seconds: float) -> None:
    """Three times what the service can do, from clients that wait 2 s at most."""
    load = await opened(stub, data, 3 * peak, 2 * seconds, pb.LANE_INTERACTIVE, timeout=2.0)
    late = statistics.median(load.refusals) * 1000 if load.refusals else 0.0
    print(
        f"overload at 3 x: {load.rate:.1f} images/s answered ({load.rate / peak:.2f} of peak; target 0.9), "
        f"{len(load.refusals)} refused, median after {late:.0f} ms (target 50)"
    )


if __name__ == "__main__":
    main()
