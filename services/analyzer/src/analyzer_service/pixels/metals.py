"""The colour of the metal: gold, rose gold, silver, oxidised or two-tone."""

from __future__ import annotations

from dataclasses import dataclass

from analyzer_service.pixels.materials import Materials
from analyzer_service.pixels.parts import Parts

# A product with less coloured metal than this is judged by its greys.
_LEAST_COLOURED = 0.08
# Silver beside gold: least share of the product, and least share of the gold.
_LEAST_SECOND = 0.05
_LEAST_SECOND_OF_FIRST = 0.07
# Lightness that the brightest tenth reaches, in per cent of the picture's white: polished silver mirrors the lamp,
# oxidised silver does not.
_POLISHED = 90.0
_OXIDISED = 82.0


@dataclass(frozen=True)
class Metal:
    """What the metal looks like.

    Attributes:
        color: "gold", "rose gold", "silver", "oxidised", "two-tone"; empty when it cannot be told.
        confidence: between 0 and 1.
        evidence: what was measured, in a few words.
        share: area of the product that is this metal, between 0 and 1.
    """

    color: str = ""
    confidence: float = 0.0
    evidence: str = "no metal surface was found"
    share: float = 0.0


def judge(materials: Materials, parts: Parts) -> Metal:
    """The metal's colour from hue where it has one, from highlights where it is grey."""
    gold, rose = materials.share(materials.gold), materials.share(materials.rose)
    if gold + rose < _LEAST_COLOURED:
        return _grey(parts)
    second = parts.area(parts.metal)
    if second >= max(_LEAST_SECOND, _LEAST_SECOND_OF_FIRST * (gold + rose)) and not parts.set_stones:
        evidence = f"{gold + rose:.0%} yellow or rose and {second:.0%} grey metal with highlights"
        return Metal("two-tone", 0.75, evidence, gold + rose + second)
    color, first, other = ("gold", gold, rose) if gold >= rose else ("rose gold", rose, gold)
    confidence = 0.6 + 0.35 * (first - other) / (first + other)
    hue = "yellow" if color == "gold" else "rose"
    return Metal(color, confidence, f"{first:.0%} of the product reflects {hue}, {other:.0%} the other", first + other)


def _grey(parts: Parts) -> Metal:
    regions = parts.metal + parts.dark
    area = parts.area(regions)
    if area < 0.05:
        return Metal()
    highlight = sum(region.high * region.share for region in regions) / area
    evidence = f"grey without hue; the brightest tenth reaches {highlight:.0f}% of white"
    if highlight >= _POLISHED:
        return Metal("silver", min(0.9, 0.65 + (highlight - _POLISHED) / 40), evidence, area)
    if highlight <= _OXIDISED:
        return Metal("oxidised", min(0.9, 0.65 + (_OXIDISED - highlight) / 40), evidence, area)
    return Metal("", 0.0, evidence + ", between polished and oxidised", area)
