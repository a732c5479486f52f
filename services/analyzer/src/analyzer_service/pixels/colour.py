"""Colour spaces. Arrays are float32, shape (height, width, 3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Linear sRGB to CIE XYZ, white D65 (IEC 61966-2-1).
_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]],
    dtype=np.float32,
)
_TO_XYZ = np.ascontiguousarray((_XYZ / _XYZ.sum(axis=1)[:, None]).T)


def linear(srgb: NDArray[np.uint8]) -> Floats:
    """8-bit sRGB to linear light between 0 and 1."""
    value = np.arange(256, dtype=np.float32) / 255
    table = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)
    return np.asarray(table[srgb], dtype=np.float32)


def lab(light: Floats) -> Floats:
    """Linear sRGB to CIE L*a*b*, white D65. L is 0 to 100; a and b are about -100 to 100."""
    xyz = light @ _TO_XYZ
    f = np.cbrt(xyz)
    dark = xyz <= 0.008856
    f[dark] = 7.787 * xyz[dark] + 16 / 116
    result = np.empty(light.shape, dtype=np.float32)
    result[..., 0] = 116 * f[..., 1] - 16
    result[..., 1] = 500 * (f[..., 0] - f[..., 1])
    result[..., 2] = 200 * (f[..., 1] - f[..., 2])
    return result


def neutralised(light: Floats, reference: Floats) -> Floats:
    """Scales the channels so that `reference`, a linear colour of shape (3,), becomes grey (von Kries)."""
    return np.asarray(light * (reference.mean() / np.maximum(reference, 1e-4)), dtype=np.float32)


def chroma(lab_image: Floats) -> Floats:
    """Distance from grey, shape (height, width)."""
    return np.hypot(lab_image[..., 1], lab_image[..., 2]).astype(np.float32)


def hue(lab_image: Floats) -> Floats:
    """Hue angle in degrees, 0 to 360: about 30 is red, 85 yellow, 150 green, 280 blue."""
    angle = np.degrees(np.arctan2(lab_image[..., 2], lab_image[..., 1])) % 360
    return angle.astype(np.float32)
