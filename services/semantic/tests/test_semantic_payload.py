"""What a source's answer holds, and where its further pages are."""

from __future__ import annotations

from typing import Any

import pytest

from semantic_service import payload
from semantic_service.payload import Next, NotACatalogue, PageParams

NAMES = PageParams("page", "offset", "cursor")
ONE = [{"id": 1}]


@pytest.mark.parametrize(
    "answer",
    [
        ONE,
        {"data": ONE},
        {"products": ONE},
        {"results": ONE, "count": 1},
        {"items": ONE},
        {"success": True, "data": {"products": ONE}},
        {"data": {"items": ONE, "total": 1}},
    ],
)
def test_where_products_are(answer: Any) -> None:
    assert payload.items_of(answer) == ONE


def test_products_by_id_and_by_path() -> None:
    assert payload.items_of({"products": {"7": {"title": "Ring"}}}) == [{"id": "7", "title": "Ring"}]
    assert payload.items_of({"shop": {"shelf": ONE}}, "shop.shelf") == ONE


@pytest.mark.parametrize("answer", [{}, {"error": "no"}, 7, "text", None, {"data": 3}])
def test_no_products_anywhere(answer: Any) -> None:
    with pytest.raises(NotACatalogue, match="holds no list"):
        payload.items_of(answer)


@pytest.mark.parametrize(
    ("body", "kind", "sentence"),
    [
        (b"<!doctype html><h1>Login</h1>", "application/json", "web page"),
        (b'{"a": 1}', "text/html", "web page"),
        (b"", "application/json", "empty"),
        (b'[{"id": 1}', "application/json", "cut off"),
        (b"\xff\xfe\x00", "", "UTF-8"),
        (b"[" * 100_000, "application/json", "cut off"),
    ],
)
def test_bodies_that_are_no_catalogue(body: bytes, kind: str, sentence: str) -> None:
    with pytest.raises(NotACatalogue, match=sentence):
        payload.decoded(body, kind, "all")


def test_csv_with_commas_semicolons_and_a_byte_order_mark() -> None:
    assert payload.decoded(b'\xef\xbb\xbfid,title\n1,"Ring, gold"\n', "", "p.csv") == [
        {"id": "1", "title": "Ring, gold"}
    ]
    assert payload.decoded(b"id;title\n1;Ring\n", "text/csv", "x") == [{"id": "1", "title": "Ring"}]
    with pytest.raises(NotACatalogue, match="header"):
        payload.decoded(b"just words\n", "", "p.csv")


@pytest.mark.parametrize(
    ("answer", "following"),
    [
        ({"next": "https://elsewhere.example/api/p?page=2"}, Next({"page": "2"}, "/api/p")),
        ({"links": {"next": {"href": "/p?cursor=x"}}}, Next({"cursor": "x"}, "/p")),
        ({"next": None, "count": 1}, None),
        ({"page": 1, "total_pages": 3}, Next({"page": "2"})),
        ({"meta": {"current_page": 3, "last_page": 3}}, None),
        ({"pagination": {"page": 1, "has_more": True}}, Next({"page": "2"})),
        ({"has_more": False, "page": 1}, None),
        ({"nextCursor": "abc", "hasMore": True}, Next({"cursor": "abc"})),
        ({"next_page": 2}, Next({"page": "2"})),
        ({"total": 5, "skip": 0, "limit": 1}, Next({"skip": "1"})),
        ({"total": 5, "offset": 0, "limit": 1}, Next({"offset": "1"})),
        ({"total": 1}, None),
        ({"data": {"current_page": 1, "last_page": 2, "data": []}}, Next({"page": "2"})),
        ([1], None),
    ],
)
def test_where_further_pages_are(answer: Any, following: Next | None) -> None:
    assert payload.next_page(answer, "", 1, {}, NAMES) == following


def test_the_link_header() -> None:
    header = '<https://shop.example/p?page=1>; rel="prev", <https://shop.example/p?page=3>; rel="next"'
    assert payload.next_page([], header, 1, {}, NAMES) == Next({"page": "3"}, "/p")
