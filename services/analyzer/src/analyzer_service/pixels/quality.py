"""How good a picture is for a listing: grade A, B or C, with the reasons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer_service.pixels import colour
from analyzer_service.pixels.morphology import dilated
from analyzer_service.pixels.separation import Scene
from analyzer_service.pixels.shape import Shape

# Shortest side in pixels: marketplaces refuse pictures below 500 and zoom from 1,000 on
# (Amazon's product image requirements; shared by Flipkart and Meesho).
REFUSED_SIDE = 500
ZOOM_SIDE = 1000
# Steepest steps of lightness per pixel on the product, 98th percentile at WORKING_SIDE. Measured on six samples: 8 to
# 14 as they are, 5 to 8 after a Gaussian blur of radius 2, 2 to 5 after one of radius 4.
_SHARP = 5.5
_BLURRED = 3.0
_DARK, _CLIPPED, _GREY_GROUND = 55.0, 0.25, 70.0


@dataclass(frozen=True)
class Quality:
    """Quality of a picture.

    Attributes:
        grade: "A", "B" or "C".
        reasons: why not better, as sentences; for A what is good.
        sharpness: steepest steps of lightness per pixel on the product.
        white_share: share of the border that is white or nearly so.
        fill: share of the frame that the product's box takes.
        span: larger of the box's width and height, as a share of the frame's.
        short_side: shorter side of the picture in pixels.
    """

    grade: str
    reasons: tuple[str, ...]
    sharpness: float
    white_share: float
    fill: float
    short_side: int
    span: float = 0.0


def judge(scene: Scene, shape: Shape, width: int, height: int) -> Quality:
    """Grades a picture of `width` x `height` pixels."""
    short_side = min(width, height)
    product = scene.product
    sharpness = float(np.percentile(scene.gradient[product], 98)) if product.any() else 0.0
    lightness = scene.lightness
    ground = ~dilated(product, 4)
    ground_lightness = float(np.median(lightness[ground])) if ground.any() else 0.0
    white = (lightness > 90) & (colour.chroma(scene.lab) < 5)
    white_share = float(white[ground].mean()) if ground.any() else 0.0
    clipped = float((lightness[product] > 99.5).mean()) if product.any() else 0.0
    bad, fair = [], []
    if short_side < REFUSED_SIDE:
        bad.append(f"the shorter side has {short_side} pixels; marketplaces ask for at least {REFUSED_SIDE}")
    elif short_side < ZOOM_SIDE:
        fair.append(f"the shorter side has {short_side} pixels; from {ZOOM_SIDE} on buyers can zoom")
    if not product.any() or not scene.plain:
        fair.append("the product does not stand out from its background")
    elif sharpness < _BLURRED:
        bad.append("the product is blurred")
    elif sharpness < _SHARP:
        fair.append("the product is a little soft")
    if float(np.median(lightness)) < _DARK:
        bad.append("the picture is too dark")
    elif scene.plain and ground_lightness < _GREY_GROUND:
        fair.append("the background is dark")
    elif white_share < 0.5:
        fair.append("the background is not white")
    if clipped > _CLIPPED:
        fair.append("highlights on the product are burnt out")
    if product.any() and shape.fill < 0.12:
        fair.append("the product fills little of the frame")
    if shape.touches:
        fair.append("the product runs out of the frame")
    grade = "C" if bad else "A" if not fair else "B" if len(fair) <= 3 else "C"
    reasons = (*bad, *fair) or ("sharp, well lit, on white, large enough",)
    return Quality(grade, tuple(reasons), sharpness, white_share, shape.fill, short_side, shape.span)
