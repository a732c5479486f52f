"""Rows of an older schema become rows of today's: copied to a shadow collection, then the shadow takes the name.

Nothing is embedded again, and the old collection is kept; whoever is sure drops it. Every step may be repeated
after a crash, and by another replica: the copy is upserts, and a collection is renamed once only.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from pymilvus import CollectionSchema, DataType, MilvusClient
from pymilvus.exceptions import MilvusException

from servicekit import errors
from vision_index_service.adapters import milvus_rows as rows
from vision_index_service.adapters.milvus_connection import MilvusConnection

logger = logging.getLogger(__name__)
_PAGE = 1000  # rows read at once, with vectors


class Collections(Protocol):
    """What the move needs of the store."""

    async def ensure(self, name: str, schema: Callable[[], CollectionSchema]) -> None:
        """Makes a collection with its partitions and loads it."""
        ...

    def pages(
        self, name: str, columns: list[str], size: int, partitions: list[str] | None = None
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Every entity of a collection."""
        ...

    async def write(self, name: str, entities: list[dict[str, Any]]) -> None:
        """Upserts entities of today's schema."""
        ...

    async def total(self, name: str) -> int:
        """How many entities a collection has."""
        ...


@dataclass(frozen=True)
class _Move:
    old: str
    version: int
    new: str

    @property
    def shadow(self) -> str:
        return f"{self.new}_shadow"


class Migration:
    """Moves every collection of an older schema that today's has not replaced."""

    def __init__(self, connection: MilvusConnection, base: str, collections: Collections) -> None:
        self._connection, self._collections = connection, collections
        self._pattern = re.compile(rf"({re.escape(base)}_[0-9a-f]{{8}})_v(\d+)")

    async def run(self) -> None:
        """Does what is left to do; quick when that is nothing."""
        for move in await self._connection.run(self._find):
            await self._copy(move)
            await self._connection.run(lambda client, move=move: self._switch(client, move))  # type: ignore[misc]

    def _find(self, client: MilvusClient) -> list[_Move]:
        newest: dict[str, int] = {}
        for name in client.list_collections(timeout=self._connection.left()):
            if found := self._pattern.fullmatch(name):
                newest[found[1]] = max(newest.get(found[1], 0), int(found[2]))
        moves = []
        for stem, version in sorted(newest.items()):
            if version > rows.SCHEMA_VERSION:
                logger.warning("%s_v%d is of a newer version of this service; it is left alone", stem, version)
            elif version < rows.SCHEMA_VERSION:
                moves.append(_Move(f"{stem}_v{version}", version, f"{stem}_v{rows.SCHEMA_VERSION}"))
        return moves

    async def _copy(self, move: _Move) -> None:
        columns, dimension = await self._connection.run(lambda client: self._open(client, move.old))
        await self._collections.ensure(move.shadow, lambda: rows.schema(dimension))
        copied = 0
        async for page in self._collections.pages(move.old, columns, _PAGE):
            await self._collections.write(move.shadow, [_upgraded(entity, move.version) for entity in page])
            copied += len(page)
            logger.info("moving %s to schema %d: %d rows", move.old, rows.SCHEMA_VERSION, copied)
        if await self._collections.total(move.shadow) < copied:
            raise errors.Unavailable(
                f"the copy of {move.old} has fewer rows than it should; it is made again at the next start",
                reason="VECTOR_STORE_MIGRATION",
            )

    def _open(self, client: MilvusClient, old: str) -> tuple[list[str], int]:
        client.load_collection(old, timeout=self._connection.left())
        fields = client.describe_collection(old, timeout=self._connection.left())["fields"]
        vector = next(field for field in fields if field["type"] == DataType.FLOAT_VECTOR)
        return [field["name"] for field in fields], int(vector["params"]["dim"])

    def _switch(self, client: MilvusClient, move: _Move) -> None:
        left = self._connection.left
        try:
            client.rename_collection(move.shadow, move.new, timeout=left())
            logger.info("%s took the place of %s, which is kept", move.new, move.old)
        except MilvusException:
            if not client.has_collection(move.new, timeout=left()):
                raise
            # Another replica was faster; its rows are the same.
            client.drop_collection(move.shadow, timeout=left())


def _upgraded(entity: dict[str, Any], version: int) -> dict[str, Any]:
    for step in range(version, rows.SCHEMA_VERSION):
        entity = rows.UPGRADES[step](entity)
    return entity
