"""The forms in which a made picture is given out: a square and a portrait. Padded, never stretched."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from copywriter_service import provenance
from copywriter_service.provenance import Provenance
from servicekit import images

# Pixels, as the specification has them.
SQUARE = (2000, 2000)
PORTRAIT = (1080, 1440)
JPEG_QUALITY = 92
# A frame's border is one colour when its channels spread by less than this (standard deviation, of 255).
_EVEN = 6.0
_WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Forms:
    """Encoded JPEGs."""

    square: bytes
    portrait: bytes


def cut(picture: Image.Image, origin: Provenance, original_url: str) -> Forms:
    """Both forms of an upright RGB picture, with the metadata that goes along.

    The whole picture is scaled evenly into the frame; what is left over takes the colour of the picture's border where
    that is one colour, else white.
    """
    ground = _ground(picture)
    xmp = origin.xmp_of_form(original_url)
    return Forms(*(_encoded(_padded(picture, size, ground), origin, xmp) for size in (SQUARE, PORTRAIT)))


def upload(picture: bytes, longest: int) -> tuple[bytes, Image.Image]:
    """A source picture on its way to the provider, and the decoded picture.

    It is an upright JPEG, and of its metadata only the colour profile goes along: the rest may tell where it was taken.

    Args:
        picture: Encoded file.
        longest: Most pixels on a side.

    Raises:
        errors.InvalidArgument: It cannot be decoded (see `servicekit.images`).
    """
    image = images.decode_rgb(picture, min_side=longest)
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, comment=None, icc_profile=provenance.rgb_profile(image) or None)
    return buffer.getvalue(), image


def _padded(picture: Image.Image, size: tuple[int, int], ground: tuple[int, int, int]) -> Image.Image:
    return ImageOps.pad(picture, size, Image.Resampling.LANCZOS, color=ground)


def _ground(picture: Image.Image) -> tuple[int, int, int]:
    pixels = np.asarray(picture)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    if border.std(axis=0).max() > _EVEN:
        return _WHITE
    red, green, blue = (int(value) for value in np.median(border, axis=0))
    return red, green, blue


def _encoded(picture: Image.Image, origin: Provenance, xmp: bytes) -> bytes:
    buffer = io.BytesIO()
    picture.save(
        buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0, xmp=xmp, exif=origin.exif,
        icc_profile=origin.icc or None,
    )  # fmt: skip
    return buffer.getvalue()
