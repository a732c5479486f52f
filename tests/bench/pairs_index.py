"""What the vision index says of the labelled sample pairs, with the embedded model: the table of its README.

    python -m tests.bench.pairs_index                  all photos; some 30 s of two cores
    python -m tests.bench.pairs_index --photos 12      the first so many, and the pairs among them

First every pair by itself, then as uploads come: all photos are stored, each has to be taken for a new product, and
then every variant is asked about and has to lead to its own photo. 1 when anything is not as it must be.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from objectstore import open_store
from samples.make_pairs import Pair, make_pairs
from tests.bench.bench_index import embedding, ready
from tests.system import REPOSITORY
from vision_index_service.adapters.embedder import GrpcEmbedder
from vision_index_service.adapters.milvus_store import MilvusStore
from vision_index_service.calibrate import measure, read_pairs, with_all_others
from vision_index_service.calibration import DIFFERENT, SAME_PHOTO, SAME_PRODUCT, Pairs, verdict_table, with_thresholds
from vision_index_service.index import Index, assemble
from vision_index_service.ingest import Upload
from vision_index_service.model import Reason, Verdict
from vision_index_service.reading import Policy, Reader
from vision_index_service.settings import Settings
from vision_index_service.verdict import Thresholds

PHOTOS = REPOSITORY / "samples" / "photos"


def wrong_of(relation: str, told: tuple[Verdict, Reason]) -> str:
    """What is wrong with a verdict, or nothing."""
    verdict, reason = told
    if relation in (*SAME_PRODUCT, *DIFFERENT):
        return f"{relation} is {verdict.name}" if verdict.stops_upload else ""
    if not verdict.stops_upload or (relation == "same_bytes") != (reason is Reason.SAME_BYTES):
        return f"{relation} is {verdict.name}, {reason.name}"
    if (relation == "flip") != (reason is Reason.MIRRORED_PHOTO):
        return f"{relation} is told as {reason.name}"
    return ""


def wrongs_of(pairs: Pairs, thresholds: Thresholds) -> Counter[str]:
    """Everything that must not be."""
    told = (wrong_of(pair.relation, pair.judged(thresholds)) for pair in pairs.measured)
    return Counter(wrong for wrong in told if wrong)


async def as_uploads(index: Index, pairs: Sequence[Pair], photos: Sequence[Path]) -> Counter[str]:
    """Stores the photos, asks about the variants; what went wrong."""
    wrong: Counter[str] = Counter()
    urls = {}
    for photo in photos:
        stored = await index.ingest.upload(Upload(photo.read_bytes(), original_name=photo.name))
        urls[photo] = stored.url
        if not stored.indexed:
            wrong[f"{photo.name} is taken for a stored one: {stored.decision.explanation}"] += 1
    for pair in pairs:
        if pair.relation in SAME_PHOTO and pair.file_a in urls:
            decision = await index.ingest.check(pair.file_b.read_bytes())
            told = wrong_of(pair.relation, (decision.verdict, decision.reason))
            if told or decision.match is None or decision.match.url != urls[pair.file_a]:
                wrong[told or f"{pair.file_b.name} leads to another photo"] += 1
    return wrong


async def run(folder: Path, most: int) -> Counter[str]:
    """Prints the tables; what is wrong."""
    photos = sorted(PHOTOS.glob("*.jpg"))[: most or None]
    pairs = [pair for pair in make_pairs(folder / "pairs") if {pair.file_a, pair.file_b} & set(photos)]
    pairs = [pair for pair in pairs if pair.file_b.parent != PHOTOS or {pair.file_a, pair.file_b} <= set(photos)]
    labelled = folder / "pairs.csv"
    with labelled.open("w", newline="", encoding="utf-8") as file:
        rows = [(pair.file_a, pair.file_b, pair.relation) for pair in pairs]
        csv.writer(file).writerows([("file_a", "file_b", "relation"), *rows])
    with embedding(folder, "perceptual") as address:
        settings = Settings(_env_file=None, data_dir=folder, milvus_host="", zilliz_url="", aws_access_key_id=None)
        embedder = GrpcEmbedder(address, settings, settings.embedding_timeout)
        vectors, objects = MilvusStore(settings), open_store(settings)
        reader, index = Reader(embedder, Policy()), assemble(embedder, vectors, objects, Policy())
        try:
            model = await ready(embedder)
            listed = read_pairs(labelled, [Path("/")])
            every, _ = await measure(reader, with_all_others(listed))
            wrong = await as_uploads(index, pairs, photos)
        finally:
            await index.close()
            await reader.close()
            for opened in (embedder, vectors, objects):
                await opened.close()
    thresholds = with_thresholds(model, None)
    wrong += wrongs_of(every, thresholds)
    print(f"{model.id}: duplicate below {thresholds.duplicate:g}, similar below {thresholds.similar:g} (squared L2)\n")
    print(verdict_table(Pairs(every.measured[: len(listed)]), thresholds))
    others = [pair for pair in every.measured if pair.relation not in SAME_PHOTO]
    stopped = sum(pair.judged(thresholds)[0].stops_upload for pair in others)
    variants = sum(pair.relation in SAME_PHOTO for pair in pairs)
    print(f"\nOf all {len(others):,} pairs of different photos {stopped} are exact or duplicate; the nearest is at")
    print(f"{min(pair.squared_l2 for pair in others):.2f}. {len(photos)} photos stored one by one, {variants} variants")
    print(f"asked about: {sum(wrong.values())} wrong.")
    return wrong


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pairs_index", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=0, help="only the first so many")
    with tempfile.TemporaryDirectory(prefix="pairs-index-") as folder:
        wrong = asyncio.run(run(Path(folder), parser.parse_args().photos))
    for what, count in wrong.items():
        print(f"wrong, {count} times: {what}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
