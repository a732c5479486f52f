"""Product and background told apart.

A product photo's background is a smooth surface: its lightness and colour follow a low polynomial, apart from soft
shadows. A product differs in colour, is lighter than any shadow could be, is much darker, or has edges. Shadows have
none of these: they are a little darker, as grey as the background, and soft.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

from analyzer_service.pixels import colour
from analyzer_service.pixels.colour import Floats, Mask
from analyzer_service.pixels.morphology import closed, eroded, filled, opened

# Longest side in pixels at which everything below is measured; sizes in pixels elsewhere refer to it.
WORKING_SIDE = 800

# Lightness steps per pixel that no soft shadow has, and differences from the background that no shadow reaches.
_EDGE = 4.0
_COLOURED = 8.0
_LIGHTER = 4.0
_DARKER = 28.0
# A part of the mask without edge or colour over this share of its area is an uneven background.
_LEAST_SUPPORT = 0.12
# Backgrounds more colourful than this are props or cloth: their colour is not the light's.
_WHITE_POINT_CHROMA = 14.0
# Range of L* in which the white of a picture is looked for: the ground or the highlights reach it.
_WHITE = (88.0, 100.0)
# Gaps below this share of the product's area are part of the product.
_SMALL_GAP = 0.08
# A plain background differs from its smooth fit by less than this nearly everywhere along the frame.
_SMOOTH = 6.0


@dataclass(frozen=True)
class Scene:
    """A picture taken apart; all arrays have the same height and width.

    Attributes:
        lab: CIE L*a*b* with the background's tint taken out.
        background: the background's L*a*b* as if the product were not there.
        product: where the product is.
        outside: the background without small gaps within the product, such as those between a stone and its setting.
        gradient: steps of lightness per pixel.
        plain: whether a smooth background was found, so that `product` can be trusted.
        white: L* of the brightest parts, by which an underexposed picture is judged.
    """

    lab: Floats
    background: Floats
    product: Mask
    outside: Mask
    gradient: Floats
    plain: bool
    white: float

    @property
    def lightness(self) -> Floats:
        """L* of each pixel."""
        return self.lab[..., 0]


def separate(picture: Image.Image) -> Scene:
    """Tells product from background in an upright RGB picture."""
    scale = WORKING_SIDE / max(picture.size)
    size = (max(8, round(picture.width * scale)), max(8, round(picture.height * scale)))
    light = colour.linear(np.asarray(picture.resize(size, Image.Resampling.LANCZOS)))
    border = light[_border(light.shape[0], light.shape[1])]
    tint = np.median(border, axis=0).astype(np.float32)
    if colour.chroma(colour.lab(tint[None, None]))[0, 0] < _WHITE_POINT_CHROMA:
        light = colour.neutralised(light, tint)
    lab = colour.lab(light)
    background, plain = _background(lab)
    gradient = ndimage.gaussian_gradient_magnitude(lab[..., 0], 1.0).astype(np.float32)
    product = _product(lab, background, gradient)
    white = float(np.clip(np.percentile(lab[::3, ::3, 0], 99.8), *_WHITE))
    return Scene(lab, background, product, _outside(product), gradient, plain, white)


def _border(height: int, width: int, share: float = 0.05) -> Mask:
    band = max(2, round(share * min(height, width)))
    mask = np.zeros((height, width), dtype=bool)
    mask[:band] = mask[-band:] = True
    mask[:, :band] = mask[:, -band:] = True
    return mask


def _terms(height: int, width: int) -> Floats:
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    return terms.reshape(-1, 6).astype(np.float32)


def _background(lab: Floats) -> tuple[Floats, bool]:
    """A quadratic surface per channel, fitted first to the border, then to all that agrees with it."""
    height, width = lab.shape[:2]
    step = max(1, min(height, width) // 80)
    sample = lab[step // 2 :: step, step // 2 :: step]
    terms = _terms(*sample.shape[:2])
    values = sample.reshape(-1, 3)
    border = _border(*sample.shape[:2]).ravel()
    used: NDArray[np.bool_] = border.copy()
    fit = np.zeros((6, 3), dtype=np.float32)
    distance = np.zeros(len(values), dtype=np.float32)
    for turn in range(10):
        fit = np.linalg.lstsq(terms[used], values[used], rcond=None)[0]
        distance = np.linalg.norm(values - terms @ fit, axis=1)
        near = distance < max(2.5, 2.5 * float(np.median(distance[used])))
        used = near & border if turn < 4 else near
        if used.sum() < 30:
            used = border
    plain = bool((distance[border] < _SMOOTH).mean() > 0.75)
    return _surface(fit, height, width), plain


def _surface(fit: Floats, height: int, width: int) -> Floats:
    """The fit at every pixel: the same as `_terms @ fit`, without the large product."""
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    planes = [c[0] + x * (c[1] + x * c[3]) + y * (c[2] + x * c[4] + y * c[5]) for c in fit.T.astype(np.float32)]
    return np.stack(planes, axis=-1)


def _outside(product: Mask) -> Mask:
    # Cracks that lead out of the product are gaps too.
    open_space = opened(np.pad(~product, 4, mode="edge"), 3)[4:-4, 4:-4]
    labels, _ = ndimage.label(open_space)
    sizes = np.bincount(labels.ravel())
    large = sizes > max(50.0, _SMALL_GAP * float(product.sum()))
    large[0] = False
    return np.asarray(large[labels])


def _product(lab: Floats, background: Floats, gradient: Floats) -> Mask:
    difference = lab - background
    edge = gradient > _EDGE
    coloured = np.hypot(difference[..., 1], difference[..., 2]) > _COLOURED
    mask = edge | coloured | (difference[..., 0] > _LIGHTER) | (difference[..., 0] < -_DARKER)
    mask = opened(closed(mask, 3))
    labels, count = ndimage.label(mask)
    if count == 0:
        return np.asarray(mask)
    index = np.arange(1, count + 1)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    support = np.bincount(labels[edge | coloured], minlength=count + 1)[1:] / sizes
    kept = index[(sizes > max(80.0, 0.01 * sizes.max())) & (support > _LEAST_SUPPORT)]
    return _with_glossy_holes(np.isin(labels, kept), difference)


def _with_glossy_holes(mask: Mask, difference: Floats) -> Mask:
    """Adds holes that are a glossy surface as light as the background.

    A pearl on a white ground has no edge inside, but it mirrors the lamp: a small spot lighter than the ground and
    without colour, away from the rim. The ground seen through a hoop has none.
    """
    labels, count = ndimage.label(filled(mask) & ~mask)
    result = mask.copy()
    for number, where in enumerate(ndimage.find_objects(labels)[: min(count, 200)], start=1):
        hole = labels[where] == number
        inside = eroded(hole, 4)
        if hole.sum() < 150 or not inside.any():
            continue
        spot = opened(inside & (difference[where][..., 0] > _LIGHTER))
        if 0.005 < spot.sum() / hole.sum() < 0.3:
            tint = np.hypot(*np.median(difference[where][spot][:, 1:], axis=0))
            result[where] |= hole if tint < 6 else False
    return closed(result) | result
