"""The templates of all codes: those that sellers registered, and built-in ones where there is none."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import marketplaces
from exporter_service import generation
from exporter_service.adapters.template_store import TemplateStore, Version, not_found, template_id, version_of
from exporter_service.keeping import Kept
from exporter_service.model import Template, listing_of
from exporter_service.reading import opening
from exporter_service.reading.understanding import changes, understand
from marketplaces import Listing
from objectstore import ObjectStore
from servicekit import errors

BUILT_IN = "builtin-"
_KEPT_BYTES = 128 * 1024 * 1024
# Others may register at the same moment; more than so many at once is no accident.
_ATTEMPTS = 20
_MAX_NAME = 200


class Templates:
    """The templates of all codes and websites.

    Built-in ones are made at first use and kept in a folder, one file for each code.
    """

    def __init__(self, folder: Path, store: ObjectStore) -> None:
        self._folder = folder
        self._store = store
        self._registered = TemplateStore(store)
        self._kept: Kept[str, Template] = Kept(_KEPT_BYTES, _weight)

    async def choose(self, code: str, id_: str = "", website: str = "") -> Template:
        """The template of that id; without one, the website's newest for the code, else the built-in one.

        Raises:
            errors.InvalidArgument: UNKNOWN_MARKETPLACE, WEBSITE_UNKNOWN; TEMPLATE_MISMATCH for a template of another
                code or website.
            errors.NotFound: TEMPLATE_NOT_FOUND.
            errors.DataLoss: TEMPLATE_DAMAGED.
        """
        if id_:
            return await self._by_id(code, id_, website)
        listing = listing_of(code)
        newest = await self._newest(self._website(website), code)
        return await self._get(newest) if newest is not None else await self._built_in(listing)

    async def list(self, code: str = "", website: str = "") -> Sequence[Template]:
        """Registered templates, newest first, then the built-in ones; without their columns and contents."""
        codes = [listing_of(code).code] if code else marketplaces.CODES
        websites = [self._website(website)] if website else list(self._store.websites)
        found = [
            await self._registered.get(version, with_content=False)
            for each in websites
            for one in codes
            for version in await self._registered.versions(each, one)
        ]
        found.sort(key=lambda template: template.created, reverse=True)
        return [*found, *[await self._built_in(listing_of(one)) for one in codes]]

    async def register(self, code: str, content: bytes, original_name: str, website: str) -> Template:
        """Takes a seller's workbook and says what was understood of it.

        The file that is the newest version already is not kept twice.

        Raises:
            errors.InvalidArgument: UNKNOWN_MARKETPLACE, WEBSITE_UNKNOWN, TEMPLATE_*; nothing was stored then.
            errors.Aborted: TEMPLATE_RACE.
        """
        listing = listing_of(code)
        name = self._website(website)
        read = await asyncio.to_thread(read_template, listing, content, original_name, name)
        digest = await asyncio.to_thread(lambda: hashlib.sha256(content).hexdigest())
        before = await self._newest(name, code)
        if before is not None and await self._registered.digest(before) == digest:
            return await self._get(before)
        await self._registered.put_content(read, digest)
        for _ in range(_ATTEMPTS):
            template = await self._numbered(read, before)
            if await self._registered.claim(template, digest):
                self._kept.put(template.id, template)
                return template
            before = await self._newest(name, code)
        raise errors.Aborted(
            "others register templates for this code at the same time: try again", reason="TEMPLATE_RACE"
        )

    async def _numbered(self, read: Template, before: Version | None) -> Template:
        """The template as the version that follows another one; says how its header differs."""
        number = before.number + 1 if before is not None else 1
        warnings = read.warnings
        if before is not None:
            older = await self._registered.get(before, with_content=False)
            told = changes(older.columns, read.columns)
            if told:
                warnings = (f"the header differs from that of version {before.number}: {'; '.join(told)}", *warnings)
        return replace(read, version=number, id=template_id(read.website, read.code, number), warnings=warnings)

    async def _newest(self, website: str, code: str) -> Version | None:
        versions = await self._registered.versions(website, code)
        return versions[-1] if versions else None

    async def _get(self, version: Version) -> Template:
        id_ = template_id(version.website, version.code, version.number)
        kept = self._kept.find(id_)
        if kept is None:
            kept = await self._registered.get(version)
            self._kept.put(id_, kept)
        return kept

    async def _by_id(self, code: str, id_: str, website: str) -> Template:
        if code:
            listing_of(code)
        version = version_of(id_)
        owner = id_.removeprefix(BUILT_IN) if id_.startswith(BUILT_IN) else version.code if version else ""
        known = id_.startswith(BUILT_IN) or (version is not None and version.website in self._store.websites)
        if owner not in marketplaces.CODES or not known:
            raise not_found(id_)
        if code and owner != code:
            raise errors.InvalidArgument(
                f"the template {id_} is for {owner}, not for {code}", reason="TEMPLATE_MISMATCH"
            )
        if id_.startswith(BUILT_IN) or version is None:
            return await self._built_in(listing_of(owner))
        if website and version.website != self._website(website):
            raise errors.InvalidArgument(
                f"the template {id_} is that of {version.website}, not of {website}", reason="TEMPLATE_MISMATCH"
            )
        return await self._get(version)

    def _website(self, website: str) -> str:
        return self._store.website_of(self._store.bucket_for(website))

    async def _built_in(self, listing: Listing) -> Template:
        id_ = f"{BUILT_IN}{listing.code}"
        kept = self._kept.find(id_)
        if kept is None:
            kept = await asyncio.to_thread(lambda: read_built_in(listing, self._made(listing)))
            self._kept.put(id_, kept)
        return kept

    def _made(self, listing: Listing) -> bytes:
        """The built-in workbook, made where it is missing; ones of older data are removed."""
        path = self._folder / f"{listing.code}-{generation.fingerprint(listing)}.xlsx"
        if path.exists():
            return path.read_bytes()
        # What makes workbooks takes 20 MB of memory, and is seldom needed.
        from exporter_service import builtin

        content = builtin.build(listing)
        self._folder.mkdir(parents=True, exist_ok=True)
        # Several processes may make it at once: each writes its own file, the last rename wins with the same content.
        unfinished = path.with_suffix(f".{uuid4().hex}.tmp")
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
        for older in self._folder.glob(f"{listing.code}-*.xlsx"):
            if older != path:
                older.unlink(missing_ok=True)
        return content


def read_template(listing: Listing, content: bytes, original_name: str, website: str) -> Template:
    """Reads a seller's workbook; it has neither version nor id yet.

    Raises:
        errors.InvalidArgument: TEMPLATE_*.
    """
    book = opening.opened(content)
    try:
        understood = understand(book, listing)
    except (ValueError, KeyError, IndexError, OverflowError, RecursionError) as error:
        # The file is well-formed as far as it was checked, and yet contradicts itself.
        raise errors.InvalidArgument(
            "the workbook is damaged: open it in a spreadsheet program and save it again", reason="TEMPLATE_UNREADABLE"
        ) from error
    return Template(
        id="",
        code=listing.code,
        version=0,
        built_in=False,
        original_name=_plain_name(original_name) or f"{listing.code}.{book.medium.value}",
        sheet=understood.sheet,
        data_row=understood.data_row,
        created=datetime.now(UTC),
        columns=understood.columns,
        content=content,
        warnings=understood.warnings,
        medium=book.medium,
        website=website,
        epoch_1904=book.epoch_1904,
        skus=understood.skus,
    )


def read_built_in(listing: Listing, content: bytes) -> Template:
    """Reads a built-in template: like a registered one, but what it leaves open is known from the data."""
    read = read_template(listing, content, f"{listing.code}.xlsx", "")
    fields = {field.name: field for field in listing.fields}
    columns = tuple(
        replace(
            column,
            required=bool(fields[column.field].required),
            sure=fields[column.field].required_confidence != "inferred",
            allowed_values=fields[column.field].options,
            key=column.field,
        )
        if column.field
        else column
        for column in read.columns
    )
    warnings = tuple(
        f"column {column.letters} ({column.name}) matches no field" for column in columns if not column.field
    )
    return replace(
        read,
        id=f"{BUILT_IN}{listing.code}",
        version=1,
        built_in=True,
        created=generation.MADE,
        columns=columns,
        warnings=warnings,
        data_row=listing.layout.data_row,
    )


def _plain_name(name: str) -> str:
    """A file's name without folders and characters that are none."""
    last = re.split(r"[/\\]", name)[-1]
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "", last)[:_MAX_NAME]


def _weight(template: Template) -> int:
    """Bytes that a template takes: its file, and its columns with their values, a hundred bytes each."""
    return len(template.content) + 100 * sum(5 + len(column.allowed_values) for column in template.columns)
