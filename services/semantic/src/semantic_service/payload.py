"""What a source's answer holds: its products, and where further ones are. Pure; asks nobody."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from servicekit import errors

# Where an object keeps its products, in the order in which they are looked for.
_LISTS = ("data", "products", "results", "items")
# Objects that tell about paging.
_PLACES = ("meta", "pagination", "paging", "page_info", "pageInfo", "links", "_links", "data")

_NEXT_LINK = ("next", "next_url", "nextUrl", "next_page_url", "nextPageUrl", "next_link", "nextLink")
_NEXT_PAGE = ("next_page", "nextPage", "next")
_NEXT_CURSOR = ("next_cursor", "nextCursor", "end_cursor", "endCursor")
_PAGE = ("page", "current_page", "currentPage", "page_number", "pageNumber")
_PAGES = ("total_pages", "totalPages", "last_page", "lastPage", "page_count", "pageCount", "pages", "num_pages")
_MORE = ("has_more", "hasMore", "has_next", "hasNext", "hasNextPage", "has_next_page", "more")
_TOTAL = ("total", "total_count", "totalCount", "total_items", "totalItems", "total_products", "totalProducts", "count")
_OFFSET = ("offset", "skip", "from")

# The csv module refuses longer cells on its own; descriptions with HTML are long.
csv.field_size_limit(1024 * 1024)


class NotACatalogue(errors.Unavailable):
    """The source answered with something that holds no products."""


@dataclass(frozen=True, slots=True)
class Next:
    """How the next page is asked for: parameters for the source's own address, and its path if it differs."""

    params: Mapping[str, str]
    path: str | None = None


