"""Checks of pictures sent to a provider, and pictures that a provider would make."""

from __future__ import annotations

import io
import random
import struct

from PIL import Image, ImageChops, ImageDraw, ImageOps, ImageStat, PngImagePlugin

# What providers write into made pictures: IPTC's digital source type for a picture made by a trained model.
AI_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    f'Iptc4xmpExt:DigitalSourceType="{AI_SOURCE_TYPE}"/></rdf:RDF></x:xmpmeta>'
)


def decodable(data: bytes) -> bool:
    """Whether the bytes are a whole picture that Pillow can decode."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    return True


def made_picture(seed: int, size: int = 256) -> bytes:
    """A PNG that depends on the seed only, marked as made by a model."""
    chosen = random.Random(seed)
    picture = Image.new("RGB", (size, size), tuple(chosen.randint(180, 255) for _ in range(3)))
    draw = ImageDraw.Draw(picture)
    for _ in range(6):
        x, y, radius = chosen.randint(0, size), chosen.randint(0, size), chosen.randint(10, size // 4)
        colour = tuple(chosen.randint(0, 220) for _ in range(3))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return _marked(picture)


def edited_picture(source: bytes, seed: int, size: tuple[int, int], *, faithful: bool = True) -> bytes:
    """A PNG of the source on another ground, marked as made by a model; the ground depends on the seed only.

    As a good edit does, it keeps the product: the source is multiplied with the ground, so that a light ground of its
    own disappears. An edit that is not faithful shows the product in other colours.
    """
    chosen = random.Random(seed)
    with Image.open(io.BytesIO(source)) as opened:
        product = ImageOps.exif_transpose(opened).convert("RGB")
    product = ImageOps.contain(product, (size[0] * 7 // 10, size[1] * 7 // 10))
    # The source's own ground becomes white first.
    corner = [max(1, round(value)) for value in ImageStat.Stat(product.crop((0, 0, 2, 2))).mean]
    scaled = zip(product.split(), corner, strict=True)
    product = Image.merge("RGB", [band.point([min(255, v * 255 // top) for v in range(256)]) for band, top in scaled])
    if not faithful:
        red, green, blue = product.split()
        product = Image.merge("RGB", (blue, red, green))
    tint = chosen.randint(214, 250)
    picture = Image.new("RGB", size, (tint, tint - chosen.randint(0, 4), tint - chosen.randint(0, 6)))
    place = ((size[0] - product.width) // 2, (size[1] - product.height) // 2)
    box = (*place, place[0] + product.width, place[1] + product.height)
    picture.paste(ImageChops.multiply(picture.crop(box), product), place)
    return _marked(picture)


def content_credentials() -> bytes:
    """What stands for a C2PA manifest store: JUMBF boxes of the right shape, unsigned."""
    store = b"jumd" + b"c2pa" + bytes.fromhex("00110010800000aa00389b71") + b"\x03c2pa\0"
    described = struct.pack(">I", 4 + len(store)) + store
    content = b"json" + AI_SOURCE_TYPE.encode()
    content = struct.pack(">I", 4 + len(content)) + content
    return struct.pack(">I4s", 8 + len(described) + len(content), b"jumb") + described + content


def _marked(picture: Image.Image) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", _XMP)
    info.add(b"caBX", content_credentials())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=info, compress_level=1)
    return buffer.getvalue()
