"""The real process: starts, says what is wrong, ends on SIGTERM with every call answered."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from jewelry.embedding.v1 import embedding_pb2 as pb
from jewelry.embedding.v1 import embedding_pb2_grpc

from embedding_service.settings import cpus
from servicekit import client
from servicekit.testing import settings


def start(tmp_path: Path, **variables: str) -> tuple[subprocess.Popen[str], str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
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


async def test_sigterm_with_100_in_flight(tmp_path: Path, photos: list[bytes]) -> None:
    process, address = start(tmp_path, EMBED_ENGINE="perceptual", PREPROCESS_THREADS="1")
    try:
        descriptors = [pb.DESCRIPTOR.services_by_name["EmbeddingService"]]
        async with client.connect(address, descriptors, settings()) as channel:
            stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
            async with asyncio.timeout(60):
                model = await stub.GetModel(pb.GetModelRequest(), timeout=60, wait_for_ready=True)
            calls = [
                asyncio.ensure_future(stub.EmbedImages(pb.EmbedImagesRequest(images=[photo]), timeout=60))
                for photo in (photos * 2)[:100]
            ]
            # The first answers show that the calls have arrived.
            await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            answers = await asyncio.gather(*calls)
        assert all(len(answer.results[0].embedding.values) == model.model.dimension for answer in answers)
        assert process.wait(20) == 0
    finally:
        process.kill()
        _, log = process.communicate()
    assert "Traceback" not in log


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
