"""A small embedding service, and the index wired to it and to stores in a folder."""

from __future__ import annotations

import asyncio
import io
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jewelry.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from jewelry.type.v1 import type_pb2
from jewelry.vision_index.v1 import vision_index_pb2, vision_index_pb2_grpc
from PIL import Image
from pymilvus import MilvusClient

from objectstore import ObjectStore, open_store
from servicekit import Service, errors, images
from servicekit.server import RunningServer
from servicekit.testing import serve_locally
from servicekit.testing import settings as test_settings
from vision_index_service import thresholds_file
from vision_index_service.adapters.embedder import GrpcEmbedder
from vision_index_service.adapters.milvus_store import MilvusStore
from vision_index_service.background import NO_WISHES, Wishes
from vision_index_service.index import Index, assemble
from vision_index_service.reading import Policy
from vision_index_service.servicer import VisionIndexServicer
from vision_index_service.settings import Settings

if TYPE_CHECKING:  # the generated module has this class for the checker alone
    from jewelry.vision_index.v1.vision_index_pb2_grpc import VisionIndexServiceAsyncStub

ROOT = Path(__file__).resolve().parents[3]
PHOTOS = ROOT / "samples" / "photos"
DIMENSION = 512


def photo(sku: str) -> bytes:
    """A sample photo's bytes."""
    return (PHOTOS / f"{sku}.jpg").read_bytes()


def plain_picture(color: tuple[int, int, int], size: tuple[int, int] = (64, 64), kind: str = "PNG") -> bytes:
    """A small picture of one colour."""
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, kind)
    return out.getvalue()


def colors_and_slopes(data: bytes) -> np.ndarray[Any, np.dtype[np.float32]]:
    """512 numbers: the colours of 12 x 12 cells (432) and a histogram of gradients (80), norm about 10."""
    picture = images.decode_rgb(data)
    cells = np.asarray(picture.resize((12, 12), Image.Resampling.BOX), dtype=np.float32).ravel() / 255
    grey = np.asarray(picture.convert("L").resize((128, 128)), dtype=np.float32) / 255
    slope_y, slope_x = np.gradient(grey)
    weights, _ = np.histogram(np.arctan2(slope_y, slope_x), bins=80, weights=np.hypot(slope_x, slope_y))
    slopes = weights / (np.linalg.norm(weights) + 1e-6)
    return np.concatenate([cells, slopes]).astype(np.float32)


