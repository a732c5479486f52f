"""Verdicts: is this picture stored already, and why do we think so.

The bounds were read off the sample pairs (`samples/pairs.csv` and all 1,528 pairs of different photos); the
table is in the service's README and `tests/test_vision_index_pairs.py` holds it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from servicekit import errors
from vision_index_service.fingerprint import color_distance, distance
from vision_index_service.model import (
    Band,
    Decision,
    EmbeddingModel,
    Mark,
    Match,
    Neighbour,
    Print,
    Reason,
    Row,
    Verdict,
)

FRAME_BOUND = 20
"""Frames of one photo differ by up to 16 bits of 256, those of two products by 26 and more."""
BOX_BOUND = 44
"""Boxes of one photo, cropped too, differ by up to 28 bits, those of two products by 72 and more."""
BOX_BESIDE_FRAME = 64
"""What the boxes may differ by when the frames agree: a mark beside the product may widen its box."""
MIRRORED_BOX_BOUND = 24
"""Tighter: mirrored boxes of two products come as near as 36, those of one photo differ by up to 8."""
CLEARLY_MIRRORED = 8
"""Bits that the mirrored hash must be nearer by; the hashes of a symmetric product are both near."""
COLOR_BOUND = 9.0
"""Largest difference of a cell of the colour grid. One photo: up to 6.3. A stone in another colour: 12 and
more, unless it covers less than 0.3% of the picture; grey hashes do not see it at all."""
UNRELATED_SHARE = 95 / 25
"""The scale is 5 / 25 / 95 for CLIP; its last step follows the model's own."""


@dataclass(frozen=True)
class Thresholds:
    """Squared L2 distances below which a picture is a duplicate, or similar, and where the bands end.

    ``calibrated`` is false when a person set ``duplicate``: then the distance alone decides below it.
    """

    duplicate: float
    similar: float
    bands: tuple[float, float, float]
    calibrated: bool = True

    @classmethod
    def of(
        cls,
        model: EmbeddingModel,
        configured_duplicate: float | None = None,
        configured_similar: float | None = None,
        asked: float | None = None,
    ) -> Thresholds:
        """The request's threshold over the configured over the model's own.

        Raises:
            errors.InvalidArgument: The request's is negative or no number.
        """
        if asked is not None and not (math.isfinite(asked) and asked >= 0):
            raise errors.InvalidArgument(
                "the duplicate distance must be a number of 0 or more",
                reason="THRESHOLD_INVALID",
                fields={"duplicate_distance": "must be a number of 0 or more"},
            )
        own = next((t for t in (asked, configured_duplicate) if t is not None), None)
        duplicate = model.duplicate_distance if own is None else own
        similar = model.similar_distance if configured_similar is None else configured_similar
        scale = (model.duplicate_distance, model.similar_distance, model.similar_distance * UNRELATED_SHARE)
        return cls(duplicate, max(similar, duplicate), scale, calibrated=own is None)

    def band(self, squared_l2: float) -> Band:
        """Where the distance falls on the model's scale."""
        for end, band in zip(self.bands, (Band.DUPLICATE, Band.SIMILAR, Band.DIFFERENT), strict=True):
            if squared_l2 < end:
                return band
        return Band.UNRELATED


@dataclass(frozen=True)
class Query:
    """The picture asked about; ``print`` is None for a text."""

    print: Print | None
    norm: float


def judge(query: Query, near: Neighbour, url: str, thresholds: Thresholds) -> Match:
    """The verdict on one pair."""
    verdict, reason = pair_verdict(query.print, near.row.print, near.distance, thresholds)
    hashes = 0 if query.print is None else hash_distance(query.print, near.row.print)
    return Match(
        row=near.row,
        url=url,
        distance=near.distance,
        cosine=_cosine(query.norm, near.row.norm, near.distance),
        verdict=verdict,
        reason=reason,
        band=thresholds.band(near.distance),
        hash_distance=hashes,
    )


def same_photo(one: Print, other: Print) -> Reason:
    """``SAME_PHOTO``, ``MIRRORED_PHOTO`` or ``NONE``, from the perceptual hashes alone, whatever the colours."""
    frame, mirrored = distance(one.frame, other.frame), distance(one.frame_mirrored, other.frame)
    box, box_mirrored = distance(one.box, other.box), distance(one.box_mirrored, other.box)
    plain = (frame <= FRAME_BOUND and box <= BOX_BESIDE_FRAME) or box <= BOX_BOUND
    turned = (mirrored <= FRAME_BOUND and box_mirrored <= BOX_BESIDE_FRAME) or box_mirrored <= MIRRORED_BOX_BOUND
    clearly = min(mirrored, box_mirrored) + CLEARLY_MIRRORED <= min(frame, box)
    if turned and (clearly or not plain):
        return Reason.MIRRORED_PHOTO
    return Reason.SAME_PHOTO if plain else Reason.NONE


