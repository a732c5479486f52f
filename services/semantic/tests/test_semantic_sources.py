"""Sources over HTTP and from files: whole, paged, down, slow, broken. A bad one changes nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from semantic_world import FakeShop, make_catalogue, serving

from semantic_service import mapping
from semantic_service.adapters.http_source import HttpSource
from semantic_service.settings import Settings
from servicekit import errors

Configure = Callable[..., Settings]
SAMPLES = Path(__file__).parents[3] / "samples"


def source(shop: FakeShop, overlay: Path | None = None, **changes: Any) -> HttpSource:
    values: dict[str, Any] = {"token": "", "seconds": 5.0, "max_bytes": 1_000_000, "max_products": 10_000}
    query = changes.pop("query", "")
    return HttpSource(shop.url + query, mapping.load(overlay), **(values | changes))


def body(payload: object) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(payload).encode()


async def test_one_page_with_the_sources_own_parameters_and_a_token(shop: FakeShop) -> None:
    catalogue = make_catalogue(3)
    shop.gives({"data": catalogue})
    assert await source(shop, query="?lang=en", token="secret").fetch() == catalogue
    ((path, params, headers),) = shop.asked
    assert (path, params) == ("/api/get-all-products", {"lang": "en"})
    assert headers["Authorization"] == "Bearer secret"


def by_page(catalogue: list[dict[str, Any]]) -> Callable[[str, dict[str, str]], Any]:
    def answer(path: str, params: dict[str, str]) -> Any:
        page = int(params.get("page", "1"))
        return body({"products": catalogue[page * 10 - 10 : page * 10], "page": page, "total_pages": 3})

    return answer


def by_offset(catalogue: list[dict[str, Any]]) -> Callable[[str, dict[str, str]], Any]:
    def answer(path: str, params: dict[str, str]) -> Any:
        start = int(params.get("skip", "0"))
        return body({"products": catalogue[start : start + 10], "skip": start, "limit": 10, "total": len(catalogue)})

    return answer


def by_link(catalogue: list[dict[str, Any]]) -> Callable[[str, dict[str, str]], Any]:
    def answer(path: str, params: dict[str, str]) -> Any:
        start = int(params.get("after", "0"))
        more = f"http://inside.example:9/api/more?after={start + 10}" if start + 10 < len(catalogue) else None
        return body({"results": catalogue[start : start + 10], "next": more, "count": len(catalogue)})

    return answer


def by_header(catalogue: list[dict[str, Any]]) -> Callable[[str, dict[str, str]], Any]:
    def answer(path: str, params: dict[str, str]) -> Any:
        page = int(params.get("page", "1"))
        status, headers, content = body(catalogue[page * 10 - 10 : page * 10])
        if page < 3:
            headers["Link"] = f'<{path}?page={page + 1}>; rel="next"'
        return status, headers, content

    return answer


@pytest.mark.parametrize("paged", [by_page, by_offset, by_link, by_header])
async def test_pages_are_followed_to_the_end(shop: FakeShop, paged: Callable[..., Any]) -> None:
    catalogue = make_catalogue(25)
    shop.answer = paged(catalogue)
    assert await source(shop).fetch() == catalogue
    assert len(shop.asked) == 3


@pytest.mark.parametrize(("style", "parameter", "first"), [("page", "p", 1), ("offset", "from", 0)])
async def test_pages_that_only_the_mapping_knows(
    shop: FakeShop, tmp_path: Path, style: str, parameter: str, first: int
) -> None:
    catalogue = make_catalogue(25)

    def answer(path: str, params: dict[str, str]) -> Any:
        assert params["size"] == "10"
        start = int(params[parameter]) * (10 if style == "page" else 1) - (10 if style == "page" else 0)
        return body({"shop": {"shelf": catalogue[start : start + 10]}})

    overlay = tmp_path / "mapping.toml"
    overlay.write_text(
        '[source]\nitems = "shop.shelf"\n'
        f'[paging]\nstyle = "{style}"\n{style}_param = "{parameter}"\nsize_param = "size"\npage_size = 10\n'
    )
    shop.answer = answer
    assert await source(shop, overlay).fetch() == catalogue


async def test_a_source_that_ignores_the_page_is_not_read_for_ever(shop: FakeShop) -> None:
    shop.gives({"products": make_catalogue(5), "page": 1, "total_pages": 9})
    assert len(await source(shop).fetch()) == 5
    shop.gives({"products": make_catalogue(5), "total": 9})
    with pytest.raises(errors.Unavailable, match=r"says it has 9 products and gave 5"):
        await source(shop).fetch()


async def test_a_passing_fault_is_tried_again(shop: FakeShop) -> None:
    answers = [body(make_catalogue(2)), (503, {"Retry-After": "0"}, b""), (500, {}, b"")]
    shop.answer = lambda path, params: answers.pop()
    assert len(await source(shop).fetch()) == 2


@pytest.mark.parametrize(
    ("status", "kind", "content", "reason"),
    [
        (500, "text/plain", b"oops", "SOURCE_DOWN"),
        (401, "application/json", b"{}", "SOURCE_REFUSED"),
        (404, "text/html", b"<html>", "SOURCE_REFUSED"),
        (200, "text/html", b"<html><body>Please log in</body></html>", "SOURCE_NOT_JSON"),
        (200, "application/json", b'{"data": [{"id": 1}', "SOURCE_NOT_JSON"),
        (200, "application/json", b"[]", "SOURCE_EMPTY"),
        (200, "application/json", b"", "SOURCE_EMPTY"),
        (200, "application/json", b'{"error": "maintenance"}', "SOURCE_NO_PRODUCTS"),
        (200, "application/json", b'[{"name": "without id"}]', "SOURCE_UNUSABLE"),
        (200, "application/json", b"[" + b" " * 2_000_000 + b"]", "SOURCE_TOO_LARGE"),
    ],
)
async def test_a_bad_source_keeps_the_last_good_state(
    shop: FakeShop, settings: Configure, status: int, kind: str, content: bytes, reason: str
) -> None:
    shop.gives(make_catalogue(12))
    configured = settings(products_api_url=shop.url, semantic_source_max_bytes=1_000_000)
    async with serving(configured) as semantic:
        shop.gives(content, status=status, kind=kind)
        with pytest.raises(errors.Unavailable) as raised:
            await semantic.sync()
        assert raised.value.reason == reason
        assert shop.url not in raised.value.message
        told = await semantic.status()
        assert told.products == 12
        assert told.last_error == raised.value.message
        found = await semantic.filter()
        assert found.stale
        assert len(found.matches) == 12


async def test_a_source_that_is_down_or_hangs(shop: FakeShop, settings: Configure) -> None:
    released = threading.Event()

    def hang(path: str, params: dict[str, str]) -> Any:
        released.wait(20)
        return body([])

    shop.answer = hang
    try:
        with pytest.raises(errors.Unavailable, match="did not answer in full") as raised:
            await source(shop, seconds=0.3).fetch()
        assert raised.value.reason == "SOURCE_SLOW"
    finally:
        released.set()
    with pytest.raises(errors.Unavailable, match="cannot be reached"):
        await HttpSource(
            "http://127.0.0.1:9/x?key=secret", mapping.load(), token="", seconds=5, max_bytes=9, max_products=9
        ).fetch()


async def test_more_products_than_the_service_takes(shop: FakeShop) -> None:
    shop.gives(make_catalogue(11))
    with pytest.raises(errors.Unavailable, match="SEMANTIC_MAX_PRODUCTS"):
        await source(shop, max_products=10).fetch()


async def test_broken_products_are_listed_and_the_rest_is_taken(shop: FakeShop, settings: Configure) -> None:
    good = make_catalogue(5)
    shop.gives([*good, good[0], {"title": "no id"}, None, {"id": "X", "title": "Ring", "price": "ask us"}])
    async with serving(settings(products_api_url=shop.url)) as semantic:
        told = await semantic.sync()
        assert (await semantic.status()).products == 6
        assert told.progress.failed == 3
        assert len(told.problems) == 4
        assert "product X: its price 'ask us' is not a number; passed over" in told.problems


async def test_the_samples_are_a_source(settings: Configure) -> None:
    async with serving(settings(products_file=SAMPLES / "products.csv")) as semantic:
        status = await semantic.status()
        assert status.products == 44
        assert {adapter.role: adapter.name for adapter in status.adapters} == {
            "vectors": "chroma", "text_embedding": "bag", "source": "file",
        }  # fmt: skip
        found = await semantic.filter(category="earrings", max_price=600, manual_prompt="golden hoops")
        assert found.matches[0].id == "ALY-EAR-004"
        found = await semantic.filter(category="bangles")
        assert sorted(match.id for match in found.matches) == [f"ALY-BRA-00{n}" for n in (1, 2, 3, 4)]


async def test_without_a_source_the_service_says_so_and_answers(settings: Configure) -> None:
    async with serving(settings()) as semantic:
        status = await semantic.status()
        assert status.products == 0
        assert "no source configured" in status.last_error
        assert [adapter.detail for adapter in status.adapters if adapter.role == "source"] == ["no source configured"]
        found = await semantic.filter(manual_prompt="gold jhumka")
        assert not found.matches
        assert found.collection_title == ""
        assert not found.stale
        with pytest.raises(errors.FailedPrecondition, match="PRODUCTS_API_URL"):
            await semantic.sync()
