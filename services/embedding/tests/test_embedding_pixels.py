"""Preprocessing: equal to transformers' image processor for every kind of file; limits."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from embedding_service.pixels import PixelRules, prepare
from servicekit import errors

Encode = Callable[..., bytes]
RULES = PixelRules()


def reference(image: Image.Image) -> np.ndarray:
    """What transformers' Pillow image processor makes of an upright RGB picture, back in 0..1."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    values = CLIPImageProcessorPil()(image, return_tensors="np")["pixel_values"][0]
    return values.transpose(1, 2, 0) * np.array(RULES.std) + np.array(RULES.mean)


def difference(data: bytes, image: Image.Image) -> float:
    """Mean absolute difference of pixels, in units of 1/255."""
    ours = prepare(data, RULES)
    assert ours.dtype == np.uint8
    assert ours.shape == (224, 224, 3)
    return float(np.abs(ours / 255.0 - reference(image)).mean() * 255)


def textured(width: int, height: int) -> Image.Image:
    """A picture with something at every scale: seeded blocks, coarse and fine, smoothed."""
    random = np.random.default_rng(width * 10_000 + height)
    layers = np.zeros((height, width, 3))
    for cells in (2, 8, 32):
        blocks = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        layers += np.asarray(blocks.resize((width, height), Image.Resampling.BICUBIC), dtype=float)
    return Image.fromarray((layers / 3).astype(np.uint8))


SIZES = [(224, 224), (1, 1), (3, 200), (100, 80), (225, 223), (640, 480), (481, 1337), (2000, 1500), (3001, 401)]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
def test_lossless_files_equal_transformers(size: tuple[int, int], encode: Encode) -> None:
    image = textured(*size)
    assert difference(encode(image), image) < 0.02


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
def test_jpegs_at_reduced_scale_equal_transformers_on_full_ones(size: tuple[int, int], encode: Encode) -> None:
    data = encode(textured(*size), "JPEG", quality=90)
    assert difference(data, Image.open(io.BytesIO(data)).convert("RGB")) < 1.0


def test_photos_equal_transformers(photos: list[bytes]) -> None:
    worst = max(difference(photo, Image.open(io.BytesIO(photo)).convert("RGB")) for photo in photos[::4])
    assert worst < 1.0


def test_jpegs_are_never_decoded_below_448(encode: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    from servicekit import images

    sides = []
    decode = images.decode_rgb

    def recorded(data: bytes, **options: Any) -> Image.Image:
        image = decode(data, **options)
        sides.append(min(image.size))
        return image

    monkeypatch.setattr(images, "decode_rgb", recorded)
    for size in ((896, 896), (900, 3000), (1792, 1800), (4000, 3600), (447, 447), (897, 600)):
        prepare(encode(Image.new("RGB", size), "JPEG"), RULES)
    assert all(side >= 448 for side in sides[:4])
    assert sides[0] == 448
    assert sides[4:] == [447, 600]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(orientation: int, encode: Encode) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(textured(700, 500), "JPEG", quality=95, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert difference(data, upright.convert("RGB")) < 1.0


def with_alpha(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def on_white(image: Image.Image) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA")).convert("RGB")


def test_modes(encode: Encode) -> None:
    image = textured(300, 260)
    grey = image.convert("L")
    deep = Image.fromarray(np.asarray(grey, dtype=np.uint16) * 257)
    palette = image.quantize(64)
    cmyk = encode(image.convert("CMYK"), "JPEG", quality=95)
    cases = {
        "16 bit": (encode(deep), grey.convert("RGB")),
        "palette": (encode(palette), palette.convert("RGB")),
        "grey": (encode(grey), grey.convert("RGB")),
        "1 bit": (encode(grey.convert("1")), grey.convert("1").convert("RGB")),
        "alpha": (encode(with_alpha(image)), on_white(with_alpha(image))),
        "cmyk": (cmyk, Image.open(io.BytesIO(cmyk)).convert("RGB")),
    }
    for name, (data, expected) in cases.items():
        assert difference(data, expected) < 1.0, name


@pytest.mark.parametrize("kind", ["WEBP", "BMP", "TIFF", "AVIF", "GIF"])
def test_formats(kind: str, encode: Encode) -> None:
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow does not write {kind}")
    data = encode(textured(320, 240), kind)
    assert difference(data, Image.open(io.BytesIO(data)).convert("RGB")) < 1.0


def test_heic_is_read_where_pillow_reads_it_and_refused_in_words_elsewhere() -> None:
    Image.init()
    header = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
    if "HEIF" in Image.SAVE:
        buffer = io.BytesIO()
        textured(320, 240).save(buffer, "HEIF")
        assert difference(buffer.getvalue(), textured(320, 240)) < 4.0
        return
    with pytest.raises(errors.InvalidArgument, match="send a JPEG") as refused:
        prepare(header, RULES)
    assert refused.value.reason == "IMAGE_UNREADABLE"


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG", "AVIF"])
def test_only_the_first_frame_is_decoded(kind: str, encode: Encode) -> None:
    """However many there are: fifty here."""
    Image.init()
    if kind not in Image.SAVE_ALL:
        pytest.skip(f"this Pillow does not write {kind}")
    first = textured(96, 96)
    more = [Image.new("RGB", (96, 96), (5 * shade, 0, 0)) for shade in range(50)]
    data = encode(first, kind, save_all=True, append_images=more)
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.n_frames > 1
        expected = opened.convert("RGB")
    assert difference(data, expected) < 1.0


@pytest.mark.parametrize(
    ("breaks", "reason"),
    [
        (lambda data: b"", "IMAGE_EMPTY"),
        (lambda data: b"not a picture", "IMAGE_UNREADABLE"),
        (lambda data: data[: len(data) // 2], "IMAGE_TRUNCATED"),
        (lambda data: data + bytes(20 * 2**20), "IMAGE_TOO_LARGE"),
    ],
)
def test_refusals(breaks: Callable[[bytes], bytes], reason: str, encode: Encode) -> None:
    with pytest.raises(errors.InvalidArgument) as refused:
        prepare(breaks(encode(textured(400, 300), "JPEG")), RULES)
    assert refused.value.reason == reason


def test_rules_come_from_the_checkpoint() -> None:
    old = PixelRules.from_config({"size": 224, "crop_size": 224, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}, 224)
    new = PixelRules.from_config({"size": {"shortest_edge": 224}, "crop_size": {"height": 224, "width": 224}}, 224)
    assert old.mean == (0, 0, 0)
    assert new == RULES
    assert new.sha256 != old.sha256
    for wrong in ({"do_center_crop": False}, {"crop_size": 336}, {"image_std": [0, 1, 1]}, {"size": {"width": 224}}):
        with pytest.raises(errors.FailedPrecondition):
            PixelRules.from_config(wrong, 224)
