"""The vector store: Milvus, Zilliz Cloud, or Milvus Lite in a local folder, through one client."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar

import grpc
import numpy as np

# pymilvus imports it on first use; two threads that do so at once break the import.
import scipy.sparse  # type: ignore[import-untyped]  # noqa: F401
from milvus_lite.server_manager import server_manager_instance
from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import DataNotMatchException, MilvusException, ParamError, SchemaNotReadyException

from objectstore.threads import Threads
from servicekit import deadlines, errors
from vision_index_service.adapters import milvus_rows as rows
from vision_index_service.model import EmbeddingModel, Filter, Mark, Neighbour, Row, Vector
from vision_index_service.settings import Settings

logger = logging.getLogger(__name__)
# pymilvus logs each failed call with a traceback; the errors raised from here say it once.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
logging.getLogger("milvus_lite").setLevel(logging.CRITICAL)

T = TypeVar("T")
_STRONG = {"consistency_level": "Strong"}
_INVALID_CODES = {6, 1100}  # Milvus Lite's and Milvus's codes for arguments that can never work
FLUSH_EVERY = 256
"""Rows. Milvus Lite searches rows that are not flushed 5 to 20 times slower."""


class MilvusStore:
    """One implementation for all three; only opening and flushing differ.

    A call may time out and still be carried out; every write here is repeatable.
    """

    def __init__(self, settings: Settings) -> None:
        """Connects on the first call."""
        self._settings = settings
        self.embedded = not settings.vector_store_uri
        self.name = "milvus-lite" if self.embedded else "zilliz" if settings.zilliz_url else "milvus"
        self._base = settings.collection_name
        self._timeout = settings.vector_store_timeout
        # Milvus Lite is Python in this process: threads gain nothing, and making a collection twice at once breaks it.
        workers = 1 if self.embedded else 16
        self._threads = Threads("the vector store", "VECTOR_STORE", workers, 256, self._timeout)
        self._lock, self._ensuring = threading.Lock(), threading.Lock()
        self._connected: MilvusClient | None = None
        self._ready: set[str] = set()
        self._unflushed: dict[str, int] = {}

    async def check(self) -> None:
        """See ``VectorStore.check``."""
        await self._run(lambda client: client.list_collections(timeout=self._left()))

    async def space(self, model: EmbeddingModel) -> str:
        """See ``VectorStore.space``."""
        name = rows.collection_name(self._base, model.id)
        if name not in self._ready:
            await self._run(lambda client: self._ensure(client, name, rows.schema(model.dimension)))
        return name

    async def other_spaces(self, space: str) -> list[str]:
        """See ``VectorStore.other_spaces``."""
        pattern = re.compile(rf"{re.escape(self._base)}_[0-9a-f]{{8}}_v{rows.SCHEMA_VERSION}")

        def look(client: MilvusClient) -> list[str]:
            names = client.list_collections(timeout=self._left())
            found = [name for name in names if name != space and pattern.fullmatch(name)]
            for name in found:
                if name not in self._ready:
                    self._load(client, name)
            return found

        return await self._run(look)

    async def get(self, space: str, ids: Collection[str]) -> dict[str, Row]:
        """See ``VectorStore.get``."""
        if not ids:
            return {}
        found = await self._run(
            lambda client: client.get(space, ids=list(ids), output_fields=rows.COLUMNS, timeout=self._left(), **_STRONG)
        )
        return {entity["id"]: rows.to_row(entity) for entity in found}

    async def vector(self, space: str, row_id: str) -> Vector | None:
        """See ``VectorStore.vector``."""
        found = await self._run(
            lambda client: client.get(space, ids=[row_id], output_fields=[rows.VECTOR], timeout=self._left(), **_STRONG)
        )
        return np.asarray(found[0][rows.VECTOR], dtype=np.float32) if found else None

    async def find(self, space: str, where: Filter, limit: int) -> list[Row]:
        """See ``VectorStore.find``."""
        found = await self._run(
            lambda client: client.query(
                space,
                filter=rows.expression(where),
                output_fields=rows.COLUMNS,
                limit=limit,
                timeout=self._left(),
                **_STRONG,
            )
        )
        return [rows.to_row(entity) for entity in found]

    async def search(self, space: str, vector: Vector, where: Filter, limit: int) -> list[Neighbour]:
        """See ``VectorStore.search``."""
        params = {} if self.embedded else {"ef": max(2 * limit, 128)}
        found = await self._run(
            lambda client: client.search(
                space,
                data=[vector],
                anns_field=rows.VECTOR,
                filter=rows.expression(where),
                limit=limit,
                output_fields=rows.COLUMNS,
                search_params={"metric_type": "L2", "params": params},
                timeout=self._left(),
                **_STRONG,
            )
        )
        # Milvus computes |a|^2 + |b|^2 - 2ab, which may end a little below zero for equal vectors.
        return [Neighbour(rows.to_row(hit["entity"]), max(0.0, float(hit["distance"]))) for hit in found[0]]

    async def upsert(self, space: str, entries: Sequence[tuple[Row, Vector]]) -> None:
        """See ``VectorStore.upsert``."""
        entities = [rows.to_entity(row, vector) for row, vector in entries]

        def write(client: MilvusClient) -> None:
            client.upsert(space, entities, timeout=self._left())
            self._count_for_flush(client, space, len(entities))

        if entities:
            await self._run(write)

    async def delete(self, space: str, ids: Collection[str]) -> None:
        """See ``VectorStore.delete``."""
        if ids:
            await self._run(lambda client: client.delete(space, ids=list(ids), timeout=self._left()))

    async def count(self, space: str, where: Filter) -> int:
        """See ``VectorStore.count``."""
        found = await self._run(
            lambda client: client.query(
                space,
                filter=rows.expression(where),
                output_fields=["count(*)"],
                timeout=self._left(),
                **_STRONG,
            )
        )
        return int(found[0]["count(*)"])

    async def marked(self, marks: Collection[Mark]) -> set[Mark]:
        """See ``VectorStore.marked``."""
        by_id = {_mark_id(mark): mark for mark in marks}
        if not by_id:
            return set()
        name = await self._marks()
        found = await self._run(
            lambda client: client.get(name, ids=list(by_id), output_fields=["id"], timeout=self._left(), **_STRONG)
        )
        return {by_id[entity["id"]] for entity in found}

    async def mark(self, mark: Mark, said_by: str, created: int) -> None:
        """See ``VectorStore.mark``."""
        name = await self._marks()
        entity = {
            "id": _mark_id(mark),
            "first": mark.first,
            "second": mark.second,
            "said_by": said_by,
            "created": created,
            rows.VECTOR: [0.0, 0.0],
        }
        await self._run(lambda client: client.upsert(name, [entity], timeout=self._left()))

    async def unmark(self, mark: Mark) -> None:
        """See ``VectorStore.unmark``."""
        name = await self._marks()
        await self._run(lambda client: client.delete(name, ids=[_mark_id(mark)], timeout=self._left()))

    async def close(self) -> None:
        """See ``VectorStore.close``."""
        try:
            if self._connected is not None:
                await self._run(self._let_go)
        finally:
            self._threads.close()

    async def _run(self, work: Callable[[MilvusClient], T]) -> T:
        """Runs in a thread, with the errors of Milvus turned to ours."""
        try:
            return await self._threads.run(lambda: work(self._client()))
        except (MilvusException, grpc.RpcError) as error:
            self._ready.clear()  # a server that was restarted wants its collections loaded again
            raise _typed(error) from error

    def _left(self) -> float:
        """Seconds for a call to Milvus; worker threads see the deadline of the call being served."""
        return deadlines.shaved(self._timeout)

    def _client(self) -> MilvusClient:
        with self._lock:
            if self._connected is None:
                self._connected = self._open_file() if self.embedded else self._connect()
            return self._connected

    def _connect(self) -> MilvusClient:
        token = self._settings.zilliz_token
        return MilvusClient(
            uri=self._settings.vector_store_uri,
            token=token.get_secret_value() if token else "",
            timeout=self._left(),
            dedicated=True,
        )

    def _open_file(self) -> MilvusClient:
        file = self._settings.vector_file
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            return MilvusClient(str(file), dedicated=True)
        except MilvusException as error:
            raise errors.FailedPrecondition(
                f"{file.name} in DATA_DIR cannot be opened; stop the other vision-index on it, or set MILVUS_HOST",
                reason="VECTOR_STORE_LOCKED",
            ) from error

    def _ensure(self, client: MilvusClient, name: str, schema: Any) -> None:
        """Makes and loads a collection; each step may be repeated after a crash, and by another replica."""
        with self._ensuring:
            if name in self._ready:
                return
            if not client.has_collection(name, timeout=self._left()):
                try:
                    client.create_collection(name, schema=schema, consistency_level="Strong", timeout=self._left())
                    logger.info("made the collection %s", name)
                except MilvusException:
                    if not client.has_collection(name, timeout=self._left()):  # else another replica was faster
                        raise
            if not client.list_indexes(name, timeout=self._left()):
                # Not waited for: the collection is empty, and Milvus Lite cannot be asked.
                client.create_index(name, rows.indexes(client, self.embedded, schema), timeout=self._left(), sync=False)
            self._load(client, name)

    def _load(self, client: MilvusClient, name: str) -> None:
        """A collection is searched only once it is loaded, after a reopen too."""
        client.load_collection(name, timeout=self._left())
        self._ready.add(name)

    async def _marks(self) -> str:
        name = f"{self._base}_distinct_v{rows.SCHEMA_VERSION}"
        if name not in self._ready:
            await self._run(lambda client: self._ensure(client, name, _marks_schema()))
        return name

    def _count_for_flush(self, client: MilvusClient, space: str, written: int) -> None:
        if not self.embedded:
            return
        with self._lock:
            due = self._unflushed.get(space, 0) + written
            self._unflushed[space] = 0 if due >= FLUSH_EVERY else due
        if due >= FLUSH_EVERY:
            client.flush(space, timeout=self._left())

    def _let_go(self, client: MilvusClient) -> None:
        if self.embedded:
            for space in _names(self._unflushed):
                client.flush(space, timeout=self._left())
        client.close()
        if self.embedded:  # the client leaves the server in this process, and so the lock on the file
            server_manager_instance.release_server(str(self._settings.vector_file))
        self._connected = None


def _names(unflushed: dict[str, int]) -> Iterable[str]:
    return [name for name, count in unflushed.items() if count]


def _mark_id(mark: Mark) -> str:
    return hashlib.sha256(f"{mark.first}:{mark.second}".encode()).hexdigest()


def _marks_schema() -> Any:
    made = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    made.add_field("id", DataType.VARCHAR, is_primary=True, max_length=rows.ID_BYTES)
    made.add_field("first", DataType.VARCHAR, max_length=64)
    made.add_field("second", DataType.VARCHAR, max_length=64)
    made.add_field("said_by", DataType.VARCHAR, max_length=1024)
    made.add_field("created", DataType.INT64)
    made.add_field(rows.VECTOR, DataType.FLOAT_VECTOR, dim=2)  # Milvus wants a vector in every collection
    return made


def _typed(error: Exception) -> errors.ServiceError:
    code = getattr(error, "code", None)
    logger.warning("the vector store failed: %s %s", type(error).__name__, error)
    if isinstance(error, (ParamError, DataNotMatchException, SchemaNotReadyException)) or code in _INVALID_CODES:
        return errors.Internal("the vector store does not take this request", reason="VECTOR_STORE_ERROR")
    return errors.Unavailable(
        "the vector store is down or refuses the request; try again shortly",
        reason="VECTOR_STORE_DOWN",
        retry_after=1.0,
    )
