"""Keeps made pictures in the website's bucket, and packs those of a request into a zip."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from copywriter_service.forms import Forms
from copywriter_service.provenance import Provenance
from copywriter_service.resemblance import Verdict
from copywriter_service.styles import Scene, StyleSet
from objectstore import FileType, ObjectRef, ObjectStore, object_key, sniff
from servicekit import errors

PREFIX = "gen_imgs/openai"
_JPEG = FileType("image/jpeg", "jpg")
_ZIP = FileType("application/zip", "zip")
# Zips made the same way are the same, whenever it was; 1980 is the format's first year.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Target:
    """Where an object goes, and what it is."""

    ref: ObjectRef
    kind: FileType


@dataclass(frozen=True)
class Keys:
    """Where the three files of one picture go."""

    original: Target
    square: Target
    portrait: Target


class Names:
    """Keys of the files of one request: no two requests share one.

    Args:
        bucket: The website's.
        title: What the files are called, such as `ear-catalogue`.
    """

    def __init__(self, bucket: str, title: str) -> None:
        self._bucket = bucket
        self._title = title
        self._when = datetime.now(UTC)

    def of(self, index: int, original: bytes) -> Keys:
        """Keys of the picture that a prompt made; its files share one unique part."""
        unique = uuid4()

        def target(form: str, kind: FileType) -> Target:
            name = f"{self._title}-{index}-{form}"
            return Target(ObjectRef(self._bucket, object_key(PREFIX, name, kind.extension, unique, self._when)), kind)

        return Keys(target("original", sniff(original)), target("square", _JPEG), target("portrait", _JPEG))

    def of_zip(self) -> Target:
        """Key of the zip."""
        key = object_key(PREFIX, self._title, _ZIP.extension, uuid4(), self._when)
        return Target(ObjectRef(self._bucket, key), _ZIP)


@dataclass(frozen=True)
class Page:
    """A finished picture with all that is told about it."""

    scene: Scene
    keys: Keys
    original: bytes
    forms: Forms
    provenance: Provenance
    verdict: Verdict
    original_url: str
    url: str
    portrait_url: str


class Gallery:
    """The part of the object store under `gen_imgs/openai/`."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._seen = False

    def bucket(self, website: str) -> str:
        """The website's bucket.

        Raises:
            errors.InvalidArgument: WEBSITE_UNKNOWN.
        """
        return self._store.bucket_for(website)

    async def probe(self, bucket: str) -> None:
        """Finds out whether the store is there, before anything is paid for.

        Raises:
            errors.ServiceError: The store is away, full, or has no such bucket.
        """
        try:
            if not self._seen:
                await self._check()
            else:
                with contextlib.suppress(errors.NotFound):
                    await self._store.head(bucket, f"{PREFIX}/probe")
        except errors.Unavailable as error:
            # Credentials that may write but not list are told the same about an object that is not there.
            if error.reason != "OBJECT_STORE_DENIED":
                raise
        self._seen = True

    async def _check(self) -> None:
        try:
            await self._store.check()
        except errors.NotFound:
            raise errors.Unavailable(
                "the object store cannot be used; check DATA_DIR and the buckets", reason="OBJECT_STORE_DOWN"
            ) from None

    async def keep(self, target: Target, data: bytes) -> str:
        """Stores an object; its address."""
        ref = target.ref
        await self._store.put(ref.bucket, ref.key, data, target.kind.content_type)
        return self._store.url(ref.bucket, ref.key)

    async def pack(self, names: Names, style: StyleSet, pages: Sequence[Page], model: str) -> str:
        """Stores a zip of finished pictures with `pictures.json` beside them; its address."""
        return await self.keep(names.of_zip(), await asyncio.to_thread(packed, style, pages, model))


def packed(style: StyleSet, pages: Sequence[Page], model: str) -> bytes:
    """A zip: per picture the square, the portrait and the provider's original, and what is known of them as JSON."""
    buffer = io.BytesIO()
    # Pictures do not get smaller: stored, not deflated.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        about = json.dumps(_about(style, pages, model), indent=2, ensure_ascii=False)
        archive.writestr(zipfile.ZipInfo("pictures.json", _NO_TIME), about)
        for page in pages:
            for name, data in _files(page).items():
                archive.writestr(zipfile.ZipInfo(name, _NO_TIME), data)
    return buffer.getvalue()


def _files(page: Page) -> dict[str, bytes]:
    number = page.scene.index
    return {
        f"{number}-square.jpg": page.forms.square,
        f"{number}-portrait.jpg": page.forms.portrait,
        f"{number}-original.{page.keys.original.kind.extension}": page.original,
    }


def _about(style: StyleSet, pages: Sequence[Page], model: str) -> dict[str, object]:
    return {
        "made_by": model,
        "digital_source_type": sorted({page.provenance.source_type for page in pages}),
        "style": style.name,
        "style_version": style.version,
        "product_type": style.product_type,
        "pictures": [
            {
                "prompt_index": page.scene.index,
                "scene": page.scene.text,
                "files": list(_files(page)),
                "square_url": page.url,
                "portrait_url": page.portrait_url,
                "original_url": page.original_url,
                "metadata_of_the_original": list(page.provenance.kinds),
                "suspect": page.verdict.suspect,
                "suspect_reason": page.verdict.reason,
            }
            for page in pages
        ],
    }
