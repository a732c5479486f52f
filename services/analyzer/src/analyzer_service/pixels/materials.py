"""Each pixel of the product in one class of colour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer_service.pixels import colour
from analyzer_service.pixels.colour import Mask
from analyzer_service.pixels.morphology import eroded, opened
from analyzer_service.pixels.separation import Scene

# Hue angles in degrees in L*a*b*. Metals are named by hue: copper reflects from about 600 nm on, gold from 500 nm, so
# rose gold lies near 50 and yellow gold near 85. Stones of a colour lie between the limits given.
_ROSE = (28.0, 66.0)
_GOLD = (62.0, 112.0)
STONE_HUES: dict[str, tuple[float, float]] = {
    "green": (112.0, 172.0),
    "turquoise": (172.0, 235.0),
    "blue": (235.0, 305.0),
    "purple": (305.0, 335.0),
}
# A red stone is more saturated than rose gold, in chroma over lightness and in chroma itself, and less yellow: rose
# gold that mirrors itself grows saturated too, but keeps a hue near 45.
_RED_HUE = 40.0
_RED_RATIO = 0.62
_RED_CHROMA = 38.0
_STONE_CHROMA = {"green": 10.0, "turquoise": 8.0, "blue": 12.0, "purple": 12.0}


@dataclass(frozen=True)
class Materials:
    """Classes of the product's pixels; a pixel may be in none.

    Attributes:
        inner: the product without its outermost pixels, which mix with the background.
        gold, rose: metals by hue.
        neutral: greys: silver, pearls, clear stones, and shadows on the product.
        stones: coloured stones by name of the colour.
    """

    inner: Mask
    gold: Mask
    rose: Mask
    neutral: Mask
    stones: dict[str, Mask]

    def share(self, mask: Mask) -> float:
        """Area of a class as a share of the product's."""
        return float(mask.sum() / max(1, self.inner.sum()))


def classify(scene: Scene) -> Materials:
    """Classes of all pixels of the product."""
    inner = eroded(scene.product)
    lightness = np.maximum(scene.lightness, 1.0)
    chroma, hue = colour.chroma(scene.lab), colour.hue(scene.lab)
    saturated = inner & (chroma / lightness > _RED_RATIO) & (chroma > _RED_CHROMA)
    red = saturated & ((hue < _RED_HUE) | (hue > 335.0))
    rose = inner & (chroma > 9) & (hue > _ROSE[0]) & (hue <= _ROSE[1]) & ~red
    gold = inner & (chroma > 14) & (hue > _GOLD[0]) & (hue <= _GOLD[1]) & ~rose
    stones = {
        name: inner & (chroma > _STONE_CHROMA[name]) & (hue > low) & (hue <= high)
        for name, (low, high) in STONE_HUES.items()
    }
    stones = {"red": red, **stones}
    neutral = inner & (chroma < 10) & ~rose
    for mask in stones.values():
        neutral &= ~mask
    return Materials(inner, gold, rose, neutral, {name: _without_specks(mask) for name, mask in stones.items()})


def _without_specks(mask: Mask) -> Mask:
    return opened(mask)
