"""Which thresholds tell pictures apart: error rates over labelled pairs, and the thresholds that follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vision_index_service import verdict
from vision_index_service.model import EmbeddingModel, Print, Reason, Verdict
from vision_index_service.thresholds_file import Calibrated, Curve, Rates
from vision_index_service.verdict import Thresholds

SAME_PHOTO = ("same_bytes", "re_encode", "resize", "crop", "brightness", "watermark", "rotate", "flip")
SAME_PRODUCT = ("other_angle",)
DIFFERENT = ("different_product_same_type", "unrelated")
RELATIONS = (*SAME_PHOTO, *SAME_PRODUCT, *DIFFERENT)

MARGIN = 0.85
"""Share of the nearest pair of different photos that the duplicate threshold may come up to: a wrong duplicate stops
an upload, a missed one, which the hashes mostly tell, only stores a picture twice."""
LEAST = 0.05
"""Squared L2 where curves begin: identical vectors have no place on a logarithmic axis."""
_CURVE_POINTS = 60
_OF_SAME = (0.5, 0.75, 0.9, 0.95, 1.0)
_OF_OTHERS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True)
class Measured:
    """A labelled pair: the squared L2 distance of the vectors, and both prints."""

    relation: str
    squared_l2: float
    first: Print
    second: Print

    def judged(self, thresholds: Thresholds) -> tuple[Verdict, Reason]:
        """What the index says, had the first been stored and the second been sent."""
        return verdict.pair_verdict(self.second, self.first, self.squared_l2, thresholds)

    @property
    def told_by_content(self) -> bool:
        """True when bytes, pixels or hashes tell that it is the same photo, whatever the distance."""
        return self.judged(Thresholds(0.0, 0.0, (0.0, 0.0, 0.0)))[0].stops_upload


class Pairs:
    """Labelled pairs, measured with one model."""

    def __init__(self, measured: Sequence[Measured]) -> None:
        """Raises ``ValueError`` without a pair of one photo and a pair of different products."""
        self.measured = tuple(measured)
        self.same, self.views, self.different = (self._of(r) for r in (SAME_PHOTO, SAME_PRODUCT, DIFFERENT))
        if not len(self.same) or not len(self.different):
            raise ValueError("pairs of one photo and pairs of different products are needed")
        kept = [pair.squared_l2 for pair in self.measured if pair.relation in SAME_PHOTO and not pair.told_by_content]
        self._untold = np.array(kept, dtype=np.float64)

    def thresholds(self) -> Calibrated:
        """What follows from the pairs.

        Duplicate: half way, by ratio, between the farthest variant of one photo and the nearest other photo, or
        ``MARGIN`` of the latter where these overlap. Similar: where the shares of other views missed and of different
        products matched are least together (Youden's index), and never below the duplicate threshold.
        """
        others = np.concatenate([self.views, self.different])
        nearest, farthest = float(others.min()), float(self.same.max())
        duplicate = nearest * MARGIN
        if farthest < nearest:
            duplicate = min(duplicate, float(np.sqrt(max(farthest, 1e-3) * nearest)))
        similar = duplicate
        if len(self.views):
            candidates = np.unique(np.concatenate([others, [duplicate]]))
            similar = float(min(candidates, key=lambda t: (self.views >= t).mean() + (self.different < t).mean()))
        return Calibrated(round(duplicate, 2), round(max(similar, duplicate), 2))

    def rates(self, threshold: float) -> Rates:
        """Error rates were this the threshold of the one verdict, or of the other."""
        others = np.concatenate([self.views, self.different])
        return Rates(
            threshold=threshold,
            duplicate_match=_share(others < threshold),
            duplicate_miss=_share(self.same >= threshold),
            duplicate_miss_all=float((self._untold >= threshold).sum() / len(self.same)),
            similar_match=_share(self.different < threshold),
            similar_miss=_share(self.views >= threshold),
        )

    def grid(self, *more: float) -> list[float]:
        """Thresholds to look at: quantiles of all distances, and those given."""
        others = np.concatenate([self.views, self.different])
        quantiles = np.concatenate([np.quantile(self.same, _OF_SAME), np.quantile(others, _OF_OTHERS)])
        return sorted({*np.round(quantiles, 2).tolist(), *more})

    def curve(self) -> Curve:
        """The error rates over the whole range of distances, for a plot with a logarithmic axis."""
        most = float(max(self.same.max(), self.different.max()))
        at = np.unique(np.round(np.geomspace(LEAST, max(most, 2 * LEAST), _CURVE_POINTS), 2))
        return Curve(len(self.measured), tuple(self.rates(float(threshold)) for threshold in at))

    def verdicts(self, thresholds: Thresholds) -> dict[str, Counter[tuple[Verdict, Reason]]]:
        """How often each relation gets each verdict, with its reason."""
        told: dict[str, Counter[tuple[Verdict, Reason]]] = {}
        for pair in self.measured:
            told.setdefault(pair.relation, Counter())[pair.judged(thresholds)] += 1
        return dict(sorted(told.items(), key=lambda item: RELATIONS.index(item[0])))

    def _of(self, relations: Collection[str]) -> NDArray[np.float64]:
        return np.array([p.squared_l2 for p in self.measured if p.relation in relations], dtype=np.float64)


def rates_table(pairs: Pairs, chosen: Calibrated) -> str:
    """The error rates per threshold and verdict, as text."""
    lines = [
        f"{len(pairs.same)} pairs of one photo, {len(pairs.views)} other views of one product, "
        f"{len(pairs.different)} of different products; squared L2",
        "",
        f"{'':>10} | {'as duplicate threshold':^46} | {'as similar threshold':^27}",
        f"{'threshold':>10} | {'false match':>12} {'false miss':>12} {'with hashes':>20} | "
        f"{'false match':>13} {'false miss':>13}",
    ]
    marks = {chosen.duplicate: " <- duplicate", chosen.similar: " <- similar"}
    for threshold in pairs.grid(chosen.duplicate, chosen.similar):
        r = pairs.rates(threshold)
        duplicate = f"{r.duplicate_match:>12.1%} {r.duplicate_miss:>12.1%} {r.duplicate_miss_all:>20.1%}"
        similar = f"{r.similar_match:>13.1%} {r.similar_miss:>13.1%}"
        lines.append(f"{threshold:>10.2f} | {duplicate} | {similar}{marks.get(threshold, '')}")
    return "\n".join(lines)


def verdict_table(pairs: Pairs, thresholds: Thresholds) -> str:
    """What the index says per relation, as a Markdown table."""
    columns = {
        "exact": {Reason.SAME_BYTES, Reason.SAME_PIXELS},
        "duplicate: same photo": {Reason.SAME_PHOTO},
        "duplicate: mirrored": {Reason.MIRRORED_PHOTO},
    }
    lines = ["| relation | n | " + " | ".join(columns) + " | duplicate: distance | similar | new | distance |"]
    lines.append("|---|" + "---|" * (len(columns) + 5))
    for relation, told in pairs.verdicts(thresholds).items():
        distances = [pair.squared_l2 for pair in pairs.measured if pair.relation == relation]
        cells = [sum(n for (_, reason), n in told.items() if reason in reasons) for reasons in columns.values()]
        cells += [
            told[Verdict.DUPLICATE, Reason.DISTANCE],
            told[Verdict.SIMILAR, Reason.DISTANCE],
            told[Verdict.NEW, Reason.NONE],
        ]
        spread = f"{min(distances):.1f} to {max(distances):.1f}"
        lines.append(f"| {relation} | {len(distances)} | " + " | ".join(str(n or "") for n in cells) + f" | {spread} |")
    return "\n".join(lines)


def with_thresholds(model: EmbeddingModel, chosen: Calibrated | None) -> Thresholds:
    """The thresholds that the index would work with."""
    return Thresholds.of(chosen.of(model) if chosen else model)


def _share(wrong: NDArray[np.bool_]) -> float:
    return float(wrong.mean()) if len(wrong) else 0.0