class FakeEmbedding(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Embeds on a real socket; tests set what is wrong with it."""

    def __init__(self) -> None:
        self.model_id = "fake-1"
        self.duplicate_distance, self.similar_distance = 0.2, 4.0
        self.spoil: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]] = lambda vector: vector
        self.delay = 0.0
        self.faults: list[errors.ServiceError] = []
        self.embedded = 0

    async def EmbedImages(self, request: embedding_pb2.EmbedImagesRequest, context: Any) -> Any:
        await asyncio.sleep(self.delay)
        if self.faults:
            raise self.faults.pop()
        results = []
        for data in request.images:
            self.embedded += 1
            try:
                values = self.spoil(colors_and_slopes(data)).tolist()
                results.append(embedding_pb2.EmbeddingResult(embedding=embedding_pb2.Embedding(values=values)))
            except errors.InvalidArgument as error:
                told = type_pb2.ItemError(reason=error.reason, message=error.message)
                results.append(embedding_pb2.EmbeddingResult(error=told))
        return embedding_pb2.EmbedImagesResponse(results=results, model_id=self.model_id)

    async def EmbedImagesStream(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            answer = await self.EmbedImages(embedding_pb2.EmbedImagesRequest(images=[request.image]), context)
            yield embedding_pb2.EmbedImagesStreamResponse(
                key=request.key, result=answer.results[0], model_id=answer.model_id
            )

    async def EmbedText(self, request: embedding_pb2.EmbedTextRequest, context: Any) -> Any:
        """A colour word gives the vector of a picture of that colour, half as long."""
        colors = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
        vector = colors_and_slopes(plain_picture(colors[request.texts[0]])) / 2
        result = embedding_pb2.EmbeddingResult(embedding=embedding_pb2.Embedding(values=vector.tolist()))
        return embedding_pb2.EmbedTextResponse(results=[result], model_id=self.model_id)

    async def GetModel(self, request: embedding_pb2.GetModelRequest, context: Any) -> Any:
        model = embedding_pb2.Model(
            id=self.model_id,
            name="fake",
            dimension=DIMENSION,
            has_text_tower=True,
            duplicate_distance=self.duplicate_distance,
            similar_distance=self.similar_distance,
        )
        return embedding_pb2.GetModelResponse(model=model)

    def service(self) -> Service:
        return Service(
            register=lambda server: embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(self, server),
            descriptors=[embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"]],
        )


@asynccontextmanager
async def serving(fake: FakeEmbedding, port: int = 0) -> AsyncIterator[int]:
    """The fake on a port of the loopback."""
    server = RunningServer(fake.service(), test_settings(), f"127.0.0.1:{port}")
    await server.start()
    await server.become_ready()
    try:
        yield server.port
    finally:
        await server.stop(1.0)


@dataclass(frozen=True)
class Wired:
    """The index with its real adapters: gRPC to the fake, Milvus Lite and a folder unless told otherwise."""

    index: Index
    vectors: MilvusStore
    objects: ObjectStore
    embedder: GrpcEmbedder
    data_dir: Path
    given: dict[str, Any]
    """Settings that it was wired with, to wire another one to the same stores."""

    def service(self) -> Service:
        servicer = VisionIndexServicer(self.index, self.vectors, self.objects)
        return Service(
            register=lambda server: vision_index_pb2_grpc.add_VisionIndexServiceServicer_to_server(servicer, server),
            descriptors=[vision_index_pb2.DESCRIPTOR.services_by_name["VisionIndexService"]],
        )

    async def keys(self, bucket: str = "alyaimg") -> list[str]:
        """Every object of a bucket, claims included."""
        return [info.key async for info in self.objects.list(bucket)]

    async def rows(self, bucket: str = "alyaimg") -> int:
        stats = await self.index.curator.stats()
        return stats.rows[self.objects.website_of(bucket)]


@asynccontextmanager
async def wired(
    data_dir: Path,
    port: int,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    wishes: Wishes = NO_WISHES,
    **given: Any,
) -> AsyncIterator[Wired]:
    settings = Settings(_env_file=None, data_dir=data_dir, **given)
    embedder = GrpcEmbedder(f"127.0.0.1:{port}", settings, settings.embedding_timeout)
    vectors, objects = MilvusStore(settings), open_store(settings)
    calibrated = thresholds_file.read(settings.calibrated_file)
    policy = Policy(settings.duplicate_distance, settings.similar_distance, settings.cross_website, calibrated)
    index = assemble(embedder, vectors, objects, policy, clock, wishes=wishes, batch_size=settings.batch_size)
    try:
        yield Wired(index, vectors, objects, embedder, data_dir, given)
    finally:
        await index.close()
        await embedder.close()
        await vectors.close()
        await objects.close()


@asynccontextmanager
async def stub_of(built: Wired) -> AsyncIterator[VisionIndexServiceAsyncStub]:
    """The servicer on a real socket."""
    async with serve_locally(built.service()) as channel:
        yield vision_index_pb2_grpc.VisionIndexServiceStub(channel)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


async def drop_collections(given: dict[str, Any]) -> None:
    """Removes every collection of settings that name a server and the start of the collections' names."""

    def drop(client: MilvusClient) -> None:
        for name in client.list_collections():
            if name.startswith(given["collection_name"]):
                client.drop_collection(name)

    store = MilvusStore(Settings(_env_file=None, **given))
    await store._connection.run(drop)
    await store.close()


@contextmanager
def milvus_server(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process that speaks Milvus's protocol over TCP (Milvus Lite's own server), answering when this returns."""
    command = [sys.executable, "-m", "milvus_lite", "server", "--data-dir", str(folder), "--host", "127.0.0.1"]
    process = subprocess.Popen(  # its log would fill the test's output
        [*command, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, "the server ended"
            time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.wait()
