"""Limits and safe decoding of pictures that come from outside."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from servicekit import errors

MAX_BYTES = 20 * 1024 * 1024
MAX_PIXELS = 50_000_000

CONTENT_TYPES = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "HEIF": "image/heic",
}
EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/bmp": "bmp",
    "image/tiff": "tif",
    "image/avif": "avif",
    "image/heic": "heic",
}

# The limit is checked by `inspect`, from the header, with an error that says what to do.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class ImageInfo:
    """What the header of a picture says; sizes in pixels, before the EXIF orientation is applied."""

    format: str
    content_type: str
    width: int
    height: int


def inspect(data: bytes) -> ImageInfo:
    """Reads the header and checks every limit; decodes nothing.

    Raises:
        errors.InvalidArgument: IMAGE_EMPTY, IMAGE_TOO_LARGE, IMAGE_UNREADABLE, IMAGE_TOO_MANY_PIXELS.
    """
    with _open(data) as image:
        return _info(image)


def decode_rgb(data: bytes, *, min_side: int | None = None) -> Image.Image:
    """Decodes the first frame to upright 8-bit RGB; alpha and transparency go on white.

    Args:
        data: The encoded file.
        min_side: A JPEG may be decoded at a reduced DCT scale as long as neither side, in pixels,
            falls below this.

    Raises:
        errors.InvalidArgument: As `inspect`, and IMAGE_TRUNCATED for a file that ends too early.
    """
    with _open(data) as image:
        _info(image)
        try:
            if min_side is not None and image.format in ("JPEG", "MPO"):
                image.draft("RGB" if image.mode != "CMYK" else "CMYK", (min_side, min_side))
            image.load()
            return _rgb(ImageOps.exif_transpose(image))
        except errors.InvalidArgument:
            raise
        # Decoders raise whatever the damage makes them trip over (struct.error, IndexError, ...).
        except Exception as error:
            raise errors.InvalidArgument(
                "the picture is damaged or ends too early; send the complete file", reason="IMAGE_TRUNCATED"
            ) from error


def _open(data: bytes) -> Image.Image:
    if not data:
        raise errors.InvalidArgument("the picture is empty; send the file itself", reason="IMAGE_EMPTY")
    if len(data) > MAX_BYTES:
        raise errors.InvalidArgument(
            f"the picture has {len(data) / 2**20:.1f} MiB; at most {MAX_BYTES // 2**20} MiB are taken",
            reason="IMAGE_TOO_LARGE",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Image.open(io.BytesIO(data), formats=_formats())
    except UnidentifiedImageError:
        cause = None
    # Header parsers of damaged files raise more than Pillow documents.
    except Exception as error:
        cause = error
    raise errors.InvalidArgument(
        "the file is no picture that can be read; send a JPEG, PNG, WebP, GIF, BMP or TIFF",
        reason="IMAGE_UNREADABLE",
    ) from cause


def _formats() -> list[str]:
    Image.init()
    return [name for name in CONTENT_TYPES if name in Image.OPEN]


def _info(image: Image.Image) -> ImageInfo:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise errors.InvalidArgument(
            f"the picture has {width * height / 1e6:.0f} megapixels; at most {MAX_PIXELS // 1_000_000} are taken",
            reason="IMAGE_TOO_MANY_PIXELS",
        )
    name = image.format or ""
    return ImageInfo(name, CONTENT_TYPES[name], width, height)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith(("I", "F")):
        return _from_wide(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _from_wide(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit and float grey to 8 bits; Pillow's own conversion clips instead of scaling."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    top = values.max(initial=0.0)
    scale = 1.0 if image.mode == "F" and top > 1.0 else 255.0 if image.mode == "F" else 255.0 / 65535.0
    if image.mode == "I" and top <= 255:
        scale = 1.0
    grey = np.clip(np.rint(values * scale), 0, 255).astype(np.uint8)
    return Image.fromarray(grey, "L").convert("RGB")
