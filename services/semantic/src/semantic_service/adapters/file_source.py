"""Products from PRODUCTS_FILE, and the source of a service that has none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from semantic_service import payload
from semantic_service.mapping import FieldMapping
from semantic_service.ports import AdapterInfo
from servicekit import errors

NO_SOURCE = "no source configured"


class FileSource:
    """Reads a JSON, JSON lines or CSV file; it is read anew on each sync.

    Args:
        path: The file.
        mapping: Tells where in the file the list of products is.
        max_bytes: A larger file is refused.
    """

    def __init__(self, path: Path, mapping: FieldMapping, *, max_bytes: int) -> None:
        self._path = path
        self._mapping = mapping
        self._max_bytes = max_bytes

    @property
    def info(self) -> AdapterInfo:
        """Names the file."""
        return AdapterInfo("source", "file", embedded=True, detail=self._path.name)

    async def fetch(self) -> Sequence[object]:
        """Every record of the file; raises errors.Unavailable."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> Sequence[object]:
        try:
            size = self._path.stat().st_size
            if size > self._max_bytes:
                raise errors.Unavailable(
                    f"the file {self._path.name} is larger than SEMANTIC_SOURCE_MAX_BYTES ({self._max_bytes:,})",
                    reason="SOURCE_TOO_LARGE",
                )
            body = self._path.read_bytes()
        except OSError as error:
            raise errors.Unavailable(
                f"the file {self._path.name} cannot be read: {error.strerror}", reason="SOURCE_DOWN"
            ) from error
        found = payload.items_of(payload.decoded(body, "", self._path.name), self._mapping.source.items)
        if not found:
            raise errors.Unavailable(f"the file {self._path.name} holds no product", reason="SOURCE_EMPTY")
        return found


class NoSource:
    """Stands where neither PRODUCTS_API_URL nor PRODUCTS_FILE is set."""

    @property
    def info(self) -> AdapterInfo:
        """Says so."""
        return AdapterInfo("source", "none", embedded=True, detail=NO_SOURCE)

    async def fetch(self) -> Sequence[object]:
        """Raises errors.FailedPrecondition."""
        raise errors.FailedPrecondition(f"{NO_SOURCE}: set PRODUCTS_API_URL or PRODUCTS_FILE", reason="NO_SOURCE")
