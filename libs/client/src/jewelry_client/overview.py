"""The part of the client that looks at what is there: words for pictures, bounds, counts, the system."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from jewelry_client.errors import ApiError

Answer = dict[str, Any]


class Overview(ABC):
    """Methods of `Client`; it says how a request is sent."""

    async def search_text(
        self, text: str, *, top_k: int = 10, website: str = "", threshold: float | None = None
    ) -> Answer:
        """Stored pictures that fit a text, best first; needs a model that reads texts."""
        fields = {"text": text, "top_k": top_k, "website": website or None, "threshold": threshold}
        return await self._send_json("/image-search", fields)

    async def mark_distinct(self, url: str, other_url: str, *, revoke: bool = False) -> Answer:
        """Says that two stored pictures show different products; or takes that back."""
        return await self._send_json("/mark_distinct", {"s3_url": url, "other_s3_url": other_url, "revoke": revoke})

    async def thresholds(self) -> Answer:
        """`model_id`, `duplicate_distance`, `similar_distance`, `calibration` with error rates by threshold."""
        return object_of(await self._get("/thresholds"))

    async def collection_counts(self, **needs: Any) -> Answer:
        """How many products the filters of a collection leave: `passing` of `products`."""
        return await self._send_json("/collection_counts", needs)

    async def system(self, *, days: int = 30) -> Answer:
        """`services`, `shutdowns`, `key_pool`, and `costs` of so many days by day and marketplace code."""
        return object_of(await self._get("/system", {"days": days}))

    @abstractmethod
    async def _get(self, path: str, query: Mapping[str, Any] | None = None, fine: Sequence[int] = ()) -> httpx.Response:
        """Asks a path."""

    @abstractmethod
    async def _send_json(self, path: str, body: Mapping[str, Any], *, once: bool = False) -> Answer:
        """Sends JSON; gives the answer's."""


def object_of(response: httpx.Response) -> Answer:
    """The JSON object of an answer. Raises ApiError for anything else."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise ApiError(response.status_code, "ANSWER_UNREADABLE", "the answer is no JSON object; is this the gateway?")
    return body
