"""Takes over the JSON files of the earlier single-process system: what they name becomes rows.

`indexed_hashes.json` is {sha256 of the file: key}, `int_hash_to_path.json` is {int id: url}. They only say where to
look; vectors and hashes are made anew from the objects.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from objectstore import ObjectRef, ObjectStore
from servicekit import errors
from vision_index_service.claims import row_id
from vision_index_service.intake import Aim, Intake, patiently
from vision_index_service.model import VectorStore
from vision_index_service.progress import Meter, Problem, ProblemKind, Report
from vision_index_service.reindex import Gate
from vision_index_service.shelf import IMAGES, Found, Shelf

logger = logging.getLogger(__name__)
_PAGE = 256
_MAX_ENTRIES = 1_000_000
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class _Entry:
    """One picture that the files name: where it may lie, in the order to look, and its hash where it is told."""

    told: str
    places: tuple[ObjectRef, ...]
    sha_bytes: str = ""


class LegacyImport:
    """Adds rows; changes no object and deletes nothing. Safe to repeat."""

    def __init__(self, intake: Intake, vectors: VectorStore, objects: ObjectStore, gate: Gate) -> None:
        """``gate`` is shared with other long work."""
        self._intake, self._vectors, self._objects, self._gate = intake, vectors, objects, gate
        self._shelf = Shelf(objects)

    async def run(
        self, indexed_hashes: bytes, int_hash_to_path: bytes, dry_run: bool = False
    ) -> AsyncGenerator[Report, None]:
        """Takes what the files name; each may be empty. With ``dry_run`` only says what could not be taken.

        Raises ``errors.InvalidArgument`` for files that are not of that form, and else as ``Intake.run``.
        """
        entries = self._entries(
            _mapping("indexed_hashes", indexed_hashes), _mapping("int_hash_to_path", int_hash_to_path)
        )
        async with self._gate.only("an import"):
            aim = await self._intake.aim()
            meter = Meter(total=len(entries))
            yield meter.report()
            for start in range(0, len(entries), _PAGE):
                async with aclosing(self._page(aim, entries[start : start + _PAGE], dry_run, meter)) as reports:
                    async for report in reports:
                        yield report

    async def _page(self, aim: Aim, entries: list[_Entry], dry_run: bool, meter: Meter) -> AsyncGenerator[Report, None]:
        found: list[Found] = []
        problems = []
        known = 0
        for entry in entries:
            picture = await patiently(lambda entry=entry: self._look(entry))  # type: ignore[misc]
            if picture is None:
                problems.append(self._missing(entry))
            elif await self._is_known(aim, entry, picture):
                known += 1
            else:
                found.append(picture)
        meter.add(known, len(problems))
        yield meter.report(tuple(problems))
        if dry_run:
            meter.add(len(found))
            yield meter.report()
            return
        async with aclosing(self._intake.run(aim, found)) as batches:
            async for taken in batches:
                meter.add(len(taken.batch) - len(taken.problems), len(taken.problems))
                yield meter.report(taken.problems)

    async def _look(self, entry: _Entry) -> Found | None:
        for place in entry.places:
            if picture := await self._shelf.picture(place.bucket, place.key):
                return picture
        return None

    async def _is_known(self, aim: Aim, entry: _Entry, picture: Found) -> bool:
        """Spares reading what an earlier run took."""
        if not entry.sha_bytes:
            return False
        wanted = row_id(picture.bucket, entry.sha_bytes)
        return wanted in await self._vectors.get(aim.space, [wanted])

    def _missing(self, entry: _Entry) -> Problem:
        if entry.places:
            return Problem(ProblemKind.ROW_WITHOUT_OBJECT, entry.told, detail="there is no such object")
        return Problem(
            ProblemKind.FAILED, entry.told, detail="this is neither an address nor a key of a picture of ours"
        )

    def _entries(self, by_hash: Mapping[str, str], by_number: Mapping[str, str]) -> list[_Entry]:
        """One entry per picture: the same one is in both files."""
        entries: dict[object, _Entry] = {}
        for sha_bytes, told in by_hash.items():
            sha = sha_bytes.lower() if _SHA256.fullmatch(sha_bytes) else ""
            places = self._places(told)
            entries[places or told] = _Entry(told, places, sha)
        seen = {place for entry in entries.values() for place in entry.places}
        for told in by_number.values():
            places = self._places(told)
            if not places or places[0] not in seen:
                entries.setdefault(places or told, _Entry(told, places))
        return list(entries.values())

    def _places(self, told: str) -> tuple[ObjectRef, ...]:
        """An address names one place; a key alone may be in any bucket, the default one first."""
        buckets = list(self._objects.websites.values())
        if ref := self._objects.parse_url(told):
            return (ref,) if ref.key.startswith(IMAGES) else ()
        path = told.removeprefix("s3://")
        bucket, _, key = path.partition("/")
        if bucket in buckets:
            return (ObjectRef(bucket, key),) if key.startswith(IMAGES) else ()
        if not path.startswith(IMAGES):
            return ()
        default = self._objects.bucket_for("")
        return tuple(ObjectRef(bucket, path) for bucket in sorted(buckets, key=lambda bucket: bucket != default))


def _mapping(name: str, data: bytes) -> dict[str, str]:
    if not data.strip():
        return {}
    try:
        told = json.loads(data)
    except ValueError as error:
        raise _unreadable(name, "is not JSON") from error
    if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
        raise _unreadable(name, "is not an object of strings")
    if len(told) > _MAX_ENTRIES:
        raise _unreadable(name, f"has more than {_MAX_ENTRIES} entries; send it in parts")
    return told


def _unreadable(name: str, what: str) -> errors.ServiceError:
    return errors.InvalidArgument(
        f"{name} {what}; send the file as the earlier system wrote it",
        reason="LEGACY_INDEX_UNREADABLE",
        fields={name: what},
    )
