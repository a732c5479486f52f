"""A JPEG beside a file that browsers and marketplaces do not take: TIFF, BMP, AVIF, HEIC, and JPEGs in CMYK."""

from __future__ import annotations

import io

from PIL import Image

from servicekit import images

_TAKEN = {"image/jpeg", "image/png", "image/webp", "image/gif"}
_SIDE = 2000  # pixels; marketplaces zoom from 1,000 on, and ask for no more than this
_QUALITY = 90
JPEG = "image/jpeg"


def is_exotic(data: bytes) -> bool:
    """True for a picture that needs a JPEG beside it, from its header. Raises as ``images.inspect``."""
    if images.inspect(data).content_type not in _TAKEN:
        return True
    with Image.open(io.BytesIO(data)) as picture:
        return picture.mode == "CMYK"


def shown_jpeg(data: bytes) -> bytes | None:
    """The picture as an sRGB JPEG of at most 2,000 pixels a side, or None where the file itself will do.

    Raises ``errors.InvalidArgument`` as ``images.decode_rgb``.
    """
    if not is_exotic(data):
        return None
    picture = images.decode_rgb(data)
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()
