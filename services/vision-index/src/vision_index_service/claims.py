"""The key of an object is decided once, also between replicas that know nothing of each other.

A key has the time of the upload in it, so it cannot be computed from the picture. Whoever uploads a picture
first puts a claim beside the images, on the condition that there is none; everybody else reads it. The claim
goes when the row is written. One that stays tells of an upload that a crash cut off, and has what is needed to
finish it. See docs/adr/0003.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from uuid import UUID, uuid5

from objectstore import ObjectStore, object_key
from servicekit import errors, images
from vision_index_service.model import Print
from vision_index_service.shelf import IMAGES, ORIGINALS

logger = logging.getLogger(__name__)
CLAIMS = "claims/"
_MAX_CLAIM_BYTES = 8192
_NAMESPACE = UUID("5a8e7d52-6c2b-5f0e-9f55-0d0c7ad1e3b4")


def row_id(bucket: str, sha_bytes: str) -> str:
    """Key of the row of these bytes in this bucket: 40 hex digits."""
    return hashlib.sha256(f"{bucket}/{sha_bytes}".encode()).hexdigest()[:40]


@dataclass(frozen=True)
class Label:
    """What the uploader says about a picture; kept with its row."""

    original_name: str = ""
    sku: str = ""


@dataclass(frozen=True)
class Claim:
    """What was decided for a picture: its objects' keys, its time in milliseconds since 1970, and its label."""

    key: str
    created: int
    original_key: str = ""
    original_name: str = ""
    sku: str = ""


class Claims:
    """Claims in the object store, one per picture being uploaded."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    async def take(self, bucket: str, picture: Print, label: Label, exotic: bool, now: datetime) -> Claim | None:
        """The claim of whoever was first. None when it was there and is gone: the upload was finished meanwhile.

        ``exotic``: a JPEG is put beside the file itself.
        """
        wanted = row_id(bucket, picture.sha_bytes)
        # The same uuid for the same picture: copies under two keys, should they ever come to be, are found by it.
        unique = uuid5(_NAMESPACE, wanted)
        extension = images.EXTENSIONS.get(picture.content_type, "bin")

        def key(folder: str, extension: str) -> str:
            return object_key(folder.rstrip("/"), label.original_name, extension, unique, now)

        mine = Claim(
            key=key(IMAGES, "jpg" if exotic else extension),
            created=int(now.astimezone(UTC).timestamp() * 1000),
            original_key=key(ORIGINALS, extension) if exotic else "",
            original_name=label.original_name,
            sku=label.sku,
        )
        data = json.dumps(asdict(mine)).encode()
        if await self._objects.put(bucket, _name(wanted), data, "application/json", if_absent=True):
            return mine
        return await self.read(bucket, wanted)

    async def read(self, bucket: str, wanted: str) -> Claim | None:
        """The claim on a row, if there is one."""
        try:
            found = await self._objects.get(bucket, _name(wanted), max_bytes=_MAX_CLAIM_BYTES)
            told = json.loads(found.data)
            return Claim(**{name: told[name] for name in Claim.__dataclass_fields__ if name in told})
        except errors.NotFound:
            return None
        except (ValueError, TypeError) as error:
            raise errors.Internal(
                "a claim in the object store cannot be read; delete it", reason="CLAIM_UNREADABLE"
            ) from error

    async def all(self, bucket: str) -> AsyncIterator[tuple[str, Claim]]:
        """Every claim of a bucket with its row's id; one that cannot be read is logged and left out."""
        async for info in self._objects.list(bucket, CLAIMS):
            wanted = PurePosixPath(info.key).stem
            try:
                claim = await self.read(bucket, wanted)
            except errors.Internal:
                logger.warning("the claim %s in %s cannot be read", info.key, bucket)
                continue
            if claim is not None:
                yield wanted, claim

    async def drop(self, bucket: str, wanted: str) -> None:
        """Removes the claim on a row. A store that fails now does no harm: the row is written, and a left claim is
        ignored."""
        try:
            await self._objects.delete(bucket, _name(wanted))
        except errors.ServiceError as error:
            logger.warning("a claim is left behind in %s: %s", bucket, error.reason)


def _name(wanted: str) -> str:
    return f"{CLAIMS}{wanted}.json"
