"""The grey parts of a product, sorted by what they are: metal, pearls, set clear stones, shadows."""

from __future__ import annotations

from dataclasses import dataclass, field

from analyzer_service.pixels.materials import Materials
from analyzer_service.pixels.morphology import eroded, opened
from analyzer_service.pixels.regions import Region, regions
from analyzer_service.pixels.separation import Scene

# Calibrated on samples/photos at WORKING_SIDE pixels (services/analyzer/tests/test_analyzer_accuracy.py).
_SHADOW_CONTRAST = 2.2
_SHADOW_OVER = -6.0
_PEARL_LIGHTNESS = 86.0
_PEARL_CONTRAST = 3.1
_PEARL_CHROMA = 4.2
_CREAMY_CONTRAST = 3.6
_FACET_CONTRAST = 3.0
_METAL_CONTRAST = 3.2
_HIGHLIGHT = 95.0
# A stone set in metal meets metal all round; a second metal meets the outside somewhere.
_SET = 0.04


@dataclass(frozen=True)
class Parts:
    """Grey parts by kind.

    Attributes:
        metal: polished grey metal: strong contrast up to highlights.
        dark: grey with contrast and no highlight.
        pearls: light, smooth and creamy, or light, smooth and round.
        clear: faceted, and set all round in coloured metal.
        other: everything else, shadows on the product among it.
    """

    metal: list[Region] = field(default_factory=list)
    dark: list[Region] = field(default_factory=list)
    pearls: list[Region] = field(default_factory=list)
    clear: list[Region] = field(default_factory=list)
    other: list[Region] = field(default_factory=list)

    @staticmethod
    def area(found: list[Region]) -> float:
        """Their area as a share of the product's."""
        return sum(region.share for region in found)

    @property
    def set_stones(self) -> bool:
        """Whether set clear stones explain the contrast of the grey parts better than a second metal does."""
        stones = self.area(self.clear)
        return stones > 0.02 and stones > 0.4 * (stones + self.area(self.metal))


def sort_parts(scene: Scene, materials: Materials) -> Parts:
    """Sorts the grey parts of a product."""
    core = eroded(scene.product, 2)
    grey = opened(materials.neutral & core)
    coloured = materials.share(materials.gold | materials.rose) > 0.05
    parts = Parts()
    for region in regions(scene, grey):
        kind = _kind(region, coloured)
        getattr(parts, kind).append(region)
    return parts


def _kind(region: Region, coloured: bool) -> str:
    if region.contrast < _SHADOW_CONTRAST and region.over_high < _SHADOW_OVER:
        return "other"
    if _is_pearl(region, coloured):
        return "pearls"
    if coloured and _is_set_stone(region):
        return "clear"
    second = region.contrast > _METAL_CONTRAST and region.exposure > _SET
    if region.high >= _HIGHLIGHT and (second or not coloured):
        return "metal"
    if region.contrast > _SHADOW_CONTRAST:
        return "dark"
    return "other"


def _is_pearl(region: Region, coloured: bool) -> bool:
    light = region.middle >= _PEARL_LIGHTNESS and region.low >= 46.0
    creamy = region.chroma >= _PEARL_CHROMA and region.contrast <= _CREAMY_CONTRAST
    round_ = region.discs == 1 and region.roundness >= 0.5 and region.contrast <= _PEARL_CONTRAST
    # Beside silver, a round light spot may as well be a facet or a polished ball.
    return light and (creamy or (round_ and coloured))


def _is_set_stone(region: Region) -> bool:
    faceted = region.contrast >= _FACET_CONTRAST and region.over_high >= 5.0 and region.over_low <= -7.0
    return faceted and region.exposure <= _SET and region.share >= 0.0015
