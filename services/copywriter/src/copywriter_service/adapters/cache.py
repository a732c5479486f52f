"""What keeps copy: the Protocol of the cache and of the leases that let one replica at a time write for a SKU."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from copywriter_service.domain import AdapterInfo, CopyText, Part, StoredPart

# SKU, marketplace code and language of an entry.
Key = tuple[str, str, str]


@dataclass(frozen=True)
class ImportedEntry:
    """An entry of a `data_store.json`: the entry itself as JSON, and the parts that were found in it."""

    sku: str
    raw: str
    parts: tuple[StoredPart, ...]


@dataclass(frozen=True)
class Holdings:
    """Everything in the cache: imported entries in their order, SKU to JSON, and all parts by SKU.

    Attributes:
        layout: As it was given with the last import; empty where nothing was imported.
    """

    imported: dict[str, str]
    parts: tuple[StoredPart, ...]
    layout: str = ""


class Leases(Protocol):
    """Leases by name, shared by all replicas. Times are the database's, so that clocks need not agree."""

    async def acquire(self, name: str, holder: str, seconds: float) -> bool:
        """Takes the lease when it is free or has run out; False when somebody else holds it."""
        ...

    async def renew(self, name: str, holder: str, seconds: float) -> bool:
        """Extends a lease; False when it was lost."""
        ...

    async def release(self, name: str, holder: str) -> None:
        """Gives a lease back; does nothing when it was lost."""
        ...


class CollectionShelf(Leases, Protocol):
    """Keeps titles and descriptions of collections. Methods raise `errors.ServiceError` as those of `Cache` do."""

    async def collection(self, fingerprint: str) -> CopyText | None:
        """What was kept under a fingerprint of at most 64 characters."""
        ...

    async def keep_collection(self, fingerprint: str, copy: CopyText) -> None:
        """Keeps title and description; of very many, the oldest are forgotten."""
        ...


class Cache(CollectionShelf, Protocol):
    """Keeps parts of copies. Every method raises `errors.ServiceError` with a CACHE_ reason when the store fails."""

    @property
    def info(self) -> AdapterInfo:
        """Which store keeps them."""
        ...

    async def open(self) -> None:
        """Makes tables where they are missing and checks that the store is sound."""
        ...

    async def close(self) -> None:
        """Ends all connections."""
        ...

    async def read(self, sku: str, language: str) -> list[StoredPart]:
        """Parts of a SKU under every marketplace code."""
        ...

    async def write(self, parts: Sequence[StoredPart]) -> None:
        """Stores written parts, all or none. A person's text is never replaced, a composed one replaces no model's."""
        ...

    async def put_edit(self, key: Key, parts: Sequence[StoredPart]) -> None:
        """Stores a person's parts and forgets that person's earlier ones of the same entry."""
        ...

    async def bind(self, sku: str, language: str, picture_sha256: str, places: Collection[tuple[str, Part]]) -> None:
        """Notes the picture of parts (code and part) whose picture was not known."""
        ...

    async def titles_with(
        self, words: Collection[str], probes: int, language: str, codes: Collection[str], sku: str
    ) -> list[tuple[str, str]]:
        """SKU and title of entries of other SKUs whose titles are alike to one of these words (see `titles`).

        Args:
            words: Of the title that others are compared with.
            probes: How many of them an alike title cannot lack all.
            codes: Marketplace codes of the catalogue.
            sku: Left out.

        Returns:
            Of very many, the newest.
        """
        ...

    async def delete(self, sku: str, code: str | None) -> int:
        """Forgets entries of a SKU, all of them for None; the number of entries."""
        ...

    async def page(self, limit: int, after: Key | None, sku_prefix: str) -> list[list[StoredPart]]:
        """Up to `limit` entries, each as its parts, by SKU, code and language, that come after a key."""
        ...

    async def import_entries(self, entries: Sequence[ImportedEntry], layout: str = "") -> None:
        """Stores imported entries, all or none; they replace what was imported for the same SKUs.

        Args:
            layout: How their file was laid out, kept for the next export; empty: as before.
        """
        ...

    async def holdings(self) -> Holdings:
        """Everything, for an export."""
        ...
