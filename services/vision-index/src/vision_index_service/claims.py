"""The key of an object is decided once, also between replicas that know nothing of each other.

A key has the time of the upload in it, so it cannot be computed from the picture. Whoever uploads a picture
first puts a claim beside the images, on the condition that there is none; everybody else reads it. The claim
goes when the row is written. One that stays tells of an upload that a crash cut off. See docs/adr/0003.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid5

from objectstore import ObjectStore, object_key
from servicekit import errors, images
from vision_index_service.model import Print

logger = logging.getLogger(__name__)
IMAGES = "images/"
CLAIMS = "claims/"
_MAX_CLAIM_BYTES = 4096
_NAMESPACE = UUID("5a8e7d52-6c2b-5f0e-9f55-0d0c7ad1e3b4")


def row_id(bucket: str, sha_bytes: str) -> str:
    """Key of the row of these bytes in this bucket: 40 hex digits."""
    return hashlib.sha256(f"{bucket}/{sha_bytes}".encode()).hexdigest()[:40]


@dataclass(frozen=True)
class Claim:
    """What was decided for a picture: its object's key and its time, in milliseconds since 1970."""

    key: str
    created: int


class Claims:
    """Claims in the object store, one per picture being uploaded."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    async def take(self, bucket: str, picture: Print, original_name: str, now: datetime) -> Claim | None:
        """The claim of whoever was first. None when it was there and is gone: the upload was finished meanwhile."""
        name = self._name(bucket, picture.sha_bytes)
        extension = images.EXTENSIONS.get(picture.content_type, "bin")
        # The same uuid for the same picture: copies under two keys, should they ever come to be, are found by it.
        unique = uuid5(_NAMESPACE, row_id(bucket, picture.sha_bytes))
        key = object_key(IMAGES.rstrip("/"), original_name, extension, unique, now)
        mine = Claim(key, int(now.astimezone(UTC).timestamp() * 1000))
        data = json.dumps({"key": mine.key, "created": mine.created}).encode()
        if await self._objects.put(bucket, name, data, "application/json", if_absent=True):
            return mine
        try:
            found = await self._objects.get(bucket, name, max_bytes=_MAX_CLAIM_BYTES)
        except errors.NotFound:
            return None
        told = json.loads(found.data)
        return Claim(str(told["key"]), int(told["created"]))

    async def drop(self, bucket: str, sha_bytes: str) -> None:
        """Removes the claim. A store that fails now does no harm: the row is written, a left claim is ignored."""
        try:
            await self._objects.delete(bucket, self._name(bucket, sha_bytes))
        except errors.ServiceError as error:
            logger.warning("a claim is left behind in %s: %s", bucket, error.reason)

    @staticmethod
    def _name(bucket: str, sha_bytes: str) -> str:
        return f"{CLAIMS}{row_id(bucket, sha_bytes)}.json"
