"""How many pieces a picture shows, whether they are a pair, and their proportions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

from analyzer_service.pixels.morphology import dilated
from analyzer_service.pixels.separation import Scene

# Parts nearer than this share of the frame's side belong to one piece: links of a chain, a pendant and its bail.
_JOIN = 0.012


@dataclass(frozen=True)
class Shape:
    """Pieces in the picture.

    Attributes:
        pieces: how many separate pieces there are, specks left out.
        pair: True for two equal pieces side by side, False for one piece, None when it cannot be told.
        height_to_width: of one piece; 0 when there is none.
        fill: area of the box around the product as a share of the frame.
        span: larger of the box's width and height, as a share of the frame's.
        touches: whether the product runs out of the frame.
    """

    pieces: int = 0
    pair: bool | None = None
    height_to_width: float = 0.0
    fill: float = 0.0
    touches: bool = False
    span: float = 0.0


def measure(scene: Scene) -> Shape:
    """Counts and measures the pieces of a product."""
    mask = scene.product
    if not mask.any():
        return Shape()
    height, width = mask.shape
    joined = dilated(mask, max(1, round(_JOIN * max(height, width) / 2)))
    labels, count = ndimage.label(joined)
    sizes = np.bincount(labels[mask], minlength=count + 1)[1:]
    boxes = ndimage.find_objects(labels)
    order = [int(i) for i in np.argsort(-sizes) if sizes[i] >= 0.15 * sizes.max()]
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    tall_share, wide_share = float(np.ptp(rows) + 1) / height, float(np.ptp(columns) + 1) / width
    touches = bool(rows[0] <= 1 or columns[0] <= 1 or rows[-1] >= height - 2 or columns[-1] >= width - 2)
    first = boxes[order[0]]
    tall, wide = (first[0].stop - first[0].start), (first[1].stop - first[1].start)
    pair: bool | None = None
    if len(order) == 1:
        pair = False
    elif len(order) == 2:
        pair = _equal(first, boxes[order[1]], float(sizes[order[1]] / sizes[order[0]])) or None
    return Shape(len(order), pair, tall / wide, tall_share * wide_share, touches, max(tall_share, wide_share))


def _equal(first: tuple[slice, slice], second: tuple[slice, slice], ratio: float) -> bool:
    """Two pieces of one size that stand side by side."""
    heights = [box[0].stop - box[0].start for box in (first, second)]
    overlap = min(first[0].stop, second[0].stop) - max(first[0].start, second[0].start)
    apart = first[1].stop <= second[1].start or second[1].stop <= first[1].start
    return ratio > 0.6 and min(heights) > 0.75 * max(heights) and overlap > 0.7 * max(heights) and apart
