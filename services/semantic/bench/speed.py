"""Speed of syncs and of the filter, without the time that a model takes to embed.

`python -m services.semantic.bench.speed --products 5000 50000` from the project's root. Vectors come from
words by hashing, so that no model, and no analyzer, has to run; what is left is this service's own work.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from semantic_service import mapping, snapshot, styles, vocabulary
from semantic_service.adapters import chroma_store
from semantic_service.adapters.file_source import FileSource
from semantic_service.criteria import Asked
from semantic_service.finder import Finder
from semantic_service.ports import AdapterInfo, Embedded, Model
from semantic_service.progress import SyncRun
from semantic_service.syncing import Catalogue
from semantic_service.takeover import Takeover
from services.semantic.bench import generated

DIMENSIONS = 384
REQUESTS = 300


class HashingEmbedder:
    """Each word votes for one dimension; counts the texts."""

    def __init__(self) -> None:
        self.texts = 0
        self.info = AdapterInfo("text_embedding", "hashing", embedded=True)

    async def documents(self, texts: Sequence[str]) -> Embedded:
        """Vectors of texts."""
        self.texts += len(texts)
        vectors = np.full((len(texts), DIMENSIONS), 1e-3, dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                vectors[row, zlib.crc32(word.encode()) % DIMENSIONS] += 1
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return Embedded(vectors, Model("hashing", DIMENSIONS), self.info)

    async def queries(self, texts: Sequence[str]) -> Embedded:
        """The same."""
        return await self.documents(texts)


async def measure(count: int, folder: Path) -> None:
    """Prints what one size of catalogue takes."""
    records = [product.record for product in generated.products(count)]
    file = folder / "products.json"
    file.write_text(json.dumps(records))
    words, fields = vocabulary.load(), mapping.load()
    book = styles.load(words)
    embedder, store = HashingEmbedder(), chroma_store.on_disk(folder / "chroma")
    source = FileSource(file, fields, max_bytes=1 << 30)
    takeover = Takeover(source, store, embedder, fields, words, book, batch=64, max_products=count)
    held = Catalogue(takeover, store, snapshot.empty(book), seconds=0)
    print(f"{count:,} products of {DIMENSIONS} dimensions")
    await _sync("first sync", held, embedder)
    rng = random.Random(1)  # noqa: S311  # a benchmark, no secret
    for record in rng.sample(records, count // 100):
        record["description"] += " New for this season."
    file.write_text(json.dumps(records))
    await _sync("second sync, 1% changed", held, embedder)
    await _sync("third sync, nothing changed", held, embedder)
    started = time.perf_counter()
    await takeover.load()
    print(f"  load after a restart            {time.perf_counter() - started:8.2f} s")
    await _filters(Finder(held, embedder, words), rng)
    await held.close()
    await store.close()


async def _sync(name: str, held: Catalogue, embedder: HashingEmbedder) -> None:
    before, started = embedder.texts, time.perf_counter()
    run: SyncRun = await held.sync()
    if (error := await run.ended()) is not None:
        raise SystemExit(error.message)
    seconds = time.perf_counter() - started
    rate = run.total / seconds
    print(f"  {name:31} {seconds:8.2f} s {rate:9.0f} products/s {embedder.texts - before:7} texts embedded")


async def _filters(finder: Finder, rng: random.Random) -> None:
    wishes = [wish.text for wish in generated.wishes()]
    for name, asked in (
        ("filters only", lambda: Asked(category="earrings", min_price=500, max_price=rng.randrange(1000, 9000))),
        ("a wish", lambda: Asked(prompt=rng.choice(wishes))),
        ("a wish within filters", lambda: Asked(prompt=rng.choice(wishes), max_price=3000, in_stock=True)),
        ("a wish, 200 products", lambda: Asked(prompt=rng.choice(wishes), size=200)),
    ):
        taken = []
        for _ in range(REQUESTS):
            request = asked()
            started = time.perf_counter()
            await finder.find(request)
            taken.append((time.perf_counter() - started) * 1000)
        p50, p99 = np.percentile(taken, [50, 99])
        print(f"  filter: {name:23} p50 {p50:7.1f} ms   p99 {p99:7.1f} ms")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, nargs="+", default=[5_000, 50_000])
    for count in parser.parse_args().products:
        with tempfile.TemporaryDirectory() as folder:
            await measure(count, Path(folder))


if __name__ == "__main__":
    asyncio.run(main())
