"""Stones by colour, pearls, and a rough count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

from analyzer_service.pixels.materials import Materials
from analyzer_service.pixels.morphology import closed
from analyzer_service.pixels.parts import Parts
from analyzer_service.pixels.separation import Scene

# Least share of the product that a colour needs to count as stones, and least area in pixels of one stone.
_LEAST_SHARE = 0.004
_LEAST_PIXELS = 12
# What can be one stone: parts smaller than this share of the largest are facets or reflections.
_LEAST_OF_LARGEST = 0.15
_LEAST_PEARLS = 0.03


@dataclass(frozen=True)
class Stones:
    """What stones can be seen.

    Attributes:
        color: colour of the main stones: "red", "green", "turquoise", "blue", "purple", "white" (pearls) or "clear";
            empty when it cannot be told, which includes that there may be none.
        colors: share of the product by colour of stone, largest first.
        count: rough number of stones of the main colour that face the camera; None when not counted.
        pearls: True when pearls, or beads that look like them, were found; None when it cannot be told.
        confidence: of `color`, between 0 and 1.
        evidence: what was measured, in a few words.
    """

    color: str = ""
    colors: tuple[tuple[str, float], ...] = ()
    count: int | None = None
    pearls: bool | None = None
    confidence: float = 0.0
    evidence: str = "no stone with a colour of its own was found"


def judge(scene: Scene, materials: Materials, parts: Parts) -> Stones:
    """Stones in a picture. Coloured ones come before pearls and clear ones, which mostly accompany them."""
    found = {name: materials.share(mask) for name, mask in materials.stones.items()}
    found = {name: share for name, share in found.items() if share >= _LEAST_SHARE}
    pearls = parts.area(parts.pearls)
    has_pearls = True if pearls >= _LEAST_PEARLS else None
    clear = parts.area(parts.clear)
    colors = dict(sorted(found.items(), key=lambda item: -item[1]))
    if has_pearls:
        colors["white"] = pearls
    if parts.set_stones:
        colors["clear"] = clear
    if not colors:
        return Stones(pearls=has_pearls)
    main = next(iter(colors))
    share = colors[main]
    evidence = ", ".join(f"{area:.1%} {name}" for name, area in colors.items()) + " of the product"
    count = _count(materials, parts, main)
    if count == 0:
        return Stones(pearls=has_pearls)
    second = max((area for name, area in found.items() if name != main), default=0.0)
    confidence = 0.95 - 0.45 * second / share if main in found else 0.7
    if share < 3 * _LEAST_SHARE:
        confidence = min(confidence, 0.65)
    return Stones(main, tuple(colors.items()), count, has_pearls, max(0.0, confidence), evidence)


def _count(materials: Materials, parts: Parts, color: str) -> int:
    if color == "white":
        return sum(max(1, region.discs) for region in parts.pearls)
    if color == "clear":
        return len(parts.clear)
    # Facets and prongs split a stone, and stones side by side touch: closing, then the distance to the rim parts them.
    mask = closed(materials.stones[color], 2)
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    if not len(sizes):
        return 0
    return int((sizes >= max(_LEAST_PIXELS, _LEAST_OF_LARGEST * float(sizes.max()))).sum())
