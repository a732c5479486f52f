"""Products from PRODUCTS_API_URL."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from semantic_service import payload
from semantic_service.mapping import FieldMapping
from semantic_service.payload import Next, PageParams
from semantic_service.ports import AdapterInfo
from servicekit import errors

logger = logging.getLogger(__name__)

_CONNECT_SECONDS = 5.0
_READ_SECONDS = 20.0
_ATTEMPTS = 3
_FIRST_PAUSE, _LONGEST_PAUSE = 0.3, 10.0
_REDIRECTS = 3


@dataclass(frozen=True, slots=True)
class _Answer:
    payload: Any
    link: str


class HttpSource:
    """Reads a list of products, page by page; all of it, or none.

    Args:
        url: Address of the list; its own parameters are kept on every page.
        mapping: Tells where the list is and how pages are asked for.
        token: Sent as a bearer token; empty: none.
        seconds: Longest time for all pages.
        max_bytes: Largest size of all pages together, unpacked.
        max_products: More are refused.
    """

    def __init__(
        self, url: str, mapping: FieldMapping, *, token: str, seconds: float, max_bytes: int, max_products: int
    ) -> None:
        parts = urlsplit(url)
        self._url = parts._replace(query="", fragment="")
        self._own_params = dict(parse_qsl(parts.query, keep_blank_values=True))
        self._mapping = mapping
        self._headers = {"Accept": "application/json, text/csv;q=0.5"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._max_products = max_products

    @property
    def info(self) -> AdapterInfo:
        """Names the host only; addresses may carry secrets."""
        return AdapterInfo("source", "http", embedded=False, detail=self._url.hostname or "")

    async def fetch(self) -> Sequence[object]:
        """Every product of every page.

        Raises:
            errors.Unavailable: It could not be read, whole and as what it should be.
        """
        try:
            async with asyncio.timeout(self._seconds), self._client() as client:
                return await self._pages(client)
        except TimeoutError:
            raise errors.Unavailable(
                f"the source did not answer in full within {self._seconds:.0f} s", reason="SOURCE_SLOW"
            ) from None

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            headers=self._headers,
            timeout=httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS),
            follow_redirects=True,
            max_redirects=_REDIRECTS,
        )

    async def _pages(self, client: httpx.AsyncClient) -> Sequence[object]:
        paging = self._mapping.paging
        products: list[object] = []
        left = self._max_bytes
        step: Next | None = Next(self._first_params())
        previous: list[Any] | None = None
        total: int | None = None
        for _ in range(paging.max_pages):
            if step is None:
                break
            answer, size = await self._page(client, step, left)
            left -= size
            found = payload.items_of(answer.payload, self._mapping.source.items)
            if previous is not None and found == previous:
                # A source that knows no pages gives the same one again and again.
                break
            previous = found
            products.extend(found)
            if len(products) > self._max_products:
                raise errors.Unavailable(
                    f"the source has more than SEMANTIC_MAX_PRODUCTS ({self._max_products:,}) products",
                    reason="SOURCE_TOO_LARGE",
                )
            total = payload.total_of(answer.payload)
            step = self._following(answer, found, len(products), step)
        else:
            raise errors.Unavailable(
                f"the source has more than {paging.max_pages} pages (max_pages of the mapping)",
                reason="SOURCE_TOO_LARGE",
            )
        if not products:
            raise errors.Unavailable("the source answered without a single product", reason="SOURCE_EMPTY")
        if total is not None and paging.style == "auto" and len(products) < total:
            raise errors.Unavailable(
                f"the source says it has {total:,} products and gave {len(products):,}; set [paging] in the mapping",
                reason="SOURCE_INCOMPLETE",
            )
        return products

    def _first_params(self) -> dict[str, str]:
        paging = self._mapping.paging
        params = {paging.size_param: str(paging.page_size)} if paging.size_param else {}
        if paging.style == "page":
            params[paging.page_param] = str(paging.first_page)
        elif paging.style == "offset":
            params[paging.offset_param] = "0"
        return params

    def _following(self, answer: _Answer, found: Sequence[object], fetched: int, step: Next) -> Next | None:
        paging = self._mapping.paging
        if not found or paging.style == "none":
            return None
        if paging.style == "page":
            return Next({**step.params, paging.page_param: str(int(step.params[paging.page_param]) + 1)})
        if paging.style == "offset":
            return Next({**step.params, paging.offset_param: str(fetched)})
        names = PageParams(paging.page_param, paging.offset_param, paging.cursor_param)
        following = payload.next_page(answer.payload, answer.link, fetched, step.params, names)
        return None if following is None else Next({**self._first_params(), **following.params}, following.path)

    async def _page(self, client: httpx.AsyncClient, step: Next, left: int) -> tuple[_Answer, int]:
        pause = _FIRST_PAUSE
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._once(client, step, left)
            except _Passing as error:
                if attempt == _ATTEMPTS or error.wait > _LONGEST_PAUSE:
                    raise errors.Unavailable(error.sentence, reason=error.reason) from None
                logger.info("the source failed: %s; attempt %d of %d", error.sentence, attempt, _ATTEMPTS)
                await asyncio.sleep(max(pause, error.wait))
                pause *= 2
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _once(self, client: httpx.AsyncClient, step: Next, left: int) -> tuple[_Answer, int]:
        url = self._url._replace(path=step.path or self._url.path).geturl()
        params: Mapping[str, str] = {**self._own_params, **step.params}
        try:
            async with client.stream("GET", url, params=params) as response:
                _check_status(response)
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > left:
                        raise errors.Unavailable(
                            f"the source is larger than SEMANTIC_SOURCE_MAX_BYTES ({self._max_bytes:,})",
                            reason="SOURCE_TOO_LARGE",
                        )
                kind, link = response.headers.get("content-type", ""), response.headers.get("link", "")
        except httpx.TimeoutException:
            raise _Passing("the source did not answer in time", "SOURCE_SLOW") from None
        except httpx.TooManyRedirects:
            raise errors.Unavailable("the source redirects without end", reason="SOURCE_DOWN") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # An SDK's message may quote the address with its parameters; its type says enough.
            raise _Passing(f"the source cannot be reached ({type(error).__name__})", "SOURCE_DOWN") from None
        decoded = await asyncio.to_thread(payload.decoded, bytes(body), kind, self._url.path)
        return _Answer(decoded, link), len(body)


class _Passing(Exception):
    """A fault that may be gone a moment later."""

    def __init__(self, sentence: str, reason: str, wait: float = 0.0) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.reason = reason
        self.wait = wait


def _check_status(response: httpx.Response) -> None:
    status = response.status_code
    if status < 300:
        return
    sentence = f"the source answered with HTTP status {status}"
    if status == 429 or status >= 500:
        asked = response.headers.get("retry-after", "")
        raise _Passing(sentence, "SOURCE_DOWN", float(asked) if asked.isdigit() else 0.0)
    if status in (401, 403):
        sentence += "; is PRODUCTS_API_TOKEN right?"
    raise errors.Unavailable(sentence, reason="SOURCE_REFUSED")
