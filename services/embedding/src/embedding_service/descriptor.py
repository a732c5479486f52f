"""The perceptual descriptor: 512 numbers from a picture by plain arithmetic, for machines without CLIP.

It looks at the product, not at the frame: the product is found as what has edges or colour that the
smooth background and its shadows lack, and measured in a square around it. So a crop, a resize, another
encoder or a mark in a corner move the vector little. Values are taken relative to the background's, so
brightness moves it little. A mirrored picture has the same vector: each feature is symmetric, or enters
by its absolute value.

Four families, with the numbers they take: where edges run (288, histograms of oriented gradients in 6 x 6
cells: Dalal and Triggs, CVPR 2005), light and dark (80, lowest DCT frequencies of the logarithm of luma),
colours by place (98, lowest DCT frequencies of chroma), colours of the product as such (43, histogram), and
the background (3).

Pillow's fixed-point resizing, float64 and a last rounding to 1/4096 make the vector the same on every machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

DIMENSION = 512
# Raised whenever a vector changes: stored vectors then belong to another model, thresholds to be calibrated.
VERSION = 2

Plane = NDArray[np.float64]

# Side of the picture in which the product is found, and of the square in which it is measured.
_ANALYSIS = 128
_SQUARE = 64
# The product's box holds all but this share of the salient mass at each end, and is then widened by
# this share of its side. Cutting off so much keeps a watermark from stretching the box.
_TAIL = 0.07
_MARGIN = 0.165

_CELLS = 6
_ORIENTATIONS = 8
_LUMA_FREQUENCIES = 9
_CHROMA_FREQUENCIES = 7
_HUES = 18
_GREYS = 7

# Weights of the families' squared distances, found on the sample photos, the variants of samples/make_pairs.py
# and harsher ones; the scale puts the calibrated duplicate threshold near 5, as CLIP's is.
_SCALE = 49.0
_WEIGHTS = {"edges": 1.5, "luma": 1.0, "chroma": 1.0, "colours": 3.0, "background": 1.0}


def describe(image: Image.Image) -> NDArray[np.float32]:
    """The descriptor of an upright RGB picture: float32 (512,); never the zero vector."""
    small = _shrunk(image)
    seen = _planes(small)
    ground = _background(seen)
    salience = _salience(seen, ground)
    box = _product_box(salience, image.width / small.width, image.height / small.height)
    luma, blue, red = _planes(_square(image, box))
    gain = 200.0 / (ground[0] + 20.0)
    families = {
        "edges": _edges(luma),
        "luma": _luma(luma, ground[0]),
        "chroma": _chroma((blue - ground[1]) * gain, (red - ground[2]) * gain),
        "colours": _colours(seen, salience, ground),
        "background": np.array([(ground[0] + 16) / 255, (ground[1] - 128) / 64, (ground[2] - 128) / 64]),
    }
    vector = np.concatenate([np.sqrt(_WEIGHTS[name] * _SCALE) * values for name, values in families.items()])
    rounded: NDArray[np.float32] = (np.rint(vector * 4096) / 4096).astype(np.float32)
    return rounded


# ---- where the product is


def _shrunk(image: Image.Image) -> Image.Image:
    scale = _ANALYSIS / max(image.size)
    size = (max(8, round(image.width * scale)), max(8, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BILINEAR)


def _planes(image: Image.Image) -> tuple[Plane, Plane, Plane]:
    """Luma and the two chromas, 0..255."""
    values = np.asarray(image.convert("YCbCr"), dtype=np.float64)
    return values[..., 0], values[..., 1], values[..., 2]


def _background(planes: tuple[Plane, ...]) -> tuple[float, ...]:
    """Median of the frame's border, per plane."""
    width = max(1, min(planes[0].shape) // 16)
    inner = np.zeros(planes[0].shape, dtype=bool)
    inner[width:-width, width:-width] = True
    return tuple(float(np.median(plane[~inner])) for plane in planes)


def _salience(planes: tuple[Plane, Plane, Plane], ground: tuple[float, ...]) -> Plane:
    """How much each pixel looks like product: edges above the noise, colour unlike the border's."""
    across, down = _gradient(planes[0])
    edges = np.hypot(across, down)
    strong = max(float(np.quantile(edges, 0.995)), 1.0)
    colour = np.hypot(planes[1] - ground[1], planes[2] - ground[2])
    salience: Plane = np.maximum(0.0, edges - 0.12 * strong) / strong + np.maximum(0.0, colour - 6.0) / 64.0
    return salience


def _gradient(plane: Plane) -> tuple[Plane, Plane]:
    padded = np.pad(plane, 1, mode="edge")
    return (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2, (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2


def _product_box(salience: Plane, across: float, down: float) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a square around the product, in pixels of the picture."""
    # The small constant spreads the box over the whole frame where nothing stands out.
    columns, rows = salience.sum(axis=0) + 1e-9, salience.sum(axis=1) + 1e-9
    left, right = (_quantile(columns, share) * across for share in (_TAIL, 1 - _TAIL))
    top, bottom = (_quantile(rows, share) * down for share in (_TAIL, 1 - _TAIL))
    half = max(right - left, bottom - top, 1.0) * (0.5 + _MARGIN)
    x, y = (left + right) / 2, (top + bottom) / 2
    return x - half, y - half, x + half, y + half


def _quantile(mass: Plane, share: float) -> float:
    """Position, interpolated, below which `share` of the mass lies."""
    sums = np.cumsum(mass)
    wanted = share * sums[-1]
    index = min(int(np.searchsorted(sums, wanted)), len(mass) - 1)
    below = sums[index - 1] if index else 0.0
    return float(index + (wanted - below) / mass[index])


def _square(image: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
    """The box of the picture, 64 x 64; outside of the picture its edge goes on."""
    left, top, right, bottom = box
    before = (max(0, int(np.ceil(-top))), max(0, int(np.ceil(-left))))
    after = (max(0, int(np.ceil(bottom - image.height))), max(0, int(np.ceil(right - image.width))))
    if any(before) or any(after):
        edges = ((before[0], after[0]), (before[1], after[1]), (0, 0))
        image = Image.fromarray(np.pad(np.asarray(image), edges, mode="edge"))
    inside = (
        max(0.0, left + before[1]),
        max(0.0, top + before[0]),
        min(float(image.width), right + before[1]),
        min(float(image.height), bottom + before[0]),
    )
    return image.resize((_SQUARE, _SQUARE), Image.Resampling.BILINEAR, inside)


# ---- what it looks like


def _edges(luma: Plane) -> Plane:
    """Square roots of the shares of edge strength by cell and direction, mirror-symmetric: (288,)."""
    across, down = _gradient(luma)
    strength = np.maximum(0.0, np.hypot(across, down) - 1.0)
    turn = np.mod(np.arctan2(down, across), np.pi) * (_ORIENTATIONS / np.pi)
    cells = _soft_bins((np.arange(_SQUARE) + 0.5) * _CELLS / _SQUARE - 0.5, _CELLS)
    histogram = np.empty((_CELLS, _CELLS, _ORIENTATIONS))
    for orientation in range(_ORIENTATIONS):
        histogram[..., orientation] = cells @ (strength * _circular(turn, orientation, _ORIENTATIONS)) @ cells.T
    # A few strong edges must not drown the rest: clipped at a fifth, as in Dalal and Triggs.
    histogram = np.minimum(_unit(histogram), 0.2)
    shares = np.sqrt(histogram / (histogram.sum() + 1e-9))
    mirrored = shares[:, ::-1, -np.arange(_ORIENTATIONS) % _ORIENTATIONS]
    half = _CELLS // 2
    even, odd = (shares + mirrored)[:, :half] / 2, np.abs(shares - mirrored)[:, :half] / 2
    return np.concatenate([even.ravel(), odd.ravel()])


def _luma(luma: Plane, ground: float) -> Plane:
    """Light and dark relative to the background, without their mean: (80,)."""
    shades = np.log((luma + 8.0) / (ground + 8.0))
    # What is lighter than the background counts half: brightening clips it first.
    spectrum = _spectrum(np.where(shades > 0.0, 0.5 * shades, shades), _LUMA_FREQUENCIES).ravel()
    # The mean hangs on how much background the box holds.
    return _unit(spectrum[1:])


def _chroma(blue: Plane, red: Plane) -> Plane:
    """Colour by place, relative to the background: (98,)."""
    spectra = np.concatenate([_spectrum(plane, _CHROMA_FREQUENCIES).ravel() for plane in (blue, red)]) / _SQUARE
    # Pale pictures keep their size, so that their noise stays small; colourful ones approach length 1.
    damped: Plane = spectra / (8.0 + np.sqrt((spectra * spectra).sum()))
    return damped


def _colours(planes: tuple[Plane, Plane, Plane], salience: Plane, ground: tuple[float, ...]) -> Plane:
    """Square roots of the shares of hues, pale and strong, and of greys in the product: (43,)."""
    seen = salience > 0.0
    product = np.minimum(1.0, salience[seen] * 4.0)
    gain = 200.0 / (ground[0] + 20.0)
    blue, red = (planes[1][seen] - ground[1]) * gain, (planes[2][seen] - ground[2]) * gain
    colourfulness = np.hypot(blue, red)
    hue = np.mod(np.arctan2(red, blue), 2 * np.pi) * (_HUES / (2 * np.pi))
    # The hue of what is nearly grey is an encoder's noise.
    coloured = product * np.clip((colourfulness - 4.0) / 32.0, 0.0, 1.0)
    strong = np.clip((colourfulness - 30.0) / 30.0, 0.0, 1.0)
    shades = np.log((planes[0][seen] + 16.0) / (ground[0] + 16.0))
    shade = np.clip((shades + 1.6) * 3.3, 0.0, _GREYS - 1.0)
    masses = np.concatenate(
        [
            _smoothed(_histogram(hue, coloured * (1.0 - strong), _HUES)),
            _smoothed(_histogram(hue, coloured * strong, _HUES)),
            _histogram(shade, product - coloured, _GREYS),
        ]
    )
    shares: Plane = np.sqrt(masses / (masses.sum() + 1e-9))
    return shares


def _smoothed(circle: Plane) -> Plane:
    """Half of each bin's mass goes to its neighbours on the circle: hues turn a little with every encoder."""
    smoothed: Plane = 0.5 * circle + 0.25 * (np.roll(circle, 1) + np.roll(circle, -1))
    return smoothed


def _histogram(positions: Plane, weights: Plane, count: int) -> Plane:
    """Weights by bin, each shared by the two nearest bins; the last one's neighbour is the first."""
    below = np.floor(positions)
    upper = positions - below
    index = below.astype(np.int64)
    histogram = np.zeros(count)
    histogram += np.bincount(index % count, weights * (1.0 - upper), count)
    histogram += np.bincount((index + 1) % count, weights * upper, count)
    return histogram


def _spectrum(plane: Plane, count: int) -> Plane:
    """Absolute values of the lowest `count` x `count` DCT-II coefficients; mirroring only turns signs."""
    angles = (np.arange(_SQUARE) + 0.5) * np.pi / _SQUARE
    basis = np.cos(np.outer(np.arange(count), angles)) * np.sqrt(2.0 / _SQUARE)
    spectrum: Plane = np.abs(basis @ plane @ basis.T)
    return spectrum


def _soft_bins(positions: Plane, count: int) -> Plane:
    """Weights (count, len(positions)): each position shared by its two nearest bins."""
    weights: Plane = np.maximum(0.0, 1.0 - np.abs(positions[None, :] - np.arange(count)[:, None]))
    return weights


def _circular(positions: Plane, index: int, count: int) -> Plane:
    """Share of each position, 0..count, that falls to bin `index` of a circle of bins."""
    apart = np.abs(positions - index)
    weights: Plane = np.maximum(0.0, 1.0 - np.minimum(apart, count - apart))
    return weights


def _unit(values: Plane) -> Plane:
    unit: Plane = values / np.sqrt((values * values).sum() + 1e-6)
    return unit
