"""Pictures by address: our own from the object store, others over HTTP behind a guard."""

from __future__ import annotations

from gateway_service import timing
from gateway_service.fetch import Fetcher
from gateway_service.model import Picture
from objectstore import ObjectStore
from servicekit import images


class Pictures:
    """Loads pictures and checks from their headers that they are within every limit."""

    def __init__(self, store: ObjectStore, fetcher: Fetcher) -> None:
        self._store = store
        self._fetcher = fetcher

    async def load(self, url: str) -> Picture:
        """The picture at an address.

        Raises:
            errors.NotFound: An address of ours without an object.
            errors.InvalidArgument: See `Fetcher.fetch` and `images.inspect`.
            errors.Unavailable: The object store is down.
        """
        ref = self._store.parse_url(url)
        if ref is None:
            with timing.spent("fetch"):
                content = (await self._fetcher.fetch(url)).content
        else:
            with timing.spent("objects"):
                content = (await self._store.get(ref.bucket, ref.key, max_bytes=images.MAX_BYTES)).data
        images.inspect(content)
        return Picture(content, url)
