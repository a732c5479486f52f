"""The words of the domain: pictures, rows, matches, decisions, and the ports to the outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from servicekit import errors

Vector = NDArray[np.float32]
"""One embedding, shape (dimension,), not normalised."""


class Verdict(Enum):
    """What the index says about a pair or a picture; the order is from sure to nothing."""

    EXACT = 1
    DUPLICATE = 2
    SIMILAR = 3
    NEW = 4

    @property
    def stops_upload(self) -> bool:
        """True when the stored picture is returned instead of storing another one."""
        return self in (Verdict.EXACT, Verdict.DUPLICATE)


class Reason(Enum):
    """What led to a verdict."""

    NONE = 0
    SAME_BYTES = 1
    SAME_PIXELS = 2
    SAME_PHOTO = 3
    MIRRORED_PHOTO = 4
    DISTANCE = 5


class Band(Enum):
    """Where a distance falls on the scale of 5 / 25 / 95."""

    DUPLICATE = 1
    SIMILAR = 2
    DIFFERENT = 3
    UNRELATED = 4


@dataclass(frozen=True)
class EmbeddingModel:
    """The model that vectors belong to. Distances are squared L2."""

    id: str
    name: str
    dimension: int
    duplicate_distance: float
    similar_distance: float
    has_text_tower: bool = False
    detail: str = ""


@dataclass(frozen=True)
class Print:
    """What of a picture is compared without a model; hashes have 256 bits.

    ``colors`` has the mean Cb and Cr of a 6 x 6 grid over the product's box. The mirrored values are
    needed of the picture asked about only. ``version`` is that of the algorithms: a re-index makes older prints
    anew.
    """

    sha_bytes: str
    sha_pixels: str
    width: int
    height: int
    content_type: str
    frame: int
    frame_mirrored: int
    box: int
    box_mirrored: int
    colors: bytes
    version: int = 1


@dataclass(frozen=True)
class Row:
    """A stored picture: one row of the collection, one object in a bucket.

    ``created`` is in milliseconds since 1970, UTC; ``norm`` is the L2 norm of the vector. ``original_key`` is set
    where the object is a JPEG made of a file that browsers do not show; the file as it came lies there.
    """

    id: str
    bucket: str
    key: str
    url: str
    website: str
    print: Print
    model_id: str
    sku: str
    original_name: str
    created: int
    norm: float
    original_key: str = ""


@dataclass(frozen=True)
class Neighbour:
    """A row and its squared L2 distance to what was searched with."""

    row: Row
    distance: float


@dataclass(frozen=True)
class Match:
    """A stored picture near the one asked about.

    ``distance`` is squared L2, ``hash_distance`` the smaller of the plain and mirrored frame hashes'
    Hamming distances, of 256.
    """

    row: Row
    url: str
    distance: float
    cosine: float
    verdict: Verdict
    reason: Reason
    band: Band
    hash_distance: int


@dataclass(frozen=True)
class Decision:
    """The verdict on a picture with what led to it; ``match`` is None for ``new``."""

    verdict: Verdict
    reason: Reason
    match: Match | None
    matches: tuple[Match, ...]
    explanation: str
    model_id: str
    elsewhere: tuple[Match, ...] = ()


@dataclass(frozen=True)
class Filter:
    """Which rows to look at; every field that is set must hold. Times in milliseconds since 1970."""

    bucket: str | None = None
    not_bucket: str | None = None
    key: str | None = None
    keys: tuple[str, ...] | None = None
    sha_pixels: str | None = None
    created_from: int | None = None
    created_before: int | None = None


@dataclass(frozen=True)
class Mark:
    """Two pictures, by the SHA-256 of their bytes, that a person told apart."""

    first: str
    second: str

    @classmethod
    def of(cls, one: str, other: str) -> Mark:
        """The mark of two pictures, whichever is named first."""
        return cls(*sorted((one, other)))


class Embedder(Protocol):
    """The embedding service."""

    async def model(self) -> EmbeddingModel:
        """The model that answers now."""
        ...

    async def embed_image(self, image: bytes) -> tuple[Vector, EmbeddingModel]:
        """The vector of a picture and the model it belongs to. Raises what the service raises."""
        ...

    async def embed_bulk(self, images: Sequence[bytes]) -> tuple[list[Vector | errors.ServiceError], EmbeddingModel]:
        """A vector, or why there is none, for each picture; waits behind pictures that people wait for."""
        ...

    async def embed_text(self, text: str) -> tuple[Vector, EmbeddingModel]:
        """The vector of a text. Raises ``errors.Unimplemented`` without a text tower."""
        ...

    async def close(self) -> None:
        """Closes the channel."""
        ...


class VectorStore(Protocol):
    """Rows with vectors, one collection ("space") per model, read with strong consistency.

    Only rows of the buckets that the configuration names are read. Every method raises ``errors.Unavailable``
    when the store is down, slow or refuses.
    """

    @property
    def name(self) -> str:
        """``milvus`` or ``milvus-lite``."""
        ...

    @property
    def embedded(self) -> bool:
        """True for the stand-in of a real server."""
        ...

    async def check(self) -> None:
        """Connects. Raises ``errors.FailedPrecondition`` when another process holds the file."""
        ...

    async def space(self, model: EmbeddingModel) -> str:
        """The model's collection, made and loaded when need be."""
        ...

    async def other_spaces(self, space: str) -> list[str]:
        """The collections of all other models."""
        ...

    async def get(self, space: str, ids: Collection[str]) -> dict[str, Row]:
        """The rows that exist of those asked for, at most 1,000."""
        ...

    async def vectors(self, space: str, ids: Collection[str]) -> dict[str, Vector]:
        """The vectors of the rows that exist of those asked for, at most 1,000."""
        ...

    async def entries(self, space: str, ids: Collection[str]) -> dict[str, tuple[Row, Vector]]:
        """Rows and vectors at once, of those asked for that exist, at most 1,000."""
        ...

    async def find(self, space: str, where: Filter, limit: int) -> list[Row]:
        """Rows that pass the filter, in no order."""
        ...

    def scan(self, space: str, bucket: str) -> AsyncIterator[list[Row]]:
        """Every row of a bucket, in pages and in no order. Rows written meanwhile may or may not be among them."""
        ...

    async def search(self, space: str, vector: Vector, where: Filter, limit: int) -> list[Neighbour]:
        """The nearest rows that pass the filter, nearest first."""
        ...

    async def upsert(self, space: str, rows: Sequence[tuple[Row, Vector]]) -> None:
        """Writes rows; a row with a known id is replaced."""
        ...

    async def delete(self, space: str, ids: Collection[str]) -> None:
        """Removes rows; unknown ids are no error."""
        ...

    async def count(self, space: str, where: Filter) -> int:
        """How many rows pass the filter."""
        ...

    async def marked(self, marks: Collection[Mark]) -> set[Mark]:
        """Those of the marks that are stored."""
        ...

    async def mark(self, mark: Mark, said_by: str, created: int) -> None:
        """Stores a mark."""
        ...

    async def unmark(self, mark: Mark) -> None:
        """Removes a mark; safe to repeat."""
        ...

    async def note(self, name: str) -> Mapping[str, object] | None:
        """What was noted under a name: the state of long work, kept beside the rows."""
        ...

    async def set_note(self, name: str, value: Mapping[str, object] | None) -> None:
        """Notes something of at most 4 KiB as JSON under a name, or forgets it."""
        ...

    async def close(self) -> None:
        """Writes everything out and lets go of the file or the connection."""
        ...
