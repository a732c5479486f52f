"""nDCG@20 of the filter beside plain keyword and plain vector ranking, on the same products and wishes.

`python -m services.semantic.bench.quality` from the project's root. It starts an analyzer, whose settings decide
which model embeds. Plain keyword ranking is BM25 over stemmed words, plain vector ranking the cosine with the wish as
written. Ends with status 1 when the filter is not better than both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jewelry.analyzer.v1 import analyzer_pb2

from semantic_service import mapping, snapshot, styles, vocabulary
from semantic_service.adapters import chroma_store
from semantic_service.adapters.analyzer_embedder import AnalyzerEmbedder
from semantic_service.adapters.file_source import FileSource
from semantic_service.criteria import Asked
from semantic_service.finder import Finder
from semantic_service.settings import Settings
from semantic_service.syncing import Catalogue
from semantic_service.takeover import Takeover
from semantic_service.words import WordIndex
from servicekit import client
from services.semantic.bench import generated
from services.semantic.bench.generated import Generated

DEPTH = 20


def ndcg(ranked: Sequence[int], grades: np.ndarray) -> float:
    """Normalised discounted cumulative gain (Järvelin and Kekäläinen 2002), gain 2^grade - 1."""
    discounts = 1 / np.log2(np.arange(2, DEPTH + 2))
    gains = 2.0**grades - 1
    ideal = float((np.sort(gains)[::-1][:DEPTH] * discounts).sum())
    found = gains[np.array(ranked[:DEPTH], dtype=int)] if ranked else np.zeros(0)
    return float((found * discounts[: len(found)]).sum()) / ideal if ideal else math.nan


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=5_000)
    parser.add_argument("--data", type=Path, help="Folder that keeps the vectors for the next run.")
    parser.add_argument("--each", action="store_true", help="Print every wish.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, running_analyzer(Path(scratch)) as address:
        return await compare(options.products, options.data or Path(scratch), address, each=options.each)


@contextmanager
def running_analyzer(folder: Path) -> Iterator[str]:
    """The analyzer as a process of its own, on a free port; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    variables = {"ANALYZER_ADDR": address, "DATA_DIR": str(folder), "LOG_LEVEL": "WARNING"}
    process = subprocess.Popen([sys.executable, "-m", "analyzer_service"], env=os.environ | variables)
    try:
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)


async def compare(count: int, folder: Path, address: str, *, each: bool) -> int:
    """Ranks every wish in three ways and prints the means; 0 when the filter is better than both others."""
    settings = Settings()
    catalogue, wishes = generated.products(count), generated.wishes()
    descriptors = [analyzer_pb2.DESCRIPTOR.services_by_name["AnalyzerService"]]
    channel = client.connect(address, descriptors, settings)
    async with asyncio.timeout(60):
        await channel.channel_ready()
    embedder = AnalyzerEmbedder(channel, document_seconds=120, query_seconds=30)
    store = chroma_store.on_disk(folder / "chroma")
    words = vocabulary.load()
    book = styles.load(words)
    file = folder / "products.json"
    file.write_text(json.dumps([product.record for product in catalogue]))
    fields = mapping.load()
    source = FileSource(file, fields, max_bytes=1 << 30)
    takeover = Takeover(source, store, embedder, fields, words, book, batch=64, max_products=count)
    held = Catalogue(takeover, store, snapshot.empty(book), seconds=0)
    held.snapshot = await takeover.load()
    run = await held.sync()
    if (error := await run.ended()) is not None:
        raise SystemExit(f"the catalogue could not be taken over: {error.message}")
    finder = Finder(held, embedder, words)
    rows = {product.record["id"]: row for row, product in enumerate(catalogue)}
    plain = WordIndex([Counter(vocabulary.stems(_text(product))) for product in catalogue])
    print(f"{count} products, {len(wishes)} wishes, nDCG@{DEPTH}, texts embedded by {embedder.info.model_id}")
    totals: list[tuple[float, float, float]] = []
    for wish in wishes:
        grades = np.array([wish.grade(product.attributes) for product in catalogue], dtype=np.float64)
        answer = await finder.find(Asked(prompt=wish.text, size=DEPTH))
        keyword = plain.scores(dict.fromkeys(vocabulary.stems(wish.text), 1.0))
        vector = held.snapshot.vectors @ (await embedder.queries([wish.text])).vectors[0]
        ids = [stored.product.id for stored in held.snapshot.products]
        scores = (
            ndcg([rows[match.id] for match in answer.found.matches], grades),
            ndcg(_top(keyword), grades),
            ndcg([rows[ids[row]] for row in _top(vector)], grades),
        )
        totals.append(scores)
        if each:
            print(f"{scores[0]:.3f} {scores[1]:.3f} {scores[2]:.3f}  {int((grades == 3).sum()):5d}  {wish.text}")
    means = np.nanmean(np.array(totals), axis=0)
    print(f"filter {means[0]:.3f}   plain keyword {means[1]:.3f}   plain vector {means[2]:.3f}")
    print(f"over the better of the two: x{means[0] / max(means[1], means[2]):.2f}")
    await held.close()
    await store.close()
    await channel.close()
    return 0 if means[0] > max(means[1], means[2]) else 1


def _text(product: Generated) -> str:
    record = product.record
    return f"{record['title']} {record['category']} {record['description']}"


def _top(scores: np.ndarray) -> list[int]:
    return [int(row) for row in np.argsort(-scores, kind="stable")[:DEPTH]]


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
