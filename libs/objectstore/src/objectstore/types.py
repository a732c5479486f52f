"""What a store is, and what it gives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class ObjectRef:
    """Where an object lies."""

    bucket: str
    key: str


@dataclass(frozen=True)
class ObjectInfo:
    """What a listing or a head request tells about an object.

    ``size`` is in bytes, ``modified`` is in UTC, ``content_type`` is empty in listings.
    """

    bucket: str
    key: str
    size: int
    modified: datetime
    content_type: str = ""


@dataclass(frozen=True)
class StoredObject:
    """An object with its bytes."""

    bucket: str
    key: str
    data: bytes
    content_type: str
    modified: datetime

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)


class ObjectStore(Protocol):
    """Objects in the buckets of the websites.

    Every method may raise ``errors.InvalidArgument`` for a bucket that is not ours or a key that no store can hold,
    ``errors.Unavailable`` when the store is down, slow, full or refuses our credentials (``reason`` says which), and
    ``errors.ResourceExhausted`` when too many calls wait.
    """

    @property
    def name(self) -> str:
        """``s3`` or ``folder``."""
        ...

    @property
    def embedded(self) -> bool:
        """True for the stand-in of a real object store."""
        ...

    @property
    def websites(self) -> Mapping[str, str]:
        """Bucket of each website, in the order of the configuration."""
        ...

    async def check(self) -> None:
        """Proves that every bucket can be reached; makes missing ones where that is allowed."""
        ...

    async def put(self, bucket: str, key: str, data: bytes, content_type: str, if_absent: bool = False) -> bool:
        """Writes an object whole or not at all. False when ``if_absent`` and the key is taken; nothing changes then."""
        ...

    async def get(self, bucket: str, key: str, max_bytes: int | None = None) -> StoredObject:
        """The object. Raises ``errors.NotFound``; ``errors.InvalidArgument`` when it is larger than ``max_bytes``."""
        ...

    async def head(self, bucket: str, key: str) -> ObjectInfo:
        """The object without its bytes. Raises ``errors.NotFound``."""
        ...

    async def delete(self, bucket: str, key: str) -> bool:
        """Removes an object. True when it was there; safe to repeat."""
        ...

    def list(self, bucket: str, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        """The objects whose keys start with ``prefix``, in the order of their keys."""
        ...

    def url(self, bucket: str, key: str) -> str:
        """The address that is given out for an object."""
        ...

    def parse_url(self, url: str) -> ObjectRef | None:
        """The object behind an address of ours, in any of the three forms; None for any other address."""
        ...

    def bucket_for(self, website: str) -> str:
        """Bucket of a website; empty means the default one. Raises ``errors.InvalidArgument`` for an unknown one."""
        ...

    def website_of(self, bucket: str) -> str:
        """Website of a bucket. Raises ``errors.InvalidArgument`` for a bucket that is not ours."""
        ...

    async def close(self) -> None:
        """Lets go of threads and connections."""
        ...
