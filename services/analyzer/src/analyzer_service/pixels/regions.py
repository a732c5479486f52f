"""Connected parts of a product and what tells metal, pearls, clear stones and shadows apart in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

from analyzer_service.pixels.colour import Mask
from analyzer_service.pixels.morphology import dilated
from analyzer_service.pixels.separation import Scene

_MOST_REGIONS = 80
_LEAST_PIXELS = 25


@dataclass(frozen=True)
class Region:
    """One connected part.

    Attributes:
        share: its area as a share of the product's.
        pixels: its area in pixels.
        exposure: share of its surroundings that is outside of the product; 0 for a part set all round in other parts.
        contrast: mean step of lightness per pixel.
        low, middle, high: 10th, 50th and 90th percentile of L*, in per cent of the picture's white.
        over_low, over_high: the same percentiles of the lightness over the background behind it.
        chroma: mean distance from grey.
        discs: how many discs that hardly overlap fit into it; 1 for a round part.
        roundness: share of it that the largest inscribed disc covers.
        clipped: share of pixels at the top of the scale.
    """

    share: float
    pixels: int
    exposure: float
    contrast: float
    low: float
    middle: float
    high: float
    over_low: float
    over_high: float
    chroma: float
    discs: int
    roundness: float
    clipped: float


def regions(scene: Scene, part: Mask) -> list[Region]:
    """The largest connected parts of `part`, largest first."""
    labels, count = ndimage.label(part)
    if count == 0:
        return []
    sizes = np.bincount(labels.ravel())[1:]
    boxes = ndimage.find_objects(labels)
    area = max(1, int(scene.product.sum()))
    order = [int(i) for i in np.argsort(-sizes)[:_MOST_REGIONS] if sizes[i] >= _LEAST_PIXELS]
    return [_region(scene, labels, i + 1, boxes[i], area) for i in order]


def _region(scene: Scene, labels: NDArray[np.int32], number: int, box: tuple[slice, slice], area: int) -> Region:
    margin = 8
    y = slice(max(0, box[0].start - margin), box[0].stop + margin)
    x = slice(max(0, box[1].start - margin), box[1].stop + margin)
    part = labels[y, x] == number
    near = dilated(part, 3)
    around = dilated(near, 4) & ~near
    lightness = scene.lightness[y, x][part] * (100 / scene.white)
    over = (scene.lab[y, x, 0] - scene.background[y, x, 0])[part]
    low, middle, high = np.percentile(lightness, [10, 50, 90])
    over_low, over_high = np.percentile(over, [10, 90])
    discs, roundness = _discs(part)
    pixels = int(part.sum())
    return Region(
        share=pixels / area,
        pixels=pixels,
        exposure=float(scene.outside[y, x][around].mean()) if around.any() else 0.0,
        contrast=float(scene.gradient[y, x][part].mean()),
        low=float(low),
        middle=float(middle),
        high=float(high),
        over_low=float(over_low),
        over_high=float(over_high),
        chroma=float(np.hypot(scene.lab[y, x, 1][part], scene.lab[y, x, 2][part]).mean()),
        discs=discs,
        roundness=roundness,
        clipped=float((lightness > 99).mean()),
    )


def _discs(part: Mask) -> tuple[int, float]:
    """Counts discs inscribed in a part, largest first, that hardly overlap; and the share of the largest."""
    distance = ndimage.distance_transform_edt(np.pad(part, 1))
    peaks = (distance == ndimage.maximum_filter(distance, size=5)) & (distance >= 2.5)
    ys, xs = np.nonzero(peaks)
    radii = distance[ys, xs]
    kept: list[tuple[int, int, float]] = []
    for i in np.argsort(-radii)[:400]:
        y, x, radius = int(ys[i]), int(xs[i]), float(radii[i])
        if all((y - v) ** 2 + (x - u) ** 2 >= (0.9 * (radius + r)) ** 2 for v, u, r in kept):
            kept.append((y, x, radius))
    largest = float(distance.max())
    return len(kept), float(np.pi * largest**2 / part.sum())
