"""Everything that the pixels of one or several views of a product tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from analyzer_service.pixels import metals, quality, shape, stones
from analyzer_service.pixels.materials import classify
from analyzer_service.pixels.metals import Metal
from analyzer_service.pixels.parts import sort_parts
from analyzer_service.pixels.quality import Quality
from analyzer_service.pixels.separation import separate
from analyzer_service.pixels.shape import Shape
from analyzer_service.pixels.stones import Stones

# A picture whose background is not plain, and views that disagree, are measured but not believed.
_DOUBT = 0.5
# How sure a colour of stones is that do not have the main colour, such as pearls beside rubies.
_SECONDARY = 0.7


@dataclass(frozen=True)
class Facts:
    """What was measured.

    Attributes:
        metal, stones, shape, quality: see their classes.
        color: the colour that takes the largest area, named as in `Metal.color` and `Stones.color`; empty when two are
            nearly equal or none was found.
        color_confidence: between 0 and 1.
        conflicts: on what several views disagree, as sentences.
    """

    metal: Metal
    stones: Stones
    shape: Shape
    quality: Quality
    color: str
    color_confidence: float
    conflicts: tuple[str, ...] = ()


def measure(picture: Image.Image, width: int = 0, height: int = 0) -> Facts:
    """Measures an upright RGB picture.

    Args:
        picture: The decoded picture; it may have been decoded at a reduced scale.
        width, height: Size of the file in pixels, where that differs from the picture's.
    """
    scene = separate(picture)
    materials = classify(scene)
    parts = sort_parts(scene, materials)
    metal = metals.judge(materials, parts)
    found = stones.judge(scene, materials, parts)
    pieces = shape.measure(scene)
    graded = quality.judge(scene, pieces, width or picture.width, height or picture.height)
    if not scene.plain:
        note = "; the background is not plain"
        metal = replace(metal, confidence=metal.confidence * _DOUBT, evidence=metal.evidence + note)
        found = replace(found, confidence=found.confidence * _DOUBT, evidence=found.evidence + note)
    color, confidence = _largest(metal, found)
    return Facts(metal, found, pieces, graded, color, confidence)


def _largest(metal: Metal, found: Stones) -> tuple[str, float]:
    areas = dict(found.colors)
    if metal.color:
        areas[metal.color] = areas.get(metal.color, 0.0) + metal.share
    ranked = sorted(areas.items(), key=lambda item: -item[1])
    if not ranked:
        return "", 0.0
    name, area = ranked[0]
    second = ranked[1][1] if len(ranked) > 1 else 0.0
    if area < 1.3 * second:
        return "", 0.0
    if name == metal.color:
        return name, metal.confidence
    return name, found.confidence if name == found.color else min(found.confidence, _SECONDARY)


def merge(views: Sequence[Facts]) -> Facts:
    """Reads several views of one product together; the surer view decides, and conflicts are told.

    Raises:
        ValueError: No view was given.
    """
    if not views:
        raise ValueError("there is no view to merge")
    if len(views) == 1:
        return views[0]
    metal = max((view.metal for view in views), key=lambda item: (bool(item.color), item.confidence))
    found = max((view.stones for view in views), key=lambda item: (bool(item.color), item.confidence))
    lead = max(views, key=lambda view: (bool(view.color), view.color_confidence))
    worst = max((view.quality for view in views), key=lambda item: item.grade)
    conflicts = []
    seen_metals = sorted({view.metal.color for view in views if view.metal.color})
    seen_stones = sorted({view.stones.color for view in views if view.stones.color})
    if len(seen_metals) > 1:
        conflicts.append(f"the views disagree on the metal: {', '.join(seen_metals)}")
        metal = replace(metal, confidence=min(metal.confidence, _DOUBT), evidence=f"{metal.evidence}; {conflicts[-1]}")
    if len(seen_stones) > 1:
        conflicts.append(f"the views disagree on the stones: {', '.join(seen_stones)}")
        found = replace(found, confidence=min(found.confidence, _DOUBT), evidence=f"{found.evidence}; {conflicts[-1]}")
    return Facts(metal, found, views[0].shape, worst, lead.color, lead.color_confidence, tuple(conflicts))
