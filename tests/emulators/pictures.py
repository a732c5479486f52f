"""Checks of pictures sent to a provider, and pictures that a provider would make."""

from __future__ import annotations

import io
import random

from PIL import Image, ImageDraw, PngImagePlugin

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
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", _XMP)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()
