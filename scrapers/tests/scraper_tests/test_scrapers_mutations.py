"""Mutated pages: whatever happens to markup, state or JSON, the parsers neither fail nor give a wrong type."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scrapers import canary
from scrapers.record import SITE_NAMES, Record
from scrapers.sites import SITES, SearchPage

from .local_site import render
from .local_site.goods import goods

BASE = "http://shop.test"
PRODUCTS = {
    (site, generation): render.product_page(site, goods(6 + generation), generation, BASE)
    for site in SITE_NAMES
    for generation in render.GENERATIONS
}
SEARCHES = {
    (site, generation): render.search_page(
        site, [goods(n) for n in range(4)], generation, base=BASE, next_url="/s?page=2"
    )
    for site in SITE_NAMES
    for generation in render.GENERATIONS
}
MARKS = [
    "",
    "<",
    ">",
    '"',
    "'",
    "</script>",
    "<script>",
    "{",
    "}",
    "[",
    "]",
    "null",
    "\x00",
    "₹",
    "\ud800",
    "&#0;",
    "<!--",
]
HEAPS = ["9" * 50, "<div>" * 300, "[" * 3000, '{"a":' * 2000, "-1", "1e999", "NaN", "<p" * 50, "undefined", "\\u0000"]
JUNK = st.sampled_from([*MARKS, *HEAPS])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["1e400", "₹5", "-"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
CASES = [(site, generation) for site in SITE_NAMES for generation in render.GENERATIONS]
many = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def edits(draw: st.DrawFn, text: str) -> str:
    """The text after a few cuts, copies, swaps and insertions anywhere."""
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, max(0, len(text) - 1)))
        end = min(len(text), start + draw(st.integers(0, 400)))
        kind = draw(st.sampled_from(["cut", "end", "insert", "copy", "replace"]))
        if kind == "cut":
            text = text[:start] + text[end:]
        elif kind == "end":
            text = text[:start]
        elif kind == "insert":
            text = text[:start] + draw(JUNK) + text[start:]
        elif kind == "copy":
            text = text[:end] + text[start:end] + text[end:]
        else:
            text = text[:start] + draw(JUNK) + text[end:]
    return text


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place inside a JSON value."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in children for place in places(child, (*path, key)))]


@st.composite
def twisted_state(draw: st.DrawFn, html: str) -> str:
    """The page with some value inside its embedded JSON replaced by any other JSON."""
    blocks = list(re.finditer(r"(?:= |json\"[^>]*>\s*|: )(\{.*?\}|\[.*?\])(?=;?\s*</script>)", html, re.S))
    for match in blocks:
        try:
            value = json.loads(match[1])
        except ValueError:
            continue
        for _ in range(draw(st.integers(1, 6))):
            path = draw(st.sampled_from(places(value)))
            if not path:
                continue
            owner = value
            for key in path[:-1]:
                owner = owner[key]
            owner[path[-1]] = draw(JSON)
        html = html.replace(match[1], json.dumps(value).replace("<", "\\u003c"))
    return html


def check_product(site: str, html: str) -> None:
    shop = SITES[site].at(BASE)
    record = shop.parse_product(html, f"{BASE}/dp/x")
    # The model is strict: a wrong type would not have passed. Its JSON must read back as the same record.
    assert Record.model_validate_json(record.model_dump_json()) == record
    assert record.mrp is None or record.price is None or record.mrp >= record.price
    assert shop.block_reason(html) is not None


@pytest.mark.parametrize(("site", "generation"), CASES)
@many
@given(data=st.data())
def test_mutated_markup(site: str, generation: int, data: st.DataObject) -> None:
    check_product(site, data.draw(edits(PRODUCTS[site, generation])))


@pytest.mark.parametrize(
    ("site", "generation"), [(s, g) for s, g in CASES if s != "amazon" and (s, g) != ("flipkart", 3)]
)
@many
@given(data=st.data())
def test_mutated_state(site: str, generation: int, data: st.DataObject) -> None:
    check_product(site, data.draw(twisted_state(PRODUCTS[site, generation])))


@pytest.mark.parametrize(("site", "generation"), CASES)
@settings(parent=many, max_examples=20)
@given(data=st.data())
def test_mutated_search(site: str, generation: int, data: st.DataObject) -> None:
    shop = SITES[site].at(BASE)
    html = data.draw(st.one_of(edits(SEARCHES[site, generation]), twisted_state(SEARCHES[site, generation])))
    page = shop.parse_search(html, f"{BASE}/s?k=x&page=1")
    assert isinstance(page, SearchPage)
    assert all(shop.is_id(result.product_id) and shop.owns(result.url) for result in page.results)
    assert page.next_url == "" or shop.owns(page.next_url)


@pytest.mark.parametrize("site", SITE_NAMES)
@settings(parent=many, max_examples=15)
@given(data=st.data())
def test_the_canary_survives_too(site: str, data: st.DataObject) -> None:
    checkup = canary.examine(SITES[site].at(BASE), data.draw(edits(PRODUCTS[site, 1])), BASE)
    assert set(checkup.lost) <= set(SITES[site].data.required)


@pytest.mark.parametrize("site", SITE_NAMES)
@given(text=st.text(max_size=2000))
@settings(parent=many, max_examples=30)
def test_any_text(site: str, text: str) -> None:
    check_product(site, text)
    check_product(site, f"<h1>{text}</h1><script>window.__myx = {text}</script>")
