"""Pictures on their way to a model: decoded, made small, and sent as data URLs."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

from PIL import Image

from servicekit import images

# Longest side in pixels. Vision models scale larger pictures down themselves, and each tile costs tokens.
LONGEST_SIDE = 1024
JPEG_QUALITY = 85


def data_urls(pictures: Sequence[bytes]) -> list[str]:
    """Each picture as a JPEG in a data URL, at most `LONGEST_SIDE` pixels wide and high; metadata stays behind.

    Raises:
        errors.InvalidArgument: A picture cannot be decoded (see `servicekit.images`).
    """
    return [_data_url(picture) for picture in pictures]


def _data_url(picture: bytes) -> str:
    image = images.decode_rgb(picture, min_side=LONGEST_SIDE)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY, comment=None)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
