"""`python -m embedding_service.calibrate PAIRS.csv --root FOLDER`: how well distances tell products apart.

Takes labelled pairs of pictures (columns file_a, file_b, relation), embeds them with the engine that the
settings name, and prints the false-match and false-miss rates per threshold and the thresholds that follow.
With --write, the perceptual descriptor's thresholds are kept with it.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedding_service import descriptor
from embedding_service.engine import Engine, Vectors
from embedding_service.selection import load_engine
from embedding_service.settings import Settings

SAME_PHOTO = ("same_bytes", "re_encode", "resize", "crop", "brightness", "watermark", "flip", "rotate")
SAME_PRODUCT = ("other_angle",)
DIFFERENT = ("different_product_same_type", "unrelated")

# Where one photo's variants and other photos overlap, the duplicate threshold keeps this far below the nearest
# pair of other photos: a wrong duplicate stops an upload, a missed one only stores it twice.
MARGIN = 0.85
_BATCH = 32
_THRESHOLDS_FILE = Path(__file__).with_name("perceptual_thresholds.json")


@dataclass(frozen=True)
class Distance:
    """Squared L2 between the vectors of a labelled pair."""

    relation: str
    squared_l2: float
    file_a: str
    file_b: str


@dataclass(frozen=True)
class Thresholds:
    """Squared L2 below which pictures show the same photo, and similar products."""

    duplicate: float
    similar: float


def distances(engine: Engine, pairs: Path, roots: Sequence[Path]) -> list[Distance]:
    """Embeds every picture of the pairs once.

    Raises:
        FileNotFoundError: A picture is under none of the roots.
        errors.InvalidArgument: A picture cannot be read.
    """
    with open(pairs, newline="", encoding="utf-8") as file:
        rows = [(row["file_a"], row["file_b"], row["relation"]) for row in csv.DictReader(file)]
    names = sorted({name for a, b, _ in rows for name in (a, b)})
    vectors = dict(zip(names, embed(engine, [_find(name, roots) for name in names]), strict=True))
    return [
        Distance(relation, float(((vectors[a].astype(np.float64) - vectors[b]) ** 2).sum()), a, b)
        for a, b, relation in rows
    ]


def embed(engine: Engine, files: Sequence[Path]) -> Iterable[Vectors]:
    """Vectors of the files, in order."""
    for start in range(0, len(files), _BATCH):
        yield from engine.infer([engine.preprocess(file.read_bytes()) for file in files[start : start + _BATCH]])


def thresholds(measured: Sequence[Distance]) -> Thresholds:
    """Thresholds that follow from labelled pairs.

    Duplicate: half way, by ratio, between the farthest variant of one photo and the nearest pair of other
    photos, be they of another product or another view of the same one; where these overlap, `MARGIN` of the
    latter, so that no other photo matches.
    Similar: where the share of other views missed and of different products matched is least together
    (Youden's index), and never below the duplicate threshold.
    """
    different = _of(measured, DIFFERENT)
    views = _of(measured, SAME_PRODUCT)
    nearest = float(min(different.min(), views.min(initial=np.inf)))
    farthest = float(_of(measured, SAME_PHOTO).max(initial=0.0))
    duplicate = float(np.sqrt(max(farthest, 1e-3) * nearest)) if farthest < nearest else nearest * MARGIN
    candidates = np.unique(np.concatenate([views, different]))
    best = min(candidates, key=lambda t: (views >= t).mean() + (different < t).mean()) if len(views) else duplicate
    return Thresholds(round(duplicate, 2), round(max(duplicate, float(best)), 2))


def table(measured: Sequence[Distance], chosen: Thresholds) -> str:
    """The rates per threshold, as text."""
    photo, views = _of(measured, SAME_PHOTO), _of(measured, SAME_PRODUCT)
    kinds = [_of(measured, (name,)) for name in DIFFERENT]
    everything = np.concatenate([photo, views, *kinds])
    grid = sorted(
        {*np.round(np.quantile(everything, np.linspace(0.05, 0.95, 10)), 2), chosen.duplicate, chosen.similar}
    )
    lines = [
        f"{len(photo)} pairs of one photo, {len(views)} of one product, "
        f"{len(kinds[0])} of different products of one type, {len(kinds[1])} unrelated; squared L2",
        "",
        f"{'threshold':>10} {'missed: photo':>14} {'other view':>11} {'matched: one type':>18} {'unrelated':>10}",
    ]
    for threshold in grid:
        rates = [(photo >= threshold), (views >= threshold), *(kind < threshold for kind in kinds)]
        missed, other, same_type, unrelated = (f"{rate.mean():.1%}" if len(rate) else "-" for rate in rates)
        mark = {chosen.duplicate: "  duplicate", chosen.similar: "  similar"}.get(threshold, "")
        lines.append(f"{threshold:>10.2f} {missed:>14} {other:>11} {same_type:>18} {unrelated:>10}{mark}")
    lines += ["", f"{'relation':<30} {'pairs':>5} {'median':>8} {'least':>8} {'most':>8}"]
    for relation in (*SAME_PHOTO, *SAME_PRODUCT, *DIFFERENT):
        values = _of(measured, (relation,))
        if len(values):
            lines.append(
                f"{relation:<30} {len(values):>5} {np.median(values):>8.2f} {values.min():>8.2f} {values.max():>8.2f}"
            )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m embedding_service.calibrate", description=__doc__.split("\n")[0])
    parser.add_argument("pairs", type=Path, help="CSV with file_a, file_b, relation")
    parser.add_argument("--root", type=Path, action="append", help="folder that the file names are relative to")
    parser.add_argument("--write", action="store_true", help="keep the perceptual descriptor's thresholds")
    given = parser.parse_args(arguments)
    engine = load_engine(Settings())
    measured = distances(engine, given.pairs, given.root or [given.pairs.parent])
    chosen = thresholds(measured)
    print(f"{engine.card.id} on {engine.card.engine}\n")
    print(table(measured, chosen))
    print(f"\nDUPLICATE_DISTANCE={chosen.duplicate} SIMILAR_DISTANCE={chosen.similar}")
    if given.write:
        if engine.card.engine != "perceptual":
            print("only the perceptual descriptor keeps its thresholds in a file; set the variables instead")
            return 2
        _THRESHOLDS_FILE.write_text(
            json.dumps(
                {
                    "descriptor": descriptor.VERSION,
                    "duplicate_distance": chosen.duplicate,
                    "similar_distance": chosen.similar,
                    "pairs": len(measured),
                },
                indent=2,
            )
            + "\n",
            encoding="utf-8",
        )
    return 0


def _of(measured: Sequence[Distance], relations: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([pair.squared_l2 for pair in measured if pair.relation in relations], dtype=np.float64)


def _find(name: str, roots: Sequence[Path]) -> Path:
    for root in roots:
        if (root / name).is_file():
            return root / name
    raise FileNotFoundError(f"{name} is under none of {', '.join(map(str, roots))}")


if __name__ == "__main__":
    sys.exit(main())
