"""A straight ruler in a picture: its scale from the rhythm of its ticks, and where it lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

_LEAST_TICKS = 25
# Millimetres between ticks by how many ticks lie from one long tick to the next: metric rulers count in tens, with a
# longer one at each five; inches are halved again and again.
_STEP_MM = {10: 1.0, 5: 1.0, 8: 25.4 / 8, 16: 25.4 / 16, 32: 25.4 / 32}


@dataclass(frozen=True)
class Ruler:
    """A ruler along a row or column of the picture.

    Attributes:
        mm_per_pixel: scale; `spread` is its relative uncertainty.
        box: left, top, right, bottom in pixels.
        ticks: how many were counted.
        unit: "mm" or "inch".
    """

    mm_per_pixel: float
    spread: float
    box: tuple[int, int, int, int]
    ticks: int
    unit: str


def find(picture: Image.Image) -> Ruler | None:
    """The ruler that lies along the picture's rows or columns; None where no rhythm of ticks is sure."""
    grey = np.asarray(picture.convert("L"), np.float32)
    lying, standing = _along(grey), _along(grey.T)
    if standing is not None and (lying is None or standing.ticks > lying.ticks):
        left, top, right, bottom = standing.box
        return Ruler(standing.mm_per_pixel, standing.spread, (top, left, bottom, right), standing.ticks, standing.unit)
    return lying


def _along(grey: NDArray[np.float32]) -> Ruler | None:
    dark = grey < ndimage.uniform_filter(grey, 31) - 25
    best: tuple[int, NDArray[np.float64], int] | None = None
    for y in range(2, grey.shape[0] - 2, 2):
        ticks = _regular(dark[y])
        if len(ticks) >= _LEAST_TICKS and (best is None or len(ticks) > best[0]):
            best = (len(ticks), ticks, y)
    if best is None:
        return None
    _, ticks, y = best
    period = float(np.median(np.diff(ticks)))
    numbers = np.rint((ticks - ticks[0]) / period)
    slope, offset = np.polyfit(numbers, ticks, 1)
    off = ticks - (slope * numbers + offset)
    if np.abs(off).max() > 0.3 * slope:
        return None
    lengths = np.array([_length(dark[:, round(x) - 1 : round(x) + 2].any(axis=1), y) for x in ticks])
    step = _step(numbers.astype(int), lengths)
    if step is None:
        return None
    reach = round(float(lengths.max()) * 2.5)
    box = (max(0, int(ticks[0] - 3 * slope)), max(0, y - reach), int(ticks[-1] + 3 * slope), y + reach)
    spread = float(off.std() / slope / max(1.0, numbers[-1]) + 0.5 / (ticks[-1] - ticks[0]))
    return Ruler(_STEP_MM[step] / float(slope), spread, box, len(ticks), "mm" if step in (5, 10) else "inch")


def _regular(row: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Centres of the longest stretch of thin dark runs at equal distances."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], row.astype(np.int8), [0]))))
    starts, ends = edges[::2], edges[1::2]
    if len(starts) < _LEAST_TICKS:
        return np.empty(0)
    thin = ends - starts <= 8
    centres = ((starts + ends - 1) / 2)[thin]
    if len(centres) < _LEAST_TICKS:
        return np.empty(0)
    steps = np.diff(centres)
    period = float(np.median(steps))
    if period < 3:
        return np.empty(0)
    breaks = np.flatnonzero(np.abs(steps - period) > 0.3 * period)
    stretches = np.split(centres, breaks + 1)
    return np.asarray(max(stretches, key=len), np.float64)


def _length(column: NDArray[np.bool_], y: int) -> int:
    up = down = y
    while up > 0 and column[up - 1]:
        up -= 1
    while down < len(column) - 1 and column[down + 1]:
        down += 1
    return down - up + 1


def _step(numbers: NDArray[np.int_], lengths: NDArray[np.int_]) -> int | None:
    """Ticks from one longest tick to the next; None where that has no clear rhythm of a known ruler."""
    long = numbers[lengths >= 0.85 * lengths.max()]
    if len(long) < 3 or lengths.max() < 1.25 * np.median(lengths):
        return None
    apart = np.diff(long)
    step = int(apart[0])
    return step if step in _STEP_MM and (apart == step).all() else None
