"""Colours of a product's pixels: what metal it seems to be of, and which stones have a colour of their own.

Simple on purpose: it compares two pictures of what should be one product, and names nothing for a listing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Longest side in pixels at which colours are counted.
SIDE = 320

# Linear sRGB to CIE XYZ, white D65 (IEC 61966-2-1).
_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]],
    dtype=np.float32,
)

# Hue angles in degrees in L*a*b*, from and to, and the least chroma. Yellow gold lies near 85, rose gold near 50.
METALS: Mapping[str, tuple[float, float, float]] = {"gold": (66.0, 112.0, 14.0), "rose gold": (28.0, 66.0, 9.0)}
STONES: Mapping[str, tuple[float, float, float]] = {
    "green": (112.0, 172.0, 12.0),
    "turquoise": (172.0, 235.0, 10.0),
    "blue": (235.0, 305.0, 14.0),
    "purple": (305.0, 340.0, 14.0),
}
# A red stone is less yellow than rose gold, and more saturated.
_RED_HUE, _RED_CHROMA, _RED_RATIO = 40.0, 38.0, 0.6
_GREY_CHROMA = 9.0
# A ground is plain when it is nearly grey, and most of the frame's border differs from its middle colour by less than
# this. On coloured cloth or wood the product cannot be told from its ground by colour.
_PLAIN_SHARE, _PLAIN_DISTANCE, _PLAIN_CHROMA = 0.8, 12.0, 14.0
# Pixels of the product differ more from the ground; a soft shadow is only darker, and not by as much as this.
_PRODUCT_DISTANCE, _SHADOW = 14.0, 30.0


@dataclass(frozen=True)
class Colours:
    """What was counted.

    Attributes:
        plain: Whether the ground is plain, so that the shares are those of the product; else of the whole picture.
        shares: Share of the area by colour, between 0 and 1: metals, stones, "red", and "grey".
    """

    plain: bool
    shares: Mapping[str, float]

    def share(self, *names: str) -> float:
        """Share of several colours together."""
        return sum(self.shares.get(name, 0.0) for name in names)


Readings = tuple[Colours, ...]


def count(picture: Image.Image) -> Readings:
    """Counts the colours of an upright RGB picture.

    A ground that is a little coloured may be white in coloured light, or coloured in white light, which nobody can tell
    from the pixels: on a plain ground there are two readings, one for each, the colours as they are first.
    """
    small = picture.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    light = _linear(np.asarray(small))
    edge = _border(light.shape[0], light.shape[1])
    tint = np.median(light[edge], axis=0).astype(np.float32)
    ground = _lab(tint[None, None])[0, 0]
    even = (np.linalg.norm(_lab(light[edge]) - ground, axis=-1) < _PLAIN_DISTANCE).mean() > _PLAIN_SHARE
    if not even or np.hypot(ground[1], ground[2]) >= _PLAIN_CHROMA:
        return (_counted(light, edge, plain=False),)
    # Von Kries: the ground becomes grey.
    neutral = light * (tint.mean() / np.maximum(tint, 1e-3))
    return _counted(light, edge, plain=True), _counted(neutral, edge, plain=True)


def merged(views: Sequence[Readings]) -> Readings:
    """Several views of one product together, reading by reading: the largest share of each colour.

    Views on a busy ground are left out where others are plain.
    """
    plain = [view for view in views if view[0].plain]
    return tuple(_largest(readings) for readings in zip(*(plain or views), strict=True))


def _largest(readings: Sequence[Colours]) -> Colours:
    names = {name for reading in readings for name in reading.shares}
    return Colours(
        readings[0].plain, {name: max(reading.shares.get(name, 0.0) for reading in readings) for name in names}
    )


def _counted(light: Floats, edge: Mask, *, plain: bool) -> Colours:
    lab = _lab(light)
    area = _product(lab, lab[edge].mean(axis=0)) if plain else np.ones(lab.shape[:2], dtype=bool)
    if not area.any():
        return Colours(plain, {})
    return Colours(plain, {name: float(mask[area].mean()) for name, mask in _classes(lab).items()})


def _linear(srgb: NDArray[np.uint8]) -> Floats:
    value = np.arange(256, dtype=np.float32) / 255
    table = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)
    return np.asarray(table[srgb], dtype=np.float32)


def _lab(light: Floats) -> Floats:
    xyz = np.clip(light, 0, None) @ _XYZ.T / _XYZ.sum(axis=1)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + np.float32(16 / 116))
    planes = [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])]
    return np.asarray(np.stack(planes, axis=-1), dtype=np.float32)


def _border(height: int, width: int) -> Mask:
    band = max(1, round(0.04 * min(height, width)))
    mask = np.ones((height, width), dtype=bool)
    mask[band:-band, band:-band] = False
    return mask


def _product(lab: Floats, ground: Floats) -> Mask:
    difference = lab - ground
    coloured = np.hypot(difference[..., 1], difference[..., 2])
    shadow = (coloured < _PRODUCT_DISTANCE / 2) & (difference[..., 0] < 0) & (difference[..., 0] > -_SHADOW)
    return np.asarray((np.linalg.norm(difference, axis=-1) > _PRODUCT_DISTANCE) & ~shadow)


def _classes(lab: Floats) -> dict[str, Mask]:
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    hue = np.degrees(np.arctan2(lab[..., 2], lab[..., 1])) % 360
    red = (chroma > _RED_CHROMA) & (chroma > _RED_RATIO * lab[..., 0]) & ((hue < _RED_HUE) | (hue > 340.0))
    found = {"red": red, "grey": chroma < _GREY_CHROMA}
    for name, (low, high, least) in {**METALS, **STONES}.items():
        found[name] = (hue > low) & (hue <= high) & (chroma > least) & ~red
    return found
