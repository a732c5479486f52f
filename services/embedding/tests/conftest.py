"""A seeded random ViT-B/32 checkpoint, an engine whose every step can be steered, and pictures."""

from __future__ import annotations

import dataclasses
import io
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from embedding_service.__main__ import service
from embedding_service.batcher import Batcher
from embedding_service.embedder import Embedder
from embedding_service.engine import Engine, ModelCard
from embedding_service.queues import Limits
from embedding_service.testing import write_random_checkpoint
from servicekit import errors
from servicekit.testing import serve_locally

PHOTOS = Path(__file__).parents[3] / "samples" / "photos"

Serve = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]
MakeBatcher = Callable[..., Batcher]


class FakeEngine:
    """A picture is a number in ASCII; its vector is that number. Every step can be held or made to fail."""

    def __init__(self, max_batch: int = 4) -> None:
        self.max_batch = max_batch
        self.card = ModelCard("fake", "", "", "0" * 64, "float32", "fake", "cpu", 2, True, 5.0, 25.0)
        self.batches: list[list[int]] = []
        self.prepared: list[int] = []
        self.device_open = threading.Event()
        self.device_open.set()
        self.entered = threading.Event()
        self.fail_when: Callable[[Sequence[int]], bool] = lambda _: False
        self.seconds = 0.0

    def preprocess(self, data: bytes) -> int:
        if not data.isdigit():
            raise errors.InvalidArgument("not a number", reason="IMAGE_UNREADABLE")
        self.prepared.append(int(data))
        return int(data)

    def infer(self, batch: Sequence[int]) -> Any:
        self.batches.append(list(batch))
        self.entered.set()
        assert self.device_open.wait(100)
        if self.fail_when(batch):
            raise RuntimeError("device lost")
        return np.array([[number, 1] for number in batch], dtype=np.float32)

    def tokenize(self, text: str) -> int:
        return len(text)

    def infer_texts(self, batch: Sequence[int]) -> Any:
        return self.infer(batch)

    def warm_up(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def fake() -> Iterator[FakeEngine]:
    engine = FakeEngine()
    yield engine
    engine.device_open.set()


@pytest.fixture
async def make_batcher(fake: FakeEngine) -> AsyncIterator[MakeBatcher]:
    """Starts a batcher over the fake engine, and closes it in the end."""
    made: list[Batcher] = []

    def make(limits: Limits | None = None, on_fatal: Callable[[], None] | None = None) -> Batcher:
        limits = limits or Limits(preprocess_threads=1)
        if limits.batch_seconds == Limits().batch_seconds:
            # What a slow machine takes for a pass must not decide how many go into the next.
            limits = dataclasses.replace(limits, batch_seconds=1000.0)
        batcher = Batcher(fake, limits, on_fatal)
        batcher.start()
        made.append(batcher)
        return batcher

    yield make
    fake.device_open.set()
    for batcher in made:
        await batcher.close()


@pytest.fixture(scope="session")
def serve() -> Serve:
    """Serves an engine on a real socket; gives a channel."""

    @asynccontextmanager
    async def serving(engine: Engine, limits: Limits | None = None, **options: Any) -> AsyncIterator[grpc.aio.Channel]:
        embedder = Embedder(lambda: engine, limits or Limits(), **options)
        async with serve_locally(service(embedder)) as channel:
            yield channel

    return serving


@pytest.fixture(scope="session")
def photos() -> list[bytes]:
    """The sample photos."""
    return [path.read_bytes() for path in sorted(PHOTOS.glob("*.jpg"))]


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Encodes a Pillow image; options go to `save`."""

    def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        return buffer.getvalue()

    return encoded


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole CLIP ViT-B/32 checkpoint with random weights: `CLIPConfig()` defaults, seed 0."""
    return write_random_checkpoint(tmp_path_factory.mktemp("clip") / "random-vit-b-32")


@pytest.fixture(scope="session")
def seeds() -> list[bytes]:
    """A small picture in every format that this Pillow writes."""
    Image.init()
    random_state = np.random.default_rng(3)
    image = Image.fromarray(random_state.integers(0, 256, (96, 128, 3), dtype=np.uint8))
    encoded = []
    for kind, mode in (
        ("JPEG", "RGB"),
        ("JPEG", "CMYK"),
        ("PNG", "RGBA"),
        ("PNG", "P"),
        ("GIF", "P"),
        ("BMP", "RGB"),
        ("TIFF", "RGB"),
        ("WEBP", "RGB"),
        ("AVIF", "RGB"),
    ):
        if kind in Image.SAVE:
            buffer = io.BytesIO()
            image.convert(mode).save(buffer, kind)
            encoded.append(buffer.getvalue())
    return encoded


@pytest.fixture(scope="session")
def mutated() -> Callable[[list[bytes], int], Iterator[bytes]]:
    """So many damaged files."""
    return damaged


def damaged(seeds: list[bytes], count: int) -> Iterator[bytes]:
    """Seeded damage: flipped bytes, headers above all, cut, doubled and swapped pieces, another file's tail."""
    chance = random.Random(20)
    for number in range(count):
        data = bytearray(seeds[number % len(seeds)])
        for _ in range(chance.choice((1, 1, 2, 8, 64))):
            reach = min(len(data), chance.choice((32, 256, len(data))))
            data[chance.randrange(reach)] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        at = chance.randrange(len(data))
        tail = chance.choice(seeds)
        match chance.randrange(6):
            case 0:
                data = data[:at]
            case 1:
                data = data[:at] + data[at // 2 :]
            case 2:
                data = data[:at] + tail[len(tail) // 2 :]
        yield bytes(data)
