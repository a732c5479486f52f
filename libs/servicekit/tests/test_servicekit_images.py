"""Limits and decoding of pictures from outside."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from servicekit import errors, images


def encode(image: Image.Image, fmt: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, fmt, **options)
    return out.getvalue()


def picture(size: tuple[int, int] = (64, 48)) -> Image.Image:
    rng = np.random.default_rng(7)
    return Image.fromarray(rng.integers(0, 255, (*size[::-1], 3), dtype=np.uint8), "RGB")


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_formats(fmt: str) -> None:
    data = encode(picture(), fmt)
    info = images.inspect(data)
    assert (info.width, info.height) == (64, 48)
    assert info.content_type.startswith("image/")
    assert images.decode_rgb(data).size == (64, 48)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "IMAGE_EMPTY"),
        (b"not a picture at all", "IMAGE_UNREADABLE"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "IMAGE_UNREADABLE"),
        (b"\xff\xd8\xff" + b"\0" * (images.MAX_BYTES + 1), "IMAGE_TOO_LARGE"),
        (encode(Image.new("1", (10_000, 5_001)), "PNG"), "IMAGE_TOO_MANY_PIXELS"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused_before_decoding(data: bytes, reason: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        images.inspect(data)
    assert caught.value.reason == reason


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP"])
def test_truncated_files_are_refused(fmt: str) -> None:
    data = encode(picture((400, 300)), fmt)
    with pytest.raises(errors.InvalidArgument):
        images.decode_rgb(data[: len(data) // 2])


def test_orientation_is_honoured() -> None:
    image = Image.new("RGB", (40, 20), "white")
    image.paste((255, 0, 0), (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = images.decode_rgb(encode(image, "PNG", exif=exif))
    assert upright.size == (20, 40)
    assert upright.getpixel((10, 5)) == (255, 0, 0)


def test_alpha_goes_on_white() -> None:
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert images.decode_rgb(encode(image, "PNG")).getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    values = np.full((4, 4), 32768, dtype=np.uint16)
    grey = images.decode_rgb(encode(Image.fromarray(values), "PNG")).getpixel((0, 0))
    assert grey == (128, 128, 128)


@pytest.mark.parametrize("mode", ["CMYK", "L", "P", "1"])
def test_other_modes(mode: str) -> None:
    fmt = "JPEG" if mode in ("CMYK", "L") else "PNG"
    assert images.decode_rgb(encode(picture().convert(mode), fmt)).mode == "RGB"


def test_a_jpeg_is_decoded_reduced_but_never_below_the_least_side() -> None:
    data = encode(picture((2000, 1500)), "JPEG")
    reduced = images.decode_rgb(data, min_side=448)
    assert min(reduced.size) >= 448
    assert max(reduced.size) < 2000