def hash_distance(one: Print, other: Print) -> int:
    """Hamming distance of the frames' hashes, plain or mirrored, whichever is smaller; 0 to 256."""
    return min(distance(one.frame, other.frame), distance(one.frame_mirrored, other.frame))


def pair_verdict(
    query: Print | None, stored: Print, squared_l2: float, thresholds: Thresholds
) -> tuple[Verdict, Reason]:
    """Verdict and reason of one pair; ``query`` is None for a text."""
    recolored = False
    if query is not None:
        if query.sha_bytes == stored.sha_bytes:
            return Verdict.EXACT, Reason.SAME_BYTES
        if query.sha_pixels == stored.sha_pixels:
            return Verdict.EXACT, Reason.SAME_PIXELS
        photo = same_photo(query, stored)
        if photo is not Reason.NONE:
            mirrored = photo is Reason.MIRRORED_PHOTO
            recolored = color_distance(stored.colors, query.colors, mirrored) > COLOR_BOUND
            if not recolored:
                return Verdict.DUPLICATE, photo
        # A text is never a duplicate of a picture. The same view in other colours is another variant, unless
        # a person's own threshold says that the distance decides.
        if squared_l2 < thresholds.duplicate and not (recolored and thresholds.calibrated):
            return Verdict.DUPLICATE, Reason.DISTANCE
    if recolored or squared_l2 < thresholds.similar:
        return Verdict.SIMILAR, Reason.DISTANCE
    return Verdict.NEW, Reason.NONE


def _cosine(norm: float, other_norm: float, squared_l2: float) -> float:
    """From |a - b|^2 = |a|^2 + |b|^2 - 2 |a| |b| cos."""
    if norm == 0.0 or other_norm == 0.0:
        return 0.0
    cosine = (norm * norm + other_norm * other_norm - squared_l2) / (2.0 * norm * other_norm)
    return min(1.0, max(-1.0, cosine))


def rank(matches: Iterable[Match]) -> list[Match]:
    """Surest verdict first, then nearest; equal ones in the order in which they were stored."""
    return sorted(matches, key=lambda m: (m.verdict.value, m.reason.value, m.distance, m.row.created, m.row.id))


def apart(matches: Iterable[Match], sha_bytes: str, marks: Collection[Mark]) -> list[Match]:
    """The matches with every pair that a person told apart no longer the same, but similar."""
    return [
        replace(match, verdict=Verdict.SIMILAR, reason=Reason.DISTANCE)
        if match.verdict.stops_upload and Mark.of(sha_bytes, match.row.print.sha_bytes) in marks
        else match
        for match in matches
    ]


def decide(matches: Iterable[Match], elsewhere: Iterable[Match], model: EmbeddingModel, top_k: int) -> Decision:
    """The verdict on a picture from the verdicts on its pairs.

    ``elsewhere`` holds pairs with other websites' pictures; those that are the same picture are reported.
    """
    ranked = rank(matches)
    copies = tuple(match for match in rank(elsewhere) if match.verdict.stops_upload)
    best = ranked[0] if ranked and ranked[0].verdict is not Verdict.NEW else None
    return Decision(
        verdict=best.verdict if best else Verdict.NEW,
        reason=best.reason if best else Reason.NONE,
        match=best,
        matches=tuple(ranked[:top_k]),
        explanation=_explain(best, copies),
        model_id=model.id,
        elsewhere=copies[:top_k],
    )


def _explain(best: Match | None, copies: tuple[Match, ...]) -> str:
    if best is None:
        text = "Nothing like this picture is stored"
    elif best.reason is Reason.SAME_BYTES:
        text = "This very file is stored"
    elif best.reason is Reason.SAME_PIXELS:
        text = "A file with exactly these pixels is stored"
    elif best.reason is Reason.SAME_PHOTO:
        text = "The same photo is stored, in another size, quality, crop or with a mark"
    elif best.reason is Reason.MIRRORED_PHOTO:
        text = "The mirrored photo is stored"
    elif best.verdict is Verdict.DUPLICATE:
        text = f"A picture at distance {best.distance:.1f} is stored, below the threshold for duplicates"
    else:
        text = f"Another picture that looks alike is stored, at distance {best.distance:.1f}"
    websites = sorted({match.row.website for match in copies})
    return f"{text}; the same picture is stored for {', '.join(websites)}." if websites else f"{text}."


def stored_again(row: Row, url: str, model: EmbeddingModel, thresholds: Thresholds) -> Decision:
    """The decision on a file whose very bytes are stored; no vector is needed for it."""
    match = judge(Query(row.print, row.norm), Neighbour(row, 0.0), url, thresholds)
    return decide([match], [], model, 1)
