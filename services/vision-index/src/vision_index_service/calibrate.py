"""`python -m vision_index_service.calibrate PAIRS.csv --root FOLDER`: thresholds for the model that answers now.

Takes labelled pairs of pictures (columns file_a, file_b, relation; files relative to a root), asks the embedding
service at EMBEDDING_ADDR for their vectors, and prints the error rates per threshold and verdict, and what the index
says per relation. Writes a plot and the thresholds file that the service reads at its start.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import itertools
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from servicekit import errors
from vision_index_service import thresholds_file
from vision_index_service.adapters.embedder import GrpcEmbedder
from vision_index_service.calibration import (
    DIFFERENT,
    RELATIONS,
    SAME_PRODUCT,
    Measured,
    Pairs,
    rates_table,
    verdict_table,
    with_thresholds,
)
from vision_index_service.model import EmbeddingModel, Print, Vector
from vision_index_service.reading import Policy, Reader
from vision_index_service.settings import Settings
from vision_index_service.thresholds_file import Calibrated

_BATCH = 32


@dataclass(frozen=True)
class _Labelled:
    first: Path
    second: Path
    relation: str


def read_pairs(file: Path, roots: Sequence[Path]) -> list[_Labelled]:
    """The rows of the CSV with their files.

    Raises:
        errors.InvalidArgument: A column or a file is missing, or a relation unknown.
    """
    with file.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    pairs = []
    for number, row in enumerate(rows, start=2):
        relation = row.get("relation") or ""
        if relation not in RELATIONS:
            raise errors.InvalidArgument(
                f"line {number}: the relation {relation!r} is none of {', '.join(RELATIONS)}", reason="PAIRS_INVALID"
            )
        first, second = (_find(row.get(name) or "", roots, number) for name in ("file_a", "file_b"))
        pairs.append(_Labelled(first, second, relation))
    return pairs


def with_all_others(pairs: Sequence[_Labelled]) -> list[_Labelled]:
    """The pairs, and every two photos that no pair joins as different products.

    Photos are the first files of pairs, and the second ones of pairs of two photos.
    """
    photos = {pair.first for pair in pairs} | {p.second for p in pairs if p.relation in (*SAME_PRODUCT, *DIFFERENT)}
    joined = {frozenset((pair.first, pair.second)) for pair in pairs}
    more = [
        _Labelled(first, second, "unrelated")
        for first, second in itertools.combinations(sorted(photos), 2)
        if frozenset((first, second)) not in joined
    ]
    return [*pairs, *more]


async def measure(reader: Reader, pairs: Sequence[_Labelled]) -> tuple[Pairs, EmbeddingModel]:
    """Reads and embeds every picture once. Raises as the embedding service, and for a picture that cannot be read."""
    files = sorted({file for pair in pairs for file in (pair.first, pair.second)})
    model = await reader.model()
    prints: dict[Path, Print] = {}
    vectors: dict[Path, Vector] = {}
    for start in range(0, len(files), _BATCH):
        batch = files[start : start + _BATCH]
        images = [file.read_bytes() for file in batch]
        seen, (outcomes, model) = await asyncio.gather(
            asyncio.gather(*(reader.print(image) for image in images)), reader.vectors(images)
        )
        for file, one, outcome in zip(batch, seen, outcomes, strict=True):
            if isinstance(outcome, errors.ServiceError):
                raise outcome
            prints[file], vectors[file] = one, outcome
    return Pairs([_measured(pair, prints, vectors) for pair in pairs]), model


def _measured(pair: _Labelled, prints: dict[Path, Print], vectors: dict[Path, Vector]) -> Measured:
    apart = vectors[pair.first].astype(np.float64) - vectors[pair.second]
    return Measured(pair.relation, float((apart**2).sum()), prints[pair.first], prints[pair.second])


def _find(name: str, roots: Iterable[Path], line: int) -> Path:
    for root in roots:
        if name and (root / name).is_file():
            return root / name
    raise errors.InvalidArgument(
        f"line {line}: {name or 'an empty file name'} is under none of the roots", reason="PAIRS_INVALID"
    )


async def calibrate(given: argparse.Namespace, settings: Settings) -> int:
    """The command's work; returns the exit status."""
    embedder = GrpcEmbedder(settings.embedding_addr, settings, settings.embedding_timeout)
    reader = Reader(embedder, Policy())
    try:
        labelled = read_pairs(given.pairs, given.root or [given.pairs.parent])
        pairs, model = await measure(reader, with_all_others(labelled) if given.others_differ else labelled)
        listed = Pairs(pairs.measured[: len(labelled)])
    finally:
        await reader.close()
        await embedder.close()
    chosen = pairs.thresholds()
    own = Calibrated(model.duplicate_distance, model.similar_distance)
    print(f"{model.id}; its own thresholds are {own.duplicate:g} and {own.similar:g}\n")
    print(rates_table(pairs, chosen))
    for name, used in (("the model's own thresholds", None), ("the calibrated thresholds", chosen)):
        print(f"\nVerdicts with {name}:\n\n{verdict_table(listed, with_thresholds(model, used))}")
    print(f"\nDUPLICATE_DISTANCE={chosen.duplicate:g} SIMILAR_DISTANCE={chosen.similar:g}")
    if given.curve:
        thresholds_file.write_curve(given.curve, model.id, pairs.curve())
        print(f"curve: {given.curve}")
    if given.no_write:
        return 0
    about = {"calibrated": datetime.now(UTC).date().isoformat(), **pairs.curve().told()}
    thresholds_file.write(settings.calibrated_file, model.id, chosen, about)
    print(f"written to {settings.calibrated_file}; the service reads it at its next start")
    return _plotted(pairs, chosen, given.plot or settings.calibrated_file.with_suffix(".png"), model)


def _plotted(pairs: Pairs, chosen: Calibrated, file: Path, model: EmbeddingModel) -> int:
    try:
        from vision_index_service.calibration_plot import plot
    except ImportError:
        print("no plot: install the extra, jewelry-vision-index[calibrate]", file=sys.stderr)
        return 1
    plot(pairs, chosen, file, model.id)
    print(f"plot: {file}")
    return 0


def main(arguments: Sequence[str] | None = None, settings: Settings | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m vision_index_service.calibrate", description=__doc__)
    parser.add_argument("pairs", type=Path, help="CSV with file_a, file_b, relation")
    parser.add_argument("--root", type=Path, action="append", help="folder that the names are relative to; repeatable")
    parser.add_argument("--plot", type=Path, help="where the PNG goes; default: beside the thresholds file")
    parser.add_argument("--curve", type=Path, help="JSON file that also gets the error rates, without thresholds")
    parser.add_argument("--no-write", action="store_true", help="only print")
    parser.add_argument(
        "--others-differ", action="store_true", help="also use every two photos that no pair joins, as other products"
    )
    try:
        return asyncio.run(calibrate(parser.parse_args(arguments), settings or Settings()))
    except (errors.ServiceError, OSError, ValueError) as error:
        print(f"calibrate: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
