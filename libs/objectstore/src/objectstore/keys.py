"""Names of objects, and what their first bytes say about them."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from servicekit import errors

MAX_KEY_BYTES = 1024
"""S3's own limit."""
MAX_SEGMENT_BYTES = 255
"""What a file system takes as one name."""
_MAX_SLUG = 60


@dataclass(frozen=True)
class FileType:
    """Content type and the extension that goes with it, without the dot."""

    content_type: str
    extension: str


_UNKNOWN = FileType("application/octet-stream", "bin")
_STARTS = (
    (b"\xff\xd8\xff", FileType("image/jpeg", "jpg")),
    (b"\x89PNG\r\n\x1a\n", FileType("image/png", "png")),
    (b"GIF87a", FileType("image/gif", "gif")),
    (b"GIF89a", FileType("image/gif", "gif")),
    (b"BM", FileType("image/bmp", "bmp")),
    (b"II*\x00", FileType("image/tiff", "tif")),
    (b"MM\x00*", FileType("image/tiff", "tif")),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", FileType("image/jp2", "jp2")),
    (b"%PDF-", FileType("application/pdf", "pdf")),
    (b"PK\x03\x04", FileType("application/zip", "zip")),
)
_BRANDS = {
    b"avif": FileType("image/avif", "avif"),
    b"avis": FileType("image/avif", "avif"),
    b"heic": FileType("image/heic", "heic"),
    b"heix": FileType("image/heic", "heic"),
    b"mif1": FileType("image/heif", "heif"),
}


def sniff(data: bytes) -> FileType:
    """The type that the first bytes show; ``application/octet-stream`` when they show none of the known ones."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return FileType("image/webp", "webp")
    if data[4:8] == b"ftyp" and (brand := _BRANDS.get(data[8:12])):
        return brand
    return next((kind for start, kind in _STARTS if data.startswith(start)), _UNKNOWN)


def slug(name: str, otherwise: str = "image") -> str:
    """A file's name made fit for a key: no folder, no extension, lower-case ASCII letters, digits and hyphens."""
    stem = re.split(r"[/\\]", name)[-1]
    stem = re.sub(r"\.[A-Za-z0-9]{1,5}$", "", stem)
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:_MAX_SLUG].strip("-") or otherwise


def object_key(prefix: str, original_name: str, extension: str, unique: UUID, when: datetime) -> str:
    """``{prefix}/{UTC timestamp}_{uuid}_{slug}.{extension}``, with the timestamp as ``20261122T143501Z``."""
    stamp = when.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{prefix}/{stamp}_{unique}_{slug(original_name)}.{extension}"


def check_key(key: str) -> str:
    """Gives the key back. Raises ``errors.InvalidArgument`` for one that could leave its bucket or fit in no store."""
    parts = key.split("/")
    bad = (
        not key
        or "\\" in key
        or any(ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) <= 0xDFFF for c in key)
        or any(part in ("", ".", "..") for part in parts)
    )
    if bad or len(key.encode()) > MAX_KEY_BYTES or any(len(p.encode()) > MAX_SEGMENT_BYTES for p in parts):
        raise errors.InvalidArgument(
            "this object key is not allowed; use names joined by single slashes, without '..', backslashes or control "
            f"characters, at most {MAX_KEY_BYTES} bytes long",
            reason="OBJECT_KEY_INVALID",
        )
    return key
