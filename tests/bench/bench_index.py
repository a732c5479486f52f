"""How fast rows go in and are found, beside exact numpy and an HNSW library; what a re-index costs beyond embedding.

    python -m tests.bench.bench_index                       both parts
    python -m tests.bench.bench_index search --sizes 1000 20000
    python -m tests.bench.bench_index reindex --engine clip --images 320

Prints Markdown. `search` goes through the service's own store: Milvus Lite in a folder and, with MILVUS_HOST or
ZILLIZ_URL set, that server as well. The vectors are 512-d mixtures of 400 groups in 48 dimensions with a little
noise, norm about 10, which lie as unevenly as pictures do; every query is a vector near a stored one. `reindex` takes
copies of the sample photos (a comment in the file makes each one's bytes its own) through a real embedding process;
`--engine clip` runs a ViT-B/32 of the real size with random weights.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from jewelry_local.topology import environment, free_addresses
from numpy.typing import NDArray

from objectstore import ObjectStore, open_store
from objectstore.keys import object_key
from servicekit import errors
from tests.system import REPOSITORY
from vision_index_service.adapters.embedder import GrpcEmbedder
from vision_index_service.adapters.milvus_store import MilvusStore
from vision_index_service.index import Index, assemble
from vision_index_service.model import EmbeddingModel, Filter, Print, Row, Vector
from vision_index_service.reading import Policy
from vision_index_service.settings import Settings

SIZES = (1_000, 20_000, 100_000)
QUERIES = {1_000: 300, 20_000: 200, 100_000: 100}
DIMENSION, GROUPS, LATENT = 512, 400, 48
TOP_K = 10
BATCH = 256
BUCKET = "alyaimg"
IMAGES = 1_255
"""The specification's own example: 1,255 pictures in 3 minutes."""
TARGET = 0.10
PAIRS = 2
"""Embedding alone and re-index in turns: what else the machine does only adds, so the fastest of each counts."""
M, EF_CONSTRUCTION, EF_SEARCH = 16, 100, 128
"""The library's parameters; a Milvus server is asked for 16, 200 and 128."""
_FOREIGN = ("MILVUS_HOST", "ZILLIZ_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_READY_SECONDS = 120.0
Vectors = NDArray[np.float32]


# ---- insert and search


@dataclass
class Column:
    """What one way of searching showed at one size; times in milliseconds, rates in rows a second."""

    name: str
    inserted: float
    times: list[float] = field(default_factory=list)
    found: list[list[int]] = field(default_factory=list)

    def line(self, exact: Column) -> str:
        """A row of the table."""
        p50, p99 = np.percentile(self.times, [50, 99])
        hits = sum(len(set(a) & set(b)) for a, b in zip(self.found, exact.found, strict=True))
        ratio = p50 / np.percentile(exact.times, 50)
        recall = hits / (TOP_K * len(exact.found))
        inserted = f"{self.inserted:,.0f}" if self.inserted else ""
        return f"| {self.name} | {inserted} | {p50:.2f} | {p99:.2f} | {ratio:.2f} | {recall:.1%} |"


def vectors(count: int, seed: int = 7) -> Vectors:
    """Shape (count, 512), float32."""
    chance = np.random.default_rng(seed)
    spread = chance.normal(size=(LATENT, DIMENSION)) / np.sqrt(LATENT)
    centres = chance.normal(size=(GROUPS, LATENT))
    latent = centres[chance.integers(0, GROUPS, count)] + 0.6 * chance.normal(size=(count, LATENT))
    made = latent @ spread * 0.4
    return np.asarray(made + 0.02 * chance.normal(size=made.shape), dtype=np.float32)


def row(number: int, vector: Vector) -> Row:
    """A row as an upload leaves it."""
    hashed = int.from_bytes(np.random.default_rng(number).bytes(32), "big")
    name = f"{hashed:064x}"
    colors = bytes(range(72))
    seen = Print(name, name[::-1], 1000, 1000, "image/jpeg", hashed, hashed >> 1, hashed >> 2, hashed >> 3, colors)
    key = f"images/20261122T120000Z_{uuid.UUID(int=number)}_photo-{number}.jpg"
    url = f"http://127.0.0.1:8000/files/{BUCKET}/{key}"
    norm = float(np.linalg.norm(vector))
    return Row(f"{number:064x}", BUCKET, key, url, "alya", seen, "bench", "S-1", f"{number}.jpg", number, norm)


class Numpy:
    """All distances, then the ten smallest."""

    name = "exact numpy"

    def __init__(self) -> None:
        self._all, self._norms = np.empty((0, DIMENSION), dtype=np.float32), np.empty(0, dtype=np.float32)

    def add(self, more: Vectors) -> None:
        """Appends."""
        self._all = np.concatenate([self._all, more])
        self._norms = np.einsum("ij,ij->i", self._all, self._all)

    def search(self, query: Vector) -> list[int]:
        """Numbers of the nearest."""
        distances = self._norms - 2.0 * (self._all @ query)
        nearest = np.argpartition(distances, TOP_K)[:TOP_K]
        return [int(n) for n in nearest[np.argsort(distances[nearest])]]


class Faiss:
    """An HNSW library."""

    name = f"faiss HNSW {M}/{EF_CONSTRUCTION}/{EF_SEARCH}"

    def __init__(self) -> None:
        import faiss

        self._index = faiss.IndexHNSWFlat(DIMENSION, M)
        self._index.hnsw.efConstruction, self._index.hnsw.efSearch = EF_CONSTRUCTION, EF_SEARCH

    def add(self, more: Vectors) -> None:
        """Appends."""
        self._index.add(more)

    def search(self, query: Vector) -> list[int]:
        """Numbers of the nearest."""
        return [int(n) for n in self._index.search(query[None], TOP_K)[1][0]]


async def timed_inserts(store: MilvusStore, space: str, data: Vectors, first: int) -> float:
    """Rows a second, through the service's store."""
    seconds = 0.0
    for start in range(0, len(data), BATCH):
        entries = [(row(first + start + n, v), v) for n, v in enumerate(data[start : start + BATCH])]
        began = time.perf_counter()
        await store.upsert(space, entries)
        seconds += time.perf_counter() - began
    return len(data) / seconds


async def timed_searches(store: MilvusStore, space: str, queries: Vectors, column: Column) -> None:
    """Fills the column."""
    for query in queries:
        began = time.perf_counter()
        near = await store.search(space, query, Filter(bucket=BUCKET), TOP_K)
        column.times.append((time.perf_counter() - began) * 1000)
        column.found.append([n.row.created for n in near])


def timed_library(library: Numpy | Faiss, more: Vectors, queries: Vectors) -> Column:
    """Adds, then searches."""
    began = time.perf_counter()
    library.add(more)
    column = Column(library.name, len(more) / (time.perf_counter() - began) if isinstance(library, Faiss) else 0.0)
    for query in queries:
        began = time.perf_counter()
        found = library.search(query)
        column.times.append((time.perf_counter() - began) * 1000)
        column.found.append(found)
    return column


@contextlib.asynccontextmanager
async def stores(folder: Path) -> AsyncIterator[dict[str, MilvusStore]]:
    """Milvus Lite, and the server that the environment names."""
    base = f"bench_{uuid.uuid4().hex[:8]}"
    common: dict[str, Any] = {
        "_env_file": None,
        "data_dir": folder,
        "collection_name": base,
        "vector_store_timeout": 120.0,
    }
    server = Settings(**common)
    settings = [Settings(**common, milvus_host="", zilliz_url="")] + ([server] if server.vector_store_uri else [])
    made = [MilvusStore(each) for each in settings]
    try:
        yield {store.name: store for store in made}
    finally:
        for store in made:
            if not store.embedded:
                await store._connection.run(lambda client: _drop(client, base))
            await store.close()


def _drop(client: Any, base: str) -> None:
    for name in client.list_collections():
        if name.startswith(base):
            client.drop_collection(name)


async def search(folder: Path, sizes: Sequence[int]) -> None:
    """The table of inserts and searches."""
    everything = vectors(max(sizes) + max(QUERIES.values()))
    chance = np.random.default_rng(11)
    libraries: list[Numpy | Faiss] = [Numpy(), Faiss()]
    model = EmbeddingModel("bench", "bench", DIMENSION, 1.0, 5.0)
    print(f"Inserts in batches of {BATCH}; top {TOP_K}, one caller, filter on the bucket.")
    async with stores(folder) as made:
        spaces = {name: await store.space(model) for name, store in made.items()}
        before = 0
        for size in sorted(sizes):
            more = everything[before:size]
            near = everything[chance.integers(0, size, QUERIES.get(size, 100))]
            queries = near + np.asarray(0.05 * chance.normal(size=near.shape), dtype=np.float32)
            columns = [timed_library(library, more, queries) for library in libraries]
            for name, store in made.items():
                column = Column(f"{name}, the service's store", await timed_inserts(store, spaces[name], more, before))
                await timed_searches(store, spaces[name], queries, column)
                columns.append(column)
            print(f"\n{size:,} rows, {len(queries)} queries\n")
            print(f"| | rows/s in | p50 ms | p99 ms | p50 over numpy's | recall@{TOP_K} |\n|---|---|---|---|---|---|")
            print("\n".join(column.line(columns[0]) for column in columns), flush=True)
            before = size


# ---- re-index


@contextlib.contextmanager
def embedding(folder: Path, engine: str) -> Iterator[str]:
    """The embedding service as a process; its address."""
    addresses = free_addresses()
    variables = {**addresses, "EMBED_ENGINE": engine, "DATA_DIR": str(folder), "OTEL_SDK_DISABLED": "true"}
    if engine == "clip":
        from embedding_service.testing import write_random_checkpoint

        variables["CLIP_MODEL"] = str(write_random_checkpoint(folder / "clip"))
    log = (folder / "embedding.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "embedding_service"], env=environment(**variables), cwd=folder, stdout=log, stderr=log
    )
    try:
        yield addresses["EMBEDDING_ADDR"]
    finally:
        process.kill()
        process.wait()
        log.close()


class Watched(GrpcEmbedder):
    """Says for how long at least one batch was at the embedding service; can pass for another model."""

    busy, other = 0.0, ""
    _inside, _since = 0, 0.0

    async def model(self) -> EmbeddingModel:
        """As the embedder."""
        known = await super().model()
        return replace(known, id=known.id + self.other)

    async def embed_bulk(self, images: Sequence[bytes]) -> tuple[list[Vector | errors.ServiceError], EmbeddingModel]:
        """As the embedder."""
        if self._inside == 0:
            self._since = time.perf_counter()
        self._inside += 1
        try:
            vectors, _ = await super().embed_bulk(images)
            return vectors, await self.model()
        finally:
            self._inside -= 1
            if self._inside == 0:
                self.busy += time.perf_counter() - self._since


@dataclass
class Pass:
    """One way through the pictures: seconds in all, those with a batch at the embedding service, and of CPU here."""

    name: str
    images: int
    wall: float
    busy: float
    cpu: float

    def line(self, bare: Pass) -> str:
        """A row of the table; ``bare`` is the embedding alone."""
        rate, idle = self.images / self.wall, max(0.0, 1 - self.busy / self.wall)
        cpu, over = self.cpu / self.images * 1000, self.wall / bare.wall - 1
        told = f"{self.wall:.1f} | {rate:.1f} | {cpu:.1f} | {idle:.1%} | {over:+.1%}"
        return f"| {self.name} | {self.images:,} | {told} |"


async def ready(embedder: GrpcEmbedder) -> EmbeddingModel:
    """The model, once the service is up."""
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        try:
            return await embedder.model()
        except (errors.Unavailable, errors.DeadlineExceeded):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)


