"""What a made picture says about its making, and how that goes along into forms cut from it.

A provider marks a picture as made by a model in three ways: a C2PA manifest (content credentials), XMP with IPTC's
digital source type, and EXIF. XMP and EXIF are carried over. A C2PA manifest is signed over the very bytes that it
lies in, so a copy of it in another file would be a broken signature: it stays in the provider's original, which is
kept, and the forms name that original.
"""

from __future__ import annotations

import contextlib
import io
import re
import struct
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from PIL import Image

_ORIENTATION = 0x0112
# A JPEG marker holds 65,533 bytes; what is written before XMP and EXIF takes some of them.
MAX_MARKER = 65_000
# IPTC's vocabulary (cv.iptc.org/newscodes/digitalsourcetype).
_TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_TERM = re.compile(rb"digitalsourcetype/([A-Za-z]{1,60})")
# A picture edited by a model, where the provider does not say it: IPTC's term for a composite with a model's output.
EDITED = "compositeWithTrainedAlgorithmicMedia"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_ENDS = re.compile(rb"</(\w{1,20}:)?RDF\s*>")
_EMPTY_XMP = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}"></rdf:RDF></x:xmpmeta>'.encode()


@dataclass(frozen=True)
class Provenance:
    """Metadata of a picture as bytes, each empty where there is none.

    Attributes:
        icc: Colour profile, where it fits the picture's pixels as RGB.
        exif: Without the orientation, which decoding has applied.
    """

    xmp: bytes = b""
    exif: bytes = b""
    icc: bytes = b""
    c2pa: bytes = b""

    @property
    def kinds(self) -> tuple[str, ...]:
        """What was found."""
        return tuple(name for name in ("c2pa", "xmp", "exif", "icc") if getattr(self, name))

    @property
    def source_type(self) -> str:
        """IPTC's term for how the picture was made: what the provider says, else that a model edited it."""
        found = _TERM.search(self.xmp) or _TERM.search(self.c2pa)
        return found[1].decode() if found else EDITED

    def xmp_of_form(self, original_url: str) -> bytes:
        """XMP for a form: the provider's own, the source type where it lacks one, and where the original lies.

        Args:
            original_url: Address of the provider's original.
        """
        named = b"" if _TERM.search(self.xmp) else f" Iptc4xmpExt:DigitalSourceType={quoteattr(self._term())}".encode()
        added = (
            f'<rdf:Description rdf:about="" xmlns:rdf="{_RDF}" xmlns:dc="http://purl.org/dc/elements/1.1/" '
            f'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" dc:source={quoteattr(original_url)}'
        ).encode()
        added += named + b"/>"
        for packet in (self.xmp, _EMPTY_XMP):
            end = _last_end(packet)
            if end is not None and len(packet) + len(added) <= MAX_MARKER:
                return packet[:end] + added + packet[end:]
        raise AssertionError("our own packet is short and has an end")

    def _term(self) -> str:
        return _TERMS + self.source_type


def read(data: bytes) -> Provenance:
    """The metadata of an encoded picture. Damaged metadata counts as none: the picture itself may be fine."""
    xmp = exif = icc = b""
    with contextlib.suppress(Exception), Image.open(io.BytesIO(data)) as image:
        raw = image.info.get("xmp", b"")
        xmp = raw.encode() if isinstance(raw, str) else bytes(raw)
        icc = rgb_profile(image)
        exif = _exif(image)
    return Provenance(xmp, exif, icc, c2pa(data))


def c2pa(data: bytes) -> bytes:
    """The C2PA manifest store of a PNG (`caBX`), JPEG (APP11) or WebP (`C2PA`); empty where there is none."""
    with contextlib.suppress(struct.error, IndexError):
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return _chunk(data, 8, b"caBX", big_endian=True)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _chunk(data, 12, b"C2PA", big_endian=False)
        if data.startswith(b"\xff\xd8"):
            return _app11(data)
    return b""


def _chunk(data: bytes, start: int, wanted: bytes, *, big_endian: bool) -> bytes:
    position = start
    while position + 8 <= len(data):
        if big_endian:
            length, name = struct.unpack_from(">I4s", data, position)
            step = 12 + length
        else:
            name, length = struct.unpack_from("<4sI", data, position)
            step = 8 + length + (length & 1)
        if name == wanted:
            return data[position + 8 : position + 8 + length]
        position += step
    return b""


def _app11(data: bytes) -> bytes:
    """JUMBF boxes of the APP11 segments, one after the other; the header of each segment is left out."""
    found, position = b"", 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker, length = struct.unpack_from(">xBH", data, position)
        if marker == 0xDA:
            break
        segment = data[position + 4 : position + 2 + length]
        if marker == 0xEB and segment[:2] == b"JP":
            found += segment[8:]
        position += 2 + length
    return found if b"c2pa" in found else b""


def rgb_profile(image: Image.Image) -> bytes:
    """The picture's colour profile; empty where it does not describe RGB, so that it would not fit decoded pixels."""
    profile = image.info.get("icc_profile") or b""
    fits = image.mode in ("RGB", "RGBA", "P") and profile[16:20] == b"RGB "
    return bytes(profile) if fits else b""


def _exif(image: Image.Image) -> bytes:
    exif = image.getexif()
    exif.pop(_ORIENTATION, None)
    content = exif.tobytes() if len(exif) else b""
    return content if len(content) <= MAX_MARKER else b""


def _last_end(packet: bytes) -> int | None:
    found = list(_ENDS.finditer(packet))
    return found[-1].start() if found else None
