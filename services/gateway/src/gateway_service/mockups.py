"""Other pictures of a product, made by one of two services, and packed."""

from __future__ import annotations

import asyncio
import io
import logging
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol
from uuid import uuid4

from gateway_service.model import MadePictures, Picture
from objectstore import ObjectStore
from servicekit import errors, images

logger = logging.getLogger(__name__)

MAX_SOURCES = 8
# As for the pictures of one product elsewhere: one message takes them all.
MAX_SOURCE_BYTES = 48 * 1024 * 1024


class Images(Protocol):
    """Gives the picture at an address, ours or outside."""

    async def load(self, url: str) -> Picture:
        """The picture; raises `errors.ServiceError` with a sentence for people."""
        ...


async def sources(loader: Images, urls: Sequence[str]) -> list[Picture]:
    """The pictures at the addresses.

    Raises:
        errors.InvalidArgument: There are none or too many, or they are too large together.
        errors.ServiceError: One of them cannot be loaded.
    """
    if not 1 <= len(urls) <= MAX_SOURCES:
        sentence = f"send 1 to {MAX_SOURCES} addresses of views of one product; there are {len(urls)}"
        raise errors.InvalidArgument(sentence, fields={"s3_urls": sentence})
    found: list[Picture] = []
    size = 0
    for url in urls:
        found.append(await loader.load(url))
        size += len(found[-1].content)
        if size > MAX_SOURCE_BYTES:
            raise errors.InvalidArgument(
                f"the pictures are larger than {MAX_SOURCE_BYTES // 2**20} MiB together; send fewer",
                reason="IMAGE_TOO_LARGE",
            )
    return found


async def packed(store: ObjectStore, made: MadePictures, website: str) -> str:
    """Address of a zip with the pictures that went well: the maker's own, else one that is stored here.

    Pictures that are there are worth more than their zip: where the store fails, the address is empty.
    """
    urls = [picture.url for picture in made.pictures if picture.url]
    if made.zip_url or not urls:
        return made.zip_url
    try:
        contents = [await _stored(store, url) for url in urls]
        bucket = store.bucket_for(website)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        key = f"gen_imgs/zips/{stamp}_{uuid4().hex}.zip"
        await store.put(bucket, key, await asyncio.to_thread(_zip, contents), "application/zip")
    except errors.ServiceError as error:
        logger.warning("the made pictures were not packed: %s", error.reason)
        return ""
    return store.url(bucket, key)


async def _stored(store: ObjectStore, url: str) -> tuple[str, bytes]:
    ref = store.parse_url(url)
    if ref is None:
        raise errors.NotFound("a made picture is not in the object store", reason="OBJECT_NOT_FOUND")
    found = await store.get(ref.bucket, ref.key, max_bytes=images.MAX_BYTES)
    return ref.key.rpartition("/")[2], found.data


def _zip(contents: Sequence[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    # Stored, not deflated: pictures do not get smaller.
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for number, (name, content) in enumerate(contents, 1):
            archive.writestr(f"{number:02}_{name}", content)
    return out.getvalue()