async def bare(embedder: Watched, images: Sequence[bytes], batch: int) -> Pass:
    """Embeds them and does nothing else: as many batches under way as the index has."""
    batches = iter([images[n : n + batch] for n in range(0, len(images), batch)])

    async def caller() -> None:
        for some in batches:
            await embedder.embed_bulk(some)

    embedder.busy, began, cpu = 0.0, time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller() for _ in range(3)))
    wall = time.perf_counter() - began
    return Pass("embedding alone", len(images), wall, embedder.busy, time.process_time() - cpu)


def copies(count: int) -> list[bytes]:
    """Sample photos, each with bytes of its own: a JPEG comment after the start of the file."""
    photos = [file.read_bytes() for file in sorted((REPOSITORY / "samples" / "photos").glob("*.jpg"))]
    return [
        data[:2] + b"\xff\xfe\x00\x0a" + f"{number:08d}".encode() + data[2:]
        for number, data in zip(range(count), itertools.cycle(photos), strict=False)
    ]


async def one_pass(name: str, index: Index, embedder: Watched) -> Pass:
    """A whole re-index."""
    embedder.busy, began, done, cpu = 0.0, time.perf_counter(), 0, time.process_time()
    async for report in index.reindex.run("alya", restart=True):
        done = report.progress.done
        if report.problems:
            raise SystemExit(f"a picture failed: {report.problems[0].detail}")
    return Pass(name, done, time.perf_counter() - began, embedder.busy, time.process_time() - cpu)


