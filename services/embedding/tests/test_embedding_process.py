"""The real process: starts, says what is wrong, ends on SIGTERM with every call answered."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from jewelry.embedding.v1 import embedding_pb2 as pb
from jewelry.embedding.v1 import embedding_pb2_grpc
from PIL import Image

from embedding_service.bulk_client import embed_all
from embedding_service.settings import cpus
from servicekit import client
from servicekit.testing import settings

Mutate = Callable[[list[bytes], int], Iterator[bytes]]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def arrived(exported: str) -> float:
    """Pictures that the service has taken in, by its metrics."""
    counted = ("jewelry_embedding_outstanding_images{", "jewelry_embedding_images_total{")
    return sum(float(line.rsplit(" ", 1)[1]) for line in exported.splitlines() if line.startswith(counted))


def start(tmp_path: Path, **variables: str) -> tuple[subprocess.Popen[str], str]:
    address = f"127.0.0.1:{free_port()}"
    environment = {**os.environ, "EMBEDDING_ADDR": address, "HF_HUB_OFFLINE": "1", **variables}
    return (
        subprocess.Popen(
            [sys.executable, "-m", "embedding_service"],
            cwd=tmp_path,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        ),
        address,
    )


METRICS = {
    "outstanding_images": "lane",
    "outstanding_bytes": "lane",
    "queue_wait_seconds_bucket": "lane",
    "batch_size_bucket": "lane",
    "preprocess_seconds_bucket": "lane",
    "infer_seconds_bucket": "lane",
    "refused_total": "lane,reason",
    "images_total": "kind,lane,outcome",
    "device_failures_total": "attempt",
}


def workers(process: int) -> list[int]:
    """The processes that it decodes pictures in."""
    children = " ".join(path.read_text() for path in Path(f"/proc/{process}").glob("task/*/children"))
    return [int(child) for child in children.split()]


def resident(process: int) -> int:
    """MiB of a process and its workers; pages that they share count for each."""
    pages = sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in (process, *workers(process)))
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def labels(exported: str, name: str) -> list[set[str]]:
    """The labels, less the histograms' and the exporter's own, of each line of a metric."""
    lines = [line for line in exported.splitlines() if line.startswith(f"jewelry_embedding_{name}{{")]
    return [set(re.findall(r'[{,]([a-z_]+)="', line)) - {"le"} for line in lines]


async def stopped_in_the_middle(tmp_path: Path, photos: list[bytes]) -> str:
    """Sends 100 calls, then SIGTERM while most of them are on their way; the metrics seen just before.

    All end with a vector, also those that no handler had seen: the client repeats nothing here.
    """
    metrics = free_port()
    process, address = start(
        tmp_path,
        EMBED_ENGINE="perceptual",
        METRICS_PORT=str(metrics),
        # Longer than a loaded machine takes for a hundred pictures: the promise is no call lost, not speed.
        DRAIN_SECONDS="90",
    )
    try:
        descriptors = [pb.DESCRIPTOR.services_by_name["EmbeddingService"]]
        async with client.connect(address, descriptors, settings()) as channel:
            stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
            async with asyncio.timeout(60):
                model = await stub.GetModel(pb.GetModelRequest(), timeout=60, wait_for_ready=True)
            # One that is answered before: from then on every metric exists.
            await stub.EmbedImages(pb.EmbedImagesRequest(images=photos[:1]), timeout=60)
            calls = [
                asyncio.ensure_future(stub.EmbedImages(pb.EmbedImagesRequest(images=[photo]), timeout=100))
                for photo in (photos * 2)[:100]
            ]
            async with asyncio.timeout(60):
                while arrived(exported := await asyncio.to_thread(scrape, metrics)) < 2:
                    await asyncio.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            unanswered = sum(not call.done() for call in calls)
            answers = await asyncio.gather(*calls)
            # Who comes after the signal is turned away or answered, and not left waiting.
            with contextlib.suppress(grpc.aio.AioRpcError):
                await stub.EmbedImages(pb.EmbedImagesRequest(images=photos[:1]), timeout=30)
        # The signal came in the middle of the work, or nothing was shown.
        assert unanswered > 50
        assert all(len(answer.results[0].embedding.values) == model.model.dimension for answer in answers)
        assert process.wait(60) == 0
    finally:
        process.kill()
        _, log = process.communicate()
    assert "Traceback" not in log
    return exported


async def test_sigterm_with_100_in_flight(tmp_path: Path, photos: list[bytes]) -> None:
    exported = await stopped_in_the_middle(tmp_path, photos)
    # The manifests and the README use these names.
    for name, wanted in METRICS.items():
        found = labels(exported, name)
        assert found, name
        assert all(set(wanted.split(",")) <= seen for seen in found), name
    assert 'jewelry_embedding_outstanding_images{lane="bulk"' in exported


async def test_workers_that_die_lose_no_picture_and_none_outlives_the_service(
    tmp_path: Path, photos: list[bytes]
) -> None:
    metrics = free_port()
    process, address = start(tmp_path, EMBED_ENGINE="perceptual", METRICS_PORT=str(metrics), PREPROCESS_THREADS="2")
    try:
        descriptors = [pb.DESCRIPTOR.services_by_name["EmbeddingService"]]
        async with client.connect(address, descriptors, settings()) as channel:
            stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
            await stub.GetModel(pb.GetModelRequest(), timeout=60, wait_for_ready=True)
            calls = [
                asyncio.ensure_future(stub.EmbedImages(pb.EmbedImagesRequest(images=[photo]), timeout=60))
                for photo in photos[:30]
            ]
            async with asyncio.timeout(60):
                while sum(call.done() for call in calls) < 5:
                    await asyncio.sleep(0.01)
            before = workers(process.pid)
            for worker in before:
                os.kill(worker, signal.SIGKILL)
            answers = await asyncio.gather(*calls)
            # All of them, those of the other lane too, are there again for the next pictures.
            for lane in (pb.LANE_INTERACTIVE, pb.LANE_BULK):
                request = pb.EmbedImagesRequest(images=photos[:8], lane=lane)
                answers.append(await stub.EmbedImages(request, timeout=60))
        assert all(result.HasField("embedding") for answer in answers for result in answer.results)
        assert len(before) == 4
        lost = re.findall(r"^jewelry_embedding_workers_lost_total\S* (\d+)", scrape(metrics), re.MULTILINE)
        assert [int(number) for number in lost] == [4]
        now = workers(process.pid)
        assert len(now) == 4
        assert not {*now} & {*before}
        process.kill()
        process.wait(30)
        async with asyncio.timeout(30):
            while any(Path(f"/proc/{worker}").exists() for worker in now):
                await asyncio.sleep(0.05)
    finally:
        process.kill()
        _, log = process.communicate()
    assert "Traceback" not in log


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_sigterm_with_100_in_flight_20_times_in_a_row(tmp_path: Path, photos: list[bytes]) -> None:
    for number in range(20):
        await stopped_in_the_middle(tmp_path, photos)
        print(f"{number + 1:>2} x SIGTERM with 100 in flight: all answered")


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_1000_mutated_files_kill_no_process(tmp_path: Path, seeds: list[bytes], mutated: Mutate) -> None:
    process, address = start(tmp_path, EMBED_ENGINE="perceptual")
    try:
        descriptors = [pb.DESCRIPTOR.services_by_name["EmbeddingService"]]
        async with client.connect(address, descriptors, settings()) as channel:
            stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
            await stub.GetModel(pb.GetModelRequest(), timeout=60, wait_for_ready=True)
            source = ((str(number), data) for number, data in enumerate(mutated(seeds, 1000)))
            results = [result async for result in embed_all(channel, source)]
            answer = await stub.EmbedImages(pb.EmbedImagesRequest(images=seeds[:1]), timeout=60)
        assert len(results) == 1000
        refused = [result.error.reason for result in results if result.error is not None]
        assert 50 < len(refused) < 950
        assert all(reason.startswith("IMAGE_") for reason in refused)
        # Nor a process that decodes.
        assert "IMAGE_DECODER_FAILED" not in refused
        assert answer.results[0].HasField("embedding")
        assert process.poll() is None
    finally:
        process.kill()
        _, log = process.communicate()
    assert "Traceback" not in log


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_memory_stays_flat_over_20000_pictures(tmp_path: Path, encode: Callable[..., bytes]) -> None:
    random = np.random.default_rng(0)
    pictures = [
        encode(Image.fromarray(random.integers(0, 256, (80, 60 + size, 3), dtype=np.uint8)), "JPEG")
        for size in range(50)
    ]
    process, address = start(tmp_path, EMBED_ENGINE="perceptual")

    try:
        descriptors = [pb.DESCRIPTOR.services_by_name["EmbeddingService"]]
        async with client.connect(address, descriptors, settings()) as channel:
            stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
            await stub.GetModel(pb.GetModelRequest(), timeout=60, wait_for_ready=True)
            early, count = 0, 0
            print("\npictures  MiB resident")
            source = ((str(number), pictures[number % 50]) for number in range(20_000))
            async for result in embed_all(channel, source):
                assert result.vector is not None
                count += 1
                if count % 2_500 == 0:
                    print(f"{count:>8}  {resident(process.pid)}")
                if count == 5_000:
                    early = resident(process.pid)
            assert count == 20_000
            assert resident(process.pid) - early < 32
    finally:
        process.kill()
        process.communicate()


def test_a_strict_choice_that_cannot_be_had_ends_the_process_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    process, _ = start(tmp_path, EMBED_ENGINE="clip", CLIP_MODEL=str(tmp_path / "half"))
    _, log = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "half has no config.json" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("quota", "expected"), [("100000 100000", 1), ("max 100000", None), ("", None), ("50000 100000", 1)]
)
def test_the_containers_quota_counts(quota: str, expected: int | None, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    assert cpus(tmp_path / "cpu.max") == (expected or len(os.sched_getaffinity(0)))
    assert cpus(tmp_path / "none") == len(os.sched_getaffinity(0))
