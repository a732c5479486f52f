"""Where a picture lies in its bucket: its object, and the file as it came where that is another one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

from objectstore import ObjectInfo, ObjectStore
from servicekit import errors, images
from vision_index_service.shown import JPEG

IMAGES = "images/"
ORIGINALS = "originals/"


@dataclass(frozen=True)
class Found:
    """A picture of a listing; ``size`` in bytes is that of the file as it came."""

    bucket: str
    key: str
    size: int
    modified: datetime
    original_key: str = ""


class Shelf:
    """The pictures of the buckets, as objects."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    async def put(
        self, bucket: str, key: str, original_key: str, image: bytes, content_type: str, shown: bytes | None
    ) -> None:
        """Puts a picture there, the file as it came first: an address never leads nowhere."""
        if shown is None or not original_key:
            await self._objects.put(bucket, key, image, content_type)
            return
        await self._objects.put(bucket, original_key, image, content_type)
        await self._objects.put(bucket, key, shown, JPEG)

    async def read(self, bucket: str, key: str, original_key: str = "") -> bytes:
        """The file as it came. Raises ``errors.NotFound``, and ``errors.InvalidArgument`` for one of over 20 MiB."""
        return (await self._objects.get(bucket, original_key or key, max_bytes=images.MAX_BYTES)).data

    async def exists(self, bucket: str, key: str) -> bool:
        """True when the object is there."""
        try:
            await self._objects.head(bucket, key)
        except errors.NotFound:
            return False
        return True

    async def remove(self, bucket: str, key: str, original_key: str = "") -> bool:
        """Removes a picture; the address goes first. True when there was anything; safe to repeat."""
        shown = await self._objects.delete(bucket, key)
        other = await self._objects.delete(bucket, original_key) if original_key else False
        return shown or other

    async def originals(self, bucket: str, key: str = "") -> dict[str, ObjectInfo]:
        """Originals by the key of the picture that stands for them: of one picture, or of the bucket."""
        prefix = f"{ORIGINALS}{PurePosixPath(key).stem}." if key else ORIGINALS
        return {_shown_key(info.key): info async for info in self._objects.list(bucket, prefix)}

    async def pictures(self, bucket: str) -> list[Found]:
        """Every picture of a bucket, in the order of the keys; about 400 bytes of memory each."""
        originals = await self.originals(bucket)
        return [_found(info, originals.get(info.key)) async for info in self._objects.list(bucket, IMAGES)]

    async def picture(self, bucket: str, key: str) -> Found | None:
        """One picture, if it is there."""
        try:
            info = await self._objects.head(bucket, key)
        except errors.NotFound:
            return None
        return _found(info, (await self.originals(bucket, key)).get(key))


def _found(info: ObjectInfo, original: ObjectInfo | None) -> Found:
    if original is None:
        return Found(info.bucket, info.key, info.size, info.modified)
    return Found(info.bucket, info.key, original.size, info.modified, original.key)


def _shown_key(original_key: str) -> str:
    return f"{IMAGES}{PurePosixPath(original_key).stem}.jpg"
