"""What of a picture can be compared without a model: hashes of bytes, pixels, frame and product's box.

The 256-bit perceptual hash is imagehash's pHash (the signs of the 16 x 16 lowest DCT coefficients of the
64 x 64 grey picture around their median). Cropping shifts it as a whole, so the product's box is hashed too.
"""

from __future__ import annotations

import hashlib

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from servicekit import images
from vision_index_service.model import Print

VERSION = 1
"""Raised when the same picture would get another print: a re-index then makes the stored ones anew."""
HASH_SIDE = 16
COLOR_GRID = 6
_WORK_SIDE = 768  # hashes read 64 pixels a side; more than this changes no bit and costs time on large photos
_EDGE_SIDE = 320
_EDGE_BLUR = 1.5
# Found with the sample pairs among 72 settings (side, blur, quantiles): the widest gap between a cropped or
# marked copy (box hashes up to 28 apart) and any other product (72 and more). See the service's README.
_EDGE_QUANTILE = 0.995
_EDGE_SHARE = 0.5
_OUTSIDE = 0.02


def fingerprint(data: bytes) -> Print:
    """Decodes a picture and computes its print; about 34 ms of one core for one megapixel.

    Raises ``errors.InvalidArgument`` as ``servicekit.images`` does.
    """
    info = images.inspect(data)
    picture = images.decode_rgb(data)
    small = _at_most(picture, _WORK_SIDE)
    grey = small.convert("L")
    edges = product_box(grey)
    frame, box = _to_hash(grey), _to_hash(grey.crop(edges))
    return Print(
        sha_bytes=hashlib.sha256(data).hexdigest(),
        sha_pixels=_sha_of_pixels(picture),
        width=picture.width,
        height=picture.height,
        content_type=info.content_type,
        frame=_phash(frame),
        frame_mirrored=_phash(ImageOps.mirror(frame)),
        box=_phash(box),
        box_mirrored=_phash(ImageOps.mirror(box)),
        colors=_colors(small.crop(edges)),
        version=VERSION,
    )


def product_box(picture: Image.Image) -> tuple[int, int, int, int]:
    """The part of the picture where the product's edges are, in pixels: left, top, right, bottom.

    Edges are gradients of the blurred grey picture; shadows and backgrounds are smooth and fall below half of
    the strongest ones. The outermost 2% of what is left are cut off on every side, which drops marks and dust.
    The whole picture when it has no edges.
    """
    grey = _at_most(picture.convert("L"), _EDGE_SIDE).filter(ImageFilter.GaussianBlur(_EDGE_BLUR))
    if min(grey.size) < 2:  # a line has no slope across it
        return 0, 0, picture.width, picture.height
    slope_y, slope_x = np.gradient(np.asarray(grey, dtype=np.float32))
    edges = np.hypot(slope_x, slope_y)
    floor = float(np.quantile(edges, _EDGE_QUANTILE)) * _EDGE_SHARE
    kept = np.clip(edges - floor, 0.0, 2.0 * floor)
    if floor <= 0.0 or not kept.any():
        return 0, 0, picture.width, picture.height
    left, right = _between(kept.sum(axis=0), picture.width)
    top, bottom = _between(kept.sum(axis=1), picture.height)
    return left, top, right, bottom


def distance(one: int, other: int) -> int:
    """Hamming distance of two hashes, 0 to 256."""
    return (one ^ other).bit_count()


def color_distance(one: bytes, other: bytes, mirrored: bool = False) -> float:
    """Largest distance of two cells of the colour grids, in units of Cb and Cr; ``mirrored`` turns the other."""
    shape = (COLOR_GRID, COLOR_GRID, 2)
    a = np.frombuffer(one, dtype=np.uint8).reshape(shape).astype(np.float32)
    b = np.frombuffer(other, dtype=np.uint8).reshape(shape).astype(np.float32)
    return float(np.linalg.norm(a - (b[:, ::-1] if mirrored else b), axis=-1).max())


def _between(mass: NDArray[np.float32], size: int) -> tuple[int, int]:
    share = np.cumsum(mass) / mass.sum()
    at = (np.arange(len(share)) + 1) / len(share)
    low, high = np.interp((_OUTSIDE, 1 - _OUTSIDE), share, at)
    first = min(round(float(low) * size), size - 1)
    return first, max(round(float(high) * size), first + 1)


def _at_most(picture: Image.Image, side: int) -> Image.Image:
    longest = max(picture.size)
    if longest <= side:
        return picture
    size = (max(1, round(picture.width * side / longest)), max(1, round(picture.height * side / longest)))
    return picture.resize(size, Image.Resampling.BOX, reducing_gap=2.0)


def _sha_of_pixels(picture: Image.Image) -> str:
    digest = hashlib.sha256(f"{picture.width}x{picture.height}:".encode())
    digest.update(picture.tobytes())
    return digest.hexdigest()


def _to_hash(grey: Image.Image) -> Image.Image:
    """The size that pHash looks at; mirroring this is mirroring the picture, and cheaper."""
    side = HASH_SIDE * 4
    return grey.resize((side, side), Image.Resampling.LANCZOS)


def _phash(picture: Image.Image) -> int:
    bits = imagehash.phash(picture, hash_size=HASH_SIDE).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _colors(picture: Image.Image) -> bytes:
    fine = picture.resize((COLOR_GRID * 16, COLOR_GRID * 16), Image.Resampling.BOX).convert("YCbCr")
    cells = np.asarray(fine, dtype=np.float32)[..., 1:]
    means = cells.reshape(COLOR_GRID, 16, COLOR_GRID, 16, 2).mean(axis=(1, 3))
    return bytes(np.rint(means).astype(np.uint8))
