"""Damaged files: no process dies, no neighbour suffers, the next picture is answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from jewelry.embedding.v1 import embedding_pb2 as pb
from jewelry.embedding.v1 import embedding_pb2_grpc
from PIL import Image

from embedding_service.adapters.perceptual_engine import PerceptualEngine
from embedding_service.decoding import decoded
from embedding_service.pixels import PixelRules, prepare
from servicekit import client, errors

Mutate = Callable[[list[bytes], int], Iterator[bytes]]


def check(data: bytes) -> bool:
    """Whether the file could be read; anything but a vector or a typed refusal fails the test."""
    try:
        pixels = prepare(data, PixelRules())
        vector = PerceptualEngine().preprocess(data)
    except errors.InvalidArgument as refused:
        return not refused.reason.startswith("IMAGE_")
    assert pixels.shape == (224, 224, 3)
    assert np.isfinite(vector).all()
    return True


def test_200_mutated_files(seeds: list[bytes], mutated: Mutate) -> None:
    read = [check(data) for data in mutated(seeds, 200)]
    # Some survive and some do not, or the damage would test nothing.
    assert 0.05 < np.mean(read) < 0.95


@pytest.mark.slow
def test_1000_mutated_files_and_more(seeds: list[bytes], mutated: Mutate) -> None:
    read = [check(data) for data in mutated(seeds, 2000)]
    assert 0.05 < np.mean(read) < 0.95


async def test_mutated_files_through_the_service(
    serve: Callable[..., Any], seeds: list[bytes], mutated: Mutate
) -> None:
    files = list(mutated(seeds, 120))
    files[60] = seeds[0]
    async with serve(PerceptualEngine()) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        answer = await client.call(stub.EmbedImages, pb.EmbedImagesRequest(images=files), timeout=60)
        again = await client.call(stub.EmbedImages, pb.EmbedImagesRequest(images=seeds[:1]), timeout=60)
    assert len(answer.results) == 120
    assert all(result.WhichOneof("result") for result in answer.results)
    assert answer.results[60].embedding.values == again.results[0].embedding.values


def test_large_pictures_are_decoded_two_at_a_time(encode: Callable[..., bytes]) -> None:
    """However many threads: the largest allowed takes hundreds of megabytes in a file of kilobytes."""
    data = encode(Image.new("1", (5000, 3600)))
    most = active = 0
    lock, two = threading.Lock(), threading.Event()

    def one(_: int) -> None:
        nonlocal most, active
        with decoded(data, 448):
            with lock:
                active += 1
                most = max(most, active)
                if active == 2:
                    two.set()
            assert two.wait(60)
            # Long enough for a third to come in, if it could.
            time.sleep(0.05)
            with lock:
                active -= 1

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(one, range(6)))
    assert most == 2


def test_a_huge_header_costs_no_memory(seeds: list[bytes]) -> None:
    """A PNG of a few bytes that promises 60,000 x 60,000 pixels."""
    png = bytearray(next(seed for seed in seeds if seed.startswith(b"\x89PNG")))
    png[16:24] = (60_000).to_bytes(4, "big") * 2
    import zlib

    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    with pytest.raises(errors.InvalidArgument) as refused:
        prepare(bytes(png), PixelRules())
    assert refused.value.reason == "IMAGE_TOO_MANY_PIXELS"
