"""Small collections beside the pictures: marks that people made, and notes of long work."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from pymilvus import CollectionSchema, DataType, MilvusClient

from vision_index_service.adapters.milvus_connection import MilvusConnection
from vision_index_service.adapters.milvus_rows import ID_BYTES, VECTOR
from vision_index_service.model import Mark

_STRONG = {"consistency_level": "Strong"}
# Of their own: raising the schema of the pictures must not lose what people said.
_MARKS_VERSION = 1
_NOTES_VERSION = 1
_MAX_NOTE_BYTES = 4096
_NOWHERE = [0.0, 0.0]  # Milvus wants a vector in every collection

Ensure = Callable[[str, Callable[[], CollectionSchema]], Awaitable[None]]


class MilvusLedger:
    """Marks and notes by id; every write may be repeated."""

    def __init__(self, connection: MilvusConnection, base: str, ensure: Ensure) -> None:
        """``ensure`` makes and loads a collection."""
        self._connection, self._ensure = connection, ensure
        self._marks = f"{base}_distinct_v{_MARKS_VERSION}"
        self._notes = f"{base}_notes_v{_NOTES_VERSION}"

    async def marked(self, marks: Collection[Mark]) -> set[Mark]:
        """See ``VectorStore.marked``."""
        by_id = {_mark_id(mark): mark for mark in marks}
        if not by_id:
            return set()
        await self._ensure(self._marks, _marks_schema)
        return {by_id[entity["id"]] for entity in await self._get(self._marks, list(by_id), ["id"])}

    async def mark(self, mark: Mark, said_by: str, created: int) -> None:
        """See ``VectorStore.mark``."""
        await self._ensure(self._marks, _marks_schema)
        told = {"first": mark.first, "second": mark.second, "said_by": said_by, "created": created}
        await self._put(self._marks, {"id": _mark_id(mark), **told, VECTOR: _NOWHERE})

    async def unmark(self, mark: Mark) -> None:
        """See ``VectorStore.unmark``."""
        await self._ensure(self._marks, _marks_schema)
        await self._drop(self._marks, _mark_id(mark))

    async def note(self, name: str) -> Mapping[str, object] | None:
        """See ``VectorStore.note``."""
        await self._ensure(self._notes, _notes_schema)
        found = await self._get(self._notes, [_note_id(name)], ["value"])
        return dict(json.loads(found[0]["value"])) if found else None

    async def set_note(self, name: str, value: Mapping[str, object] | None) -> None:
        """See ``VectorStore.set_note``."""
        await self._ensure(self._notes, _notes_schema)
        if value is None:
            await self._drop(self._notes, _note_id(name))
        else:
            await self._put(self._notes, {"id": _note_id(name), "value": json.dumps(value), VECTOR: _NOWHERE})

    async def _get(self, name: str, ids: list[str], fields: list[str]) -> list[Mapping[str, Any]]:
        def read(client: MilvusClient) -> list[Mapping[str, Any]]:
            return list(client.get(name, ids=ids, output_fields=fields, timeout=self._connection.left(), **_STRONG))

        return await self._connection.run(read)

    async def _put(self, name: str, entity: dict[str, Any]) -> None:
        await self._connection.run(lambda client: client.upsert(name, [entity], timeout=self._connection.left()))

    async def _drop(self, name: str, key: str) -> None:
        await self._connection.run(lambda client: client.delete(name, ids=[key], timeout=self._connection.left()))


def _mark_id(mark: Mark) -> str:
    return hashlib.sha256(f"{mark.first}:{mark.second}".encode()).hexdigest()


def _note_id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _schema() -> CollectionSchema:
    made = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    made.add_field("id", DataType.VARCHAR, is_primary=True, max_length=ID_BYTES)
    made.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=len(_NOWHERE))
    return made


def _marks_schema() -> CollectionSchema:
    made = _schema()
    made.add_field("first", DataType.VARCHAR, max_length=64)
    made.add_field("second", DataType.VARCHAR, max_length=64)
    made.add_field("said_by", DataType.VARCHAR, max_length=1024)
    made.add_field("created", DataType.INT64)
    return made


def _notes_schema() -> CollectionSchema:
    made = _schema()
    made.add_field("value", DataType.VARCHAR, max_length=_MAX_NOTE_BYTES)
    return made
