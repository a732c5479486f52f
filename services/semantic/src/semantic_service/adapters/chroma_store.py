"""Products in Chroma: a folder of its own, or a server."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import chromadb
import httpx
import numpy as np
from chromadb.api import ClientAPI
from chromadb.api.models.Collection import Collection as ChromaCollection
from chromadb.config import Settings as ChromaSettings
from chromadb.errors import ChromaError, NotFoundError

from semantic_service.ports import AdapterInfo, Collection, Digests, Model, StoredProduct, Vectors
from semantic_service.products import Product
from servicekit import errors

logger = logging.getLogger(__name__)

# Below Chroma's own 5,461 per write, and small enough that other calls get their turn.
_PAGE = 1_000
_KINDS = ("products", "styles")
# A server's longest time for one request, and for one step of ours, which may be many.
_REQUEST_SECONDS = 30.0
_SERVER_SECONDS = 300.0
# SQLite's codes for busy, locked, read-only, full: troubles that pass, no damage.
_PASSING = re.compile(r"\(code: (?:5|6|8|13|261|517)\)")

Result = TypeVar("Result")


class ChromaStore:
    """One collection of products, and one of style vectors, per embedding model.

    Metadata of a product is typed for filtering by other readers too: `price` float, `date` int
    yyyymmdd, `in_stock` bool, `color`, `category`, `audience`, `style` text in lower case. `record` holds
    the whole product as JSON; what a product does not say is absent.

    Args:
        open_client: Connects; called on first use and after `start_over`.
        folder: Chroma's own folder; None for a server.
        detail: What an operator should know.
    """

    def __init__(self, open_client: Callable[[], ClientAPI], *, folder: Path | None, detail: str) -> None:
        self._open_client = open_client
        self._folder = folder
        self._detail = detail
        self._client: ClientAPI | None = None
        self._opening = asyncio.Lock()

    @property
    def info(self) -> AdapterInfo:
        """Role `vectors`."""
        return AdapterInfo(
            role="vectors",
            name="chroma",
            embedded=self._folder is not None,
            model_id=chromadb.__version__,
            detail=self._detail,
        )

    async def collections(self) -> list[Collection]:
        """The collections of products, whatever their model."""
        return await self._do(_collections)

    async def digests(self, model: Model) -> dict[str, Digests]:
        """Hashes of every product of the model's collection, by product id."""
        return await self._do(lambda client: _digests(_collection(client, "products", model)))

    async def fetch(self, model: Model, ids: Sequence[str]) -> list[StoredProduct]:
        """The products with these ids; unknown ids are left out."""
        if not ids:
            return []
        return await self._do(lambda client: _fetch(_collection(client, "products", model), ids))

    async def upsert(self, model: Model, products: Sequence[StoredProduct]) -> None:
        """Writes products; what was stored under their ids is replaced."""

        def write(client: ClientAPI) -> None:
            collection = _collection(client, "products", model)
            for page in _pages(products):
                collection.upsert(
                    ids=[stored.product.id for stored in page],
                    embeddings=np.stack([stored.vector for stored in page]),
                    metadatas=[_metadata(stored) for stored in page],
                    documents=[stored.product.embedding_text() for stored in page],
                )

        await self._do(write)

    async def delete(self, model: Model, ids: Sequence[str]) -> None:
        """Removes products; unknown ids are ignored."""

        def remove(client: ClientAPI) -> None:
            collection = _collection(client, "products", model)
            for page in _pages(ids):
                collection.delete(ids=list(page))

        if ids:
            await self._do(remove)

    async def mark_synced(self, model: Model, at: datetime) -> None:
        """Notes that the collection holds a whole catalogue."""

        def note(client: ClientAPI) -> None:
            collection = _collection(client, "products", model)
            collection.modify(metadata={**(collection.metadata or {}), "synced_at": at.isoformat()})

        await self._do(note)

    async def cached_vectors(self, model: Model, keys: Sequence[str]) -> dict[str, Vectors]:
        """Vectors put by `cache_vectors`, as far as they are held."""

        def read(client: ClientAPI) -> dict[str, Vectors]:
            found: dict[str, Vectors] = {}
            collection = _collection(client, "styles", model)
            for page in _pages(keys):
                got = collection.get(ids=list(page), include=["embeddings"])
                found |= dict(zip(got["ids"], _vectors(got["embeddings"]), strict=True))
            return found

        return await self._do(read)

    async def cache_vectors(self, model: Model, vectors: Mapping[str, Vectors]) -> None:
        """Keeps vectors of styles under the hashes of their texts."""

        def write(client: ClientAPI) -> None:
            collection = _collection(client, "styles", model)
            collection.upsert(ids=list(vectors), embeddings=np.stack(list(vectors.values())))

        if vectors:
            await self._do(write)

    async def start_over(self) -> str:
        """Puts a damaged folder aside and begins an empty one; a server is emptied of what is ours."""
        if self._folder is None:
            await self._do(_drop_all)
            return "nothing, as it is a server"
        await self.close()
        aside = self._folder.with_name(f"{self._folder.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        await asyncio.to_thread(_put_aside, self._folder, aside)
        self._detail = f"rebuilt; the damaged folder is {aside.name}"
        return aside.name

    async def close(self) -> None:
        """Lets go of Chroma's files."""
        client, self._client = self._client, None
        if client is not None:
            for session in _sessions(client):
                session.close()
            # A damaged Chroma may fail to close; there is nothing left to lose then.
            with suppress(Exception):
                await asyncio.to_thread(client.close)

    async def _do(self, work: Callable[[ClientAPI], Result]) -> Result:
        try:
            # A folder is read as long as it takes; a server that hangs must hang nobody here.
            async with asyncio.timeout(None if self._folder else _SERVER_SECONDS):
                async with self._opening:
                    if self._client is None:
                        self._client = await asyncio.to_thread(self._connected)
                return await asyncio.to_thread(self._guarded, work, self._client)
        except TimeoutError:
            raise errors.Unavailable(
                f"the Chroma server did not answer within {_SERVER_SECONDS:.0f} s", reason="STORE_UNAVAILABLE"
            ) from None

    def _connected(self) -> ClientAPI:
        try:
            return self._open_client()
        except Exception as error:
            # Chroma's own tidying up after a failure fails, too, in ways of its own.
            raise self._named(error) from error
        except BaseException as error:
            if not _is_panic(error):
                raise
            raise self._named(error) from error

    def _guarded(self, work: Callable[[ClientAPI], Result], client: ClientAPI) -> Result:
        try:
            return work(client)
        except (ChromaError, OSError, ValueError, httpx.HTTPError) as error:
            raise self._named(error) from error
        except BaseException as error:
            if not _is_panic(error):
                raise
            raise self._named(error) from error

    def _named(self, error: BaseException) -> errors.ServiceError:
        logger.warning("Chroma failed: %s: %s", type(error).__name__, str(error)[:300])
        if self._folder is None:
            return errors.Unavailable(
                f"the Chroma server cannot be used ({type(error).__name__}); is CHROMA_URL right?",
                reason="STORE_UNAVAILABLE",
            )
        if _PASSING.search(str(error)) and (self._folder / "chroma.sqlite3").exists():
            return errors.Unavailable("Chroma's folder is busy or full; it is tried again", reason="STORE_UNAVAILABLE")
        return errors.DataLoss(f"Chroma's folder cannot be read ({type(error).__name__})", reason="STORE_DAMAGED")


def on_disk(folder: Path) -> ChromaStore:
    """Chroma in a folder of its own; one process at a time."""

    def connect() -> ClientAPI:
        folder.mkdir(parents=True, exist_ok=True)
        return chromadb.PersistentClient(str(folder), settings=ChromaSettings(anonymized_telemetry=False))

    return ChromaStore(connect, folder=folder, detail="on disk")


def on_server(url: str, token: str) -> ChromaStore:
    """A Chroma server; the token is sent as a bearer token where there is one."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"

    def connect() -> ClientAPI:
        client = chromadb.HttpClient(
            host=parts.hostname or "",
            port=parts.port or (443 if secure else 8000),
            ssl=secure,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            settings=ChromaSettings(anonymized_telemetry=False),
        )
        for session in _sessions(client):
            session.timeout = httpx.Timeout(_REQUEST_SECONDS)
        return client

    return ChromaStore(connect, folder=None, detail=parts.hostname or "")


def _sessions(client: ClientAPI) -> Iterator[httpx.Client]:
    """The HTTP sessions of a client; Chroma gives them no deadline, never closes them, and has no setting for it."""
    for owner in (client, getattr(client, "_admin_client", None)):
        session = getattr(getattr(owner, "_server", None), "_session", None)
        if isinstance(session, httpx.Client):
            yield session


def _is_panic(error: BaseException) -> bool:
    """What panics in Chroma's Rust core is no Exception."""
    return type(error).__name__ == "PanicException"


def _collection(client: ClientAPI, kind: str, model: Model) -> ChromaCollection:
    """The model's collection; made where there is none, with the cosine as distance."""
    name = _name(kind, model)
    try:
        # Chroma's `get_or_create` replaces the metadata of one that exists.
        return client.get_collection(name, embedding_function=None)
    except NotFoundError:
        return client.get_or_create_collection(
            name,
            embedding_function=None,
            configuration={"hnsw": {"space": "cosine"}},
            metadata={"model_id": model.id, "dimensions": model.dimensions},
        )


def _name(kind: str, model: Model) -> str:
    """A name that Chroma takes, one per model: a readable part, and a hash that keeps models apart."""
    readable = re.sub(r"[^a-zA-Z0-9]+", "-", model.id).strip("-")[:40]
    digest = hashlib.sha256(f"{model.id}\0{model.dimensions}".encode()).hexdigest()[:12]
    return f"{kind}-{readable}-{digest}" if readable else f"{kind}-{digest}"


def _model_of(collection: ChromaCollection, kind: str) -> Model | None:
    """The model of a collection of ours; None for what others keep on the same server."""
    about: Mapping[str, Any] = collection.metadata or {}
    try:
        model = Model(str(about["model_id"]), int(about["dimensions"]))
    except (KeyError, TypeError, ValueError):
        return None
    return model if collection.name == _name(kind, model) else None


def _collections(client: ClientAPI) -> list[Collection]:
    found = []
    for collection in client.list_collections():
        if (model := _model_of(collection, "products")) is not None:
            synced = (collection.metadata or {}).get("synced_at")
            at = datetime.fromisoformat(str(synced)) if synced else None
            found.append(Collection(model=model, count=collection.count(), synced_at=at))
    return found


def _digests(collection: ChromaCollection) -> dict[str, Digests]:
    found: dict[str, Digests] = {}
    offset = 0
    while True:
        # All at once would need more SQL variables than SQLite has.
        got = collection.get(include=["metadatas"], limit=_PAGE, offset=offset)
        with _understood():
            for id_, metadata in zip(got["ids"], got["metadatas"] or (), strict=True):
                found[id_] = _digests_of(metadata)
        offset += len(got["ids"])
        if len(got["ids"]) < _PAGE:
            return found


def _fetch(collection: ChromaCollection, ids: Sequence[str]) -> list[StoredProduct]:
    found = []
    for page in _pages(ids):
        got = collection.get(ids=list(page), include=["metadatas", "embeddings"])
        with _understood():
            for metadata, vector in zip(got["metadatas"] or (), _vectors(got["embeddings"]), strict=True):
                record = json.loads(str(metadata["record"]))
                record["details"] = tuple(record["details"])
                style = str(metadata.get("style") or "")
                found.append(StoredProduct(Product(**record), _digests_of(metadata), vector, style))
    return found


def _digests_of(metadata: Mapping[str, Any]) -> Digests:
    return Digests(str(metadata["content_digest"]), str(metadata["text_digest"]))


@contextmanager
def _understood() -> Iterator[None]:
    """What was stored but cannot be read back, say by another version, is rebuilt like what is damaged."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise errors.DataLoss(
            f"a stored product cannot be read back ({type(error).__name__})", reason="STORE_DAMAGED"
        ) from error


def _metadata(stored: StoredProduct) -> dict[str, Any]:
    """Metadata of a product; None removes what an earlier version of it said."""
    product = stored.product
    return {
        "title": product.title,
        "price": product.price,
        "date": product.date,
        "in_stock": product.in_stock,
        "color": product.color or None,
        "category": product.category.lower() or None,
        "audience": product.audience or None,
        "style": stored.style or None,
        "content_digest": stored.digests.content,
        "text_digest": stored.digests.text,
        "record": json.dumps(asdict(product), ensure_ascii=False),
    }


def _vectors(embeddings: Any) -> Vectors:
    """Chroma gives an array, or None for nothing."""
    return np.zeros((0, 0), np.float32) if embeddings is None else np.asarray(embeddings, dtype=np.float32)


def _pages(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), _PAGE):
        yield items[start : start + _PAGE]


def _drop_all(client: ClientAPI) -> None:
    for collection in client.list_collections():
        if any(_model_of(collection, kind) is not None for kind in _KINDS):
            client.delete_collection(collection.name)


def _put_aside(folder: Path, aside: Path) -> None:
    """Renames the folder; of earlier damaged ones none is kept, as each can be rebuilt from the source."""
    for earlier in folder.parent.glob(f"{folder.name}.damaged-*"):
        shutil.rmtree(earlier, ignore_errors=True)
        with suppress(OSError):
            earlier.unlink()
    if folder.exists():
        folder.rename(aside)
