"""What the domain needs from outside: a source of products, a store, an embedder of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from semantic_service.products import Product

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """Who stands for an outside system; the fields of `jewelry.type.v1.Adapter`."""

    role: str
    name: str
    embedded: bool
    model_id: str = ""
    detail: str = ""
    shutdown_date: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """An embedding model; vectors of two models are never compared."""

    id: str
    dimensions: int


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors of texts: float32 of shape (texts, dimensions), rows of unit length."""

    vectors: Vectors
    model: Model
    adapter: AdapterInfo


@dataclass(frozen=True, slots=True)
class Digests:
    """Hashes of a stored product: of everything kept of it, and of the text that was embedded."""

    content: str
    text: str


@dataclass(frozen=True, slots=True)
class StoredProduct:
    """A product as the store keeps it; `vector` is float32 of shape (dimensions,), unit length."""

    product: Product
    digests: Digests
    vector: Vectors
    style: str


@dataclass(frozen=True, slots=True)
class Collection:
    """What the store says about the products of one model; `synced_at` is None until a sync finished."""

    model: Model
    count: int
    synced_at: datetime | None


class ProductSource(Protocol):
    """Where the shop's products come from."""

    @property
    def info(self) -> AdapterInfo:
        """Role `source`."""

    async def fetch(self) -> Sequence[object]:
        """Every record of the source, as decoded from JSON or CSV.

        Raises:
            errors.FailedPrecondition: No source is configured.
            errors.Unavailable: The source failed, is empty or not what it should be.
        """


class TextEmbedder(Protocol):
    """Turns texts into vectors."""

    @property
    def info(self) -> AdapterInfo:
        """Role `text_embedding`; who answered last."""

    async def documents(self, texts: Sequence[str]) -> Embedded:
        """Vectors of texts that will be found; raises errors.ServiceError."""

    async def queries(self, texts: Sequence[str]) -> Embedded:
        """Vectors of texts to find with; raises errors.ServiceError."""


class ProductStore(Protocol):
    """Keeps products with their vectors, one collection per model.

    Every method raises errors.Unavailable when the store cannot be reached and errors.DataLoss when
    what it holds is damaged; after `start_over` it is empty and usable again.
    """

    @property
    def info(self) -> AdapterInfo:
        """Role `vectors`."""

    async def collections(self) -> list[Collection]:
        """The collections held."""

    async def digests(self, model: Model) -> dict[str, Digests]:
        """Hashes of every product of the model's collection, by product id."""

    async def fetch(self, model: Model, ids: Sequence[str]) -> list[StoredProduct]:
        """The products with these ids; unknown ids are left out."""

    async def upsert(self, model: Model, products: Sequence[StoredProduct]) -> None:
        """Writes products; what was stored under their ids is replaced."""

    async def delete(self, model: Model, ids: Sequence[str]) -> None:
        """Removes products; unknown ids are ignored."""

    async def mark_synced(self, model: Model, at: datetime) -> None:
        """Notes that the collection holds a whole catalogue."""

    async def cached_vectors(self, model: Model, keys: Sequence[str]) -> dict[str, Vectors]:
        """Vectors put by `cache_vectors`, as far as they are held."""

    async def cache_vectors(self, model: Model, vectors: Mapping[str, Vectors]) -> None:
        """Keeps vectors that are no products (styles) under keys of the caller's."""

    async def start_over(self) -> str:
        """Puts a damaged store aside and begins an empty one; says where the damaged one is."""

    async def close(self) -> None:
        """Lets go of the store."""


Json = dict[str, Any]