async def fill(objects: ObjectStore, images: Sequence[bytes]) -> None:
    """Objects without rows."""
    for number, image in enumerate(images):
        key = object_key(
            "images", f"photo-{number}.jpg", "jpg", uuid.UUID(int=number), datetime(2026, 11, 22, tzinfo=UTC)
        )
        await objects.put(BUCKET, key, image, "image/jpeg")


async def reindex(folder: Path, engine: str, count: int) -> bool:
    """The table of re-indexes; False when the target is missed."""
    for name in _FOREIGN:
        os.environ.pop(name, None)
    images = copies(count)
    with embedding(folder, engine) as address:
        settings = Settings(_env_file=None, data_dir=folder)
        embedder = Watched(address, settings, settings.embedding_timeout)
        vectors, objects = MilvusStore(settings), open_store(settings)
        index = assemble(embedder, vectors, objects, Policy(), batch_size=settings.batch_size)
        try:
            model = await ready(embedder)
            await fill(objects, images)
            await bare(embedder, images[:64], settings.batch_size)  # warm
            first = await one_pass("objects without rows: fingerprints too", index, embedder)
            alone, again = [], []
            for _ in range(PAIRS):
                alone.append(await bare(embedder, images, settings.batch_size))
                again.append(await one_pass("re-index, rows unchanged", index, embedder))
            embedder.other = "-next"
            moved = await one_pass("re-index for another model: every row written", index, embedder)
        finally:
            await index.close()
            await embedder.close()
            await vectors.close()
            await objects.close()
    least, best = (min(passes, key=lambda one: one.wall) for passes in (alone, again))
    print(f"{model.id}, {count:,} photos of {len(images[0]) / 1000:.0f} kB, batches of {settings.batch_size};")
    print(f"the first two lines are the faster of {PAIRS} in turns.\n")
    print("| | images | seconds | images/s | CPU of the index, ms a picture | nothing at the embedder | over alone |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(one.line(least) for one in (least, best, moved, first)))
    over = best.wall / least.wall - 1
    met = over <= TARGET
    told = "met" if met else "missed"
    print(f"\nTarget: a re-index takes at most {TARGET:.0%} longer than embedding alone. It is {over:+.1%}: {told}.")
    return met


def main() -> int:
    """The command; 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_index", description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", choices=("search", "reindex", "all"), default="all")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--engine", choices=("perceptual", "clip"), default="perceptual")
    parser.add_argument("--images", type=int, default=IMAGES)
    given = parser.parse_args()
    met = True
    parts: list[Callable[[Path], Any]] = []
    if given.part in ("search", "all"):
        parts.append(lambda folder: search(folder, given.sizes))
    if given.part in ("reindex", "all"):
        parts.append(lambda folder: reindex(folder, given.engine, given.images))
    for part in parts:
        with tempfile.TemporaryDirectory(prefix="bench-index-") as folder:
            met = asyncio.run(part(Path(folder))) is not False and met
        print()
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