def decoded(body: bytes, content_type: str, name: str) -> Any:
    """JSON as Python, or a CSV table as a list of objects.

    Args:
        body: The whole answer or file.
        content_type: As the server said it; may be empty.
        name: Last part of the address or the file's name; its ending decides where the type does not.

    Raises:
        NotACatalogue: It is HTML, or neither JSON nor CSV.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise NotACatalogue("the source is not UTF-8 text", reason="SOURCE_NOT_JSON") from None
    start = text.lstrip()[:1]
    if not start:
        raise NotACatalogue("the source is empty", reason="SOURCE_EMPTY")
    if start == "<" or "html" in content_type:
        raise NotACatalogue(
            "the source answered a web page, not JSON; is it behind a login, or the address wrong?",
            reason="SOURCE_NOT_JSON",
        )
    if start not in "[{" and ("csv" in content_type or name.lower().endswith((".csv", ".tsv"))):
        return table(text)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        if name.lower().endswith((".jsonl", ".ndjson")):
            return _lines(text)
        raise NotACatalogue(
            "the source is not valid JSON; it may have been cut off", reason="SOURCE_NOT_JSON"
        ) from None


def table(text: str) -> list[dict[str, str]]:
    """Rows of a CSV text with a header line; commas, semicolons or tabs.

    Raises:
        NotACatalogue: There is no header line with two columns.
    """
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restkey="")
    try:
        rows = [{str(key).strip(): value for key, value in row.items() if key} for row in reader]
    except csv.Error as error:
        raise NotACatalogue(f"the CSV table cannot be read: {error}", reason="SOURCE_NOT_CSV") from error
    if len(reader.fieldnames or ()) < 2:
        raise NotACatalogue("the CSV table has no header line", reason="SOURCE_NOT_CSV")
    return rows


def items_of(payload: Any, path: str = "") -> list[Any]:
    """The products of an answer.

    Args:
        payload: A list, or an object that holds one.
        path: Names to walk down, with dots between them; empty: `data`, `products`, `results` or `items`, also nested.

    Raises:
        NotACatalogue: There is no list.
    """
    if path:
        found = payload
        for name in path.split("."):
            found = found.get(name) if isinstance(found, dict) else None
        listed = _listed(found, depth=0)
    else:
        listed = _listed(payload, depth=2)
    if listed is None:
        where = f"nothing at {path!r}" if path else "no list under data, products, results or items"
        raise NotACatalogue(f"the source's answer holds {where}", reason="SOURCE_NO_PRODUCTS")
    return listed


def next_page(
    payload: Any, link_header: str, fetched: int, asked: Mapping[str, str], params: PageParams
) -> Next | None:
    """Where the answer says that more products are; None where it says nothing of the kind.

    Args:
        payload: The answer.
        link_header: Its HTTP header `Link`; may be empty.
        fetched: Products so far, this answer's included.
        asked: Parameters that this answer was asked for with, beyond the source's own.
        params: Names of the parameters.
    """
    if header := _header_link(link_header):
        return _linked(header)
    if not isinstance(payload, dict):
        return None
    places = [payload, *(payload[name] for name in _PLACES if isinstance(payload.get(name), dict))]
    link = _first(places, _NEXT_LINK)
    if isinstance(link, dict):
        link = link.get("href")
    if isinstance(link, str) and ("/" in link or link.startswith("?")):
        return _linked(link)
    cursor = _first(places, _NEXT_CURSOR)
    if isinstance(cursor, str) and cursor:
        return None if _first(places, _MORE) is False else Next({params.cursor: cursor})
    page = _number(_first(places, _NEXT_PAGE))
    if page is not None:
        return Next({params.page: str(page)})
    return _counted(places, fetched, asked, params)


@dataclass(frozen=True, slots=True)
class PageParams:
    """Names of the parameters that ask for further pages."""

    page: str
    offset: str
    cursor: str


def total_of(payload: Any) -> int | None:
    """How many products the answer says there are in all; None where it does not."""
    if not isinstance(payload, dict):
        return None
    places = [payload, *(payload[name] for name in _PLACES if isinstance(payload.get(name), dict))]
    return _number(_first(places, _TOTAL))


def _counted(
    places: Sequence[Mapping[str, Any]], fetched: int, asked: Mapping[str, str], params: PageParams
) -> Next | None:
    page = _number(_first(places, _PAGE))
    if page is None:
        page = _number(asked.get(params.page)) or 1
        says_page = False
    else:
        says_page = True
    pages, more, total = (
        _number(_first(places, _PAGES)), _first(places, _MORE), _number(_first(places, _TOTAL)),
    )  # fmt: skip
    unfinished = (
        page < pages if pages is not None else more if isinstance(more, bool) else total is not None and fetched < total
    )
    if not unfinished:
        return None
    offset = next((name for name in _OFFSET if _number(_first(places, (name,))) is not None), None)
    if offset is not None and not says_page:
        return Next({offset if params.offset == "offset" else params.offset: str(fetched)})
    return Next({params.page: str(page + 1)})


def _listed(value: Any, *, depth: int) -> list[Any] | None:
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        return None
    if depth:
        for name in _LISTS:
            if name in value and (found := _listed(value[name], depth=depth - 1)) is not None:
                return found
    # Products by id: {"12": {...}, "13": {...}}
    if value and depth < 2 and all(isinstance(element, dict) for element in value.values()):
        return [{"id": key, **element} for key, element in value.items()]
    return None


def _lines(text: str) -> list[Any]:
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        raise NotACatalogue("a line of the file is not valid JSON", reason="SOURCE_NOT_JSON") from None


def _linked(link: str) -> Next:
    """Only path and parameters are taken: a source never sends its reader, and its token, elsewhere."""
    parts = urlsplit(link)
    return Next(dict(parse_qsl(parts.query, keep_blank_values=True)), parts.path or None)


def _header_link(header: str) -> str:
    for part in header.split(","):
        address, _, rest = part.partition(";")
        if 'rel="next"' in rest or "rel=next" in rest:
            return address.strip().strip("<>")
    return ""


def _first(places: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Any:
    for place in places:
        for name in names:
            if place.get(name) is not None:
                return place[name]
    return None


def _number(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int) and value >= 0:
        return value
    return int(value) if isinstance(value, str) and value.isdigit() else None
