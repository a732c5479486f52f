"""Renders the variant pictures that `pairs.csv` names: `python samples/make_pairs.py OUT`.

The variants (re-encoded, resized, cropped, brightened, watermarked, mirrored, turned by EXIF, CMYK)
come from `photos/` by Pillow alone, so they are made where they are needed and not kept.
"""

from __future__ import annotations

import argparse
import csv
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

HERE = Path(__file__).resolve().parent
_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Pair:
    """Two pictures and how they relate.

    `file_a` is a photo of the samples; `file_b` is one too, or a rendered variant. `relation` is one of
    same_bytes, re_encode, resize, crop, brightness, watermark, flip, rotate, other_angle (the same
    product), different_product_same_type, unrelated (another product).
    """

    file_a: Path
    file_b: Path
    relation: str
    detail: str


def make_pairs(out: Path) -> list[Pair]:
    """Renders every variant into `out` and returns the rows of pairs.csv with absolute paths."""
    out.mkdir(parents=True, exist_ok=True)
    pairs = []
    with open(HERE / "pairs.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            source = HERE / row["file_a"]
            folder, name = row["file_b"].split("/", 1)
            other = HERE / folder / name
            if folder == "pairs":
                other = out / name
                _render(source, other, name.removeprefix(f"{source.stem}_"))
            pairs.append(Pair(source, other, row["relation"], row["detail"]))
    return pairs


def _render(source: Path, target: Path, variant: str) -> None:
    if variant == "copy.jpg":
        shutil.copyfile(source, target)
        return
    with Image.open(source) as image:
        _VARIANTS[variant](image.convert("RGB"), target)


def _jpeg(image: Image.Image, target: Path, quality: int = 80) -> None:
    image.save(target, "JPEG", quality=quality)


def _crop(image: Image.Image, target: Path) -> None:
    width, height = image.size
    edge = round(width * 0.05)
    _jpeg(image.crop((edge, edge, width - edge, height - edge)), target)


def _watermark(image: Image.Image, target: Path) -> None:
    width, height = image.size
    layer = Image.new("RGBA", image.size, (0, 0, 0, 0))
    text = ImageDraw.Draw(layer)
    text.text((width - 250, height - 60), "sample shop", font=ImageFont.load_default(36), fill=(40, 40, 40, 130))
    _jpeg(Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB"), target)


def _turned(image: Image.Image, target: Path) -> None:
    """Stored lying on its side; a viewer that honours the tag shows it upright."""
    exif = Image.Exif()
    exif[_EXIF_ORIENTATION] = 6
    image.transpose(Image.Transpose.ROTATE_90).save(target, "JPEG", quality=80, exif=exif)


_VARIANTS: dict[str, Callable[[Image.Image, Path], None]] = {
    "q50.jpg": lambda image, target: _jpeg(image, target, quality=50),
    "600.jpg": lambda image, target: _jpeg(image.resize((600, 600), Image.Resampling.LANCZOS), target),
    "crop.jpg": _crop,
    "bright.jpg": lambda image, target: _jpeg(ImageEnhance.Brightness(image).enhance(1.12), target),
    "mark.jpg": _watermark,
    "flip.jpg": lambda image, target: _jpeg(ImageOps.mirror(image), target),
    "exif6.jpg": _turned,
    "png.png": lambda image, target: image.save(target, "PNG"),
    "cmyk.jpg": lambda image, target: _jpeg(image.convert("CMYK"), target, quality=75),
}


def main() -> None:
    """Command line: one argument, the folder to fill."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder for the rendered pictures; made when missing")
    pairs = make_pairs(parser.parse_args().out)
    rendered = len({pair.file_b for pair in pairs if pair.file_b.parent != HERE / "photos"})
    print(f"{rendered} pictures rendered, {len(pairs)} pairs")


if __name__ == "__main__":
    main()
