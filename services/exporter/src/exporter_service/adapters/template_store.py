"""Registered templates in the object store: each version two objects, written once and never changed.

    templates/{code}/{version}.json     what was understood of it; who writes it first has the version
    templates/{code}/{sha256}.{ext}     the file as the seller gave it

Every replica sees the same, and nothing is kept beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from exporter_service.model import Column, Medium, Template
from objectstore import ObjectStore
from servicekit import errors

MAX_BYTES = 64 * 1024 * 1024
_FORM = 1
_CONTENT_TYPES = {
    Medium.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    Medium.XLSM: "application/vnd.ms-excel.sheet.macroEnabled.12",
    Medium.XLS: "application/vnd.ms-excel",
    Medium.TXT: "text/tab-separated-values",
}


@dataclass(frozen=True)
class Version:
    """A version that there is."""

    website: str
    code: str
    number: int


class TemplateStore:
    """The templates of all websites."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def versions(self, website: str, code: str) -> list[Version]:
        """Versions of a website's template for a code, oldest first."""
        bucket = self._store.bucket_for(website)
        found = []
        async for info in self._store.list(bucket, f"templates/{code}/"):
            name = info.key.rpartition("/")[2]
            if name.endswith(".json") and name[:-5].isdigit():
                found.append(Version(website, code, int(name[:-5])))
        return sorted(found, key=lambda version: version.number)

    async def put_content(self, template: Template, digest: str) -> None:
        """Keeps the file of a template; the same file is kept once."""
        bucket = self._store.bucket_for(template.website)
        kind = _CONTENT_TYPES[template.medium]
        await self._store.put(bucket, _content_key(template, digest), template.content, kind, if_absent=True)

    async def claim(self, template: Template, digest: str) -> bool:
        """Writes what was understood of a version. False when another one has that number already."""
        bucket = self._store.bucket_for(template.website)
        data = _packed(template, digest)
        key = f"templates/{template.code}/{template.version:06}.json"
        return await self._store.put(bucket, key, data, "application/json", if_absent=True)

    async def digest(self, version: Version) -> str:
        """SHA-256 of a version's file."""
        return str((await self._told(version))["sha256"])

    async def get(self, version: Version, with_content: bool = True) -> Template:
        """A version.

        Raises:
            errors.NotFound: TEMPLATE_NOT_FOUND.
            errors.DataLoss: TEMPLATE_DAMAGED.
        """
        told = await self._told(version)
        try:
            template = _unpacked(version, told)
            if not with_content:
                return template
            key = _content_key(template, str(told["sha256"]))
            stored = await self._store.get(self._store.bucket_for(version.website), key, MAX_BYTES)
        except (KeyError, TypeError, ValueError, errors.NotFound) as error:
            raise errors.DataLoss(
                f"version {version.number} of the template for {version.code} is damaged in the store: register it"
                " again",
                reason="TEMPLATE_DAMAGED",
            ) from error
        return _unpacked(version, told, stored.data)

    async def _told(self, version: Version) -> Mapping[str, Any]:
        bucket = self._store.bucket_for(version.website)
        key = f"templates/{version.code}/{version.number:06}.json"
        try:
            stored = await self._store.get(bucket, key, MAX_BYTES)
        except errors.NotFound as error:
            raise not_found(template_id(version.website, version.code, version.number)) from error
        told: Mapping[str, Any] = json.loads(stored.data)
        return told


def template_id(website: str, code: str, version: int) -> str:
    """Id of a registered template, such as `alya-fli_ear-3`."""
    return f"{website}-{code}-{version}"


def version_of(id_: str) -> Version | None:
    """The version that an id names; None if it is no id of a registered template."""
    parts = id_.rsplit("-", 2)
    if len(parts) != 3 or not parts[0] or not parts[2].isascii() or not parts[2].isdigit() or len(parts[2]) > 6:
        return None
    return Version(parts[0], parts[1], int(parts[2]))


def not_found(id_: str) -> errors.NotFound:
    """The error of an id that no template has."""
    return errors.NotFound(
        f"there is no template {id_!r}; list the templates to see which there are", reason="TEMPLATE_NOT_FOUND"
    )


def _content_key(template: Template, digest: str) -> str:
    return f"templates/{template.code}/{digest}.{template.medium.value}"


def _packed(template: Template, digest: str) -> bytes:
    told = {
        "form": _FORM,
        "original_name": template.original_name,
        "medium": template.medium.value,
        "sheet": template.sheet,
        "data_row": template.data_row,
        "epoch_1904": template.epoch_1904,
        "skus": template.skus,
        "created": template.created.isoformat(),
        "sha256": digest,
        "warnings": template.warnings,
        "columns": [_plain(column) for column in template.columns],
    }
    return json.dumps(told, ensure_ascii=False, indent=1).encode()


_DEFAULTS = Column(0, "", "", "", "")


def _plain(column: Column) -> dict[str, Any]:
    """A column without what it has in common with most."""
    return {name: value for name, value in asdict(column).items() if value != getattr(_DEFAULTS, name)}


def _unpacked(version: Version, told: Mapping[str, Any], content: bytes = b"") -> Template:
    known = {field.name for field in fields(Column)}
    columns = []
    for plain in told["columns"]:
        values: dict[str, Any] = {"number": 0, "letters": "", "label": "", "name": "", "field": ""}
        values |= {name: value for name, value in plain.items() if name in known}
        values["allowed_values"] = tuple(plain.get("allowed_values", ()))
        columns.append(Column(**values))
    return Template(
        id=template_id(version.website, version.code, version.number),
        code=version.code,
        version=version.number,
        built_in=False,
        original_name=str(told["original_name"]),
        sheet=str(told["sheet"]),
        data_row=int(told["data_row"]),
        created=datetime.fromisoformat(told["created"]),
        columns=tuple(columns),
        content=content,
        warnings=tuple(told["warnings"]),
        medium=Medium(told["medium"]),
        website=version.website,
        epoch_1904=bool(told["epoch_1904"]),
        skus=tuple(told.get("skus", ())),
    )
