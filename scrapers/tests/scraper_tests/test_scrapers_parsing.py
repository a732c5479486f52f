"""Every site's pages, in three generations of markup, become the same goods again. No browser."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from selectolax.lexbor import LexborHTMLParser

from scrapers import facts
from scrapers.record import PAGE_FIELDS, SITE_NAMES, Record, Variant
from scrapers.sites import SITES, view

from .local_site import expected, goods, render
from .local_site.server import _STATE as STATE_START

BASE = "http://shop.test"
CASES = [(site, generation, number) for site in SITE_NAMES for generation in render.GENERATIONS for number in range(16)]


def url_of(site: str, product: goods.Goods) -> str:
    return {
        "amazon": f"{BASE}/dp/{product.asin}",
        "flipkart": f"{BASE}/slug/p/{product.itm}?pid={product.fsn}",
        "myntra": f"{BASE}/{product.style}",
    }[site]


def parsed(site: str, html: str, number: int) -> Record:
    return SITES[site].at(BASE).parse_product(html, url_of(site, goods.goods(number)))


def differences(record: Record, wanted: dict[str, object]) -> dict[str, tuple[object, object]]:
    found = {name: getattr(record, name) for name in wanted}
    return {name: (found[name], wanted[name]) for name in wanted if found[name] != wanted[name]}


@pytest.mark.parametrize(("site", "generation", "number"), CASES)
def test_all_fields_right(site: str, generation: int, number: int) -> None:
    product = goods.goods(number)
    record = parsed(site, render.product_page(site, product, generation, BASE), number)
    wanted = expected.expected(site, product, generation, BASE)
    assert set(PAGE_FIELDS) <= set(wanted)
    assert not differences(record, wanted)
    assert record.recognised
    # A record survives its own JSON, types and all.
    assert Record.model_validate_json(record.model_dump_json()) == record


@pytest.mark.parametrize(("site", "generation"), [("amazon", 1), ("flipkart", 1), ("myntra", 2)])
def test_broken_state_leaves_the_document(site: str, generation: int) -> None:
    """A state that breaks off costs what only it knew; the rest still comes from the document or from JSON-LD."""
    product = goods.goods(6)
    html = render.product_page(site, product, generation, BASE)
    broken = STATE_START.sub(r"\1\2\3", html)
    assert broken != html
    record = parsed(site, broken, 6)
    wanted = expected.expected(site, product, generation, BASE)
    kept = {
        "amazon": ("product_id", "title", "brand", "price", "mrp", "rating", "bullets", "specifications", "seller"),
        "flipkart": ("title", "brand", "price", "mrp", "rating", "ratings_count", "seller", "category_path"),
        "myntra": ("product_id", "title", "price", "currency", "availability"),
    }[site]
    assert not differences(record, {name: wanted[name] for name in kept})
    if site == "amazon":  # the gallery is gone, the main picture and the thumbnails are there
        names = render.picture_names("amazon", product)
        assert record.images == tuple(f"{BASE}/images/I/{name}.jpg" for name in names)


@pytest.mark.parametrize(("site", "generation"), [("flipkart", 1), ("flipkart", 2), ("flipkart", 3)])
def test_rotated_class_names_change_nothing(site: str, generation: int) -> None:
    product = goods.goods(8)
    html = render.product_page(site, product, generation, BASE)
    rotated = re.sub(r'class="[^"]*"', lambda match: f'class="zz{abs(hash(match[0])) % 9999}"', html)
    wanted = expected.expected(site, product, generation, BASE)
    # Of the highlights alone no page tells without class names or state.
    names = set(wanted) - ({"bullets"} if generation == 2 else set()) - {"images"}
    assert not differences(parsed(site, rotated, 8), {name: wanted[name] for name in names})


@pytest.mark.parametrize("site", SITE_NAMES)
@pytest.mark.parametrize("generation", render.GENERATIONS)
def test_search_pages(site: str, generation: int) -> None:
    shop = SITES[site].at(BASE)
    here = shop.search_url("jhumka earrings")
    following = here.replace("page=1", "page=2") if "page=1" in here else here + "&p=2"
    found = [goods.goods(number) for number in range(5)]
    html = render.search_page(site, found, generation, base=BASE, here=here, next_url=following, page=1, total=9)
    page = shop.parse_search(html, here)
    ids = {"amazon": "asin", "flipkart": "fsn", "myntra": "style"}[site]
    assert [result.product_id for result in page.results] == [getattr(product, ids) for product in found]
    assert all(shop.owns(result.url) and shop.id_in(result.url) == result.product_id for result in page.results)
    assert page.recognised
    assert page.next_url == following
    last = render.search_page(site, found, generation, base=BASE, here=following, page=2, total=5)
    assert shop.parse_search(last, following).next_url == ""


@pytest.mark.parametrize(("site", "generation"), [("amazon", 1), ("flipkart", 1), ("myntra", 1)])
def test_a_search_without_results_is_a_search(site: str, generation: int) -> None:
    page = SITES[site].at(BASE).parse_search(render.search_page(site, [], generation, base=BASE), BASE + "/s")
    assert (page.results, page.next_url, page.recognised) == ((), "", True)


@pytest.mark.parametrize("site", SITE_NAMES)
def test_captcha_is_a_block_and_a_product_is_none(site: str) -> None:
    shop = SITES[site].at(BASE)
    captcha = render.captcha(site)
    assert shop.block_reason(captcha)
    assert not shop.parse_product(captcha, BASE + "/x").recognised
    assert not shop.parse_search(captcha, BASE + "/s").recognised
    assert not shop.block_reason("<html><title>Page Not Found</title><body>Sorry</body></html>")


@pytest.mark.parametrize("site", SITE_NAMES)
@pytest.mark.parametrize("html", ["", "<", "\x00", "{}", "<html></html>", "\ud800<p>", "<div>" * 20_000, "]]>" * 9])
def test_what_is_no_page_is_an_empty_record(site: str, html: str) -> None:
    record = SITES[site].at(BASE).parse_product(html, BASE + "/")
    assert not record.recognised
    assert all(getattr(record, name) in ("", None, ()) for name in PAGE_FIELDS)


def test_nesting_is_cut_where_no_page_nests() -> None:
    assert view.shallow("<div>" * 10_000) == "<div>" * view.MAX_DEPTH
    for flat in ("<p>x<br><img>" * 5_000, "<div><b>x</b></div>" * 5_000, "<script>'<div>'</script>" * 5_000):
        assert view.shallow(flat) == flat


def test_amazon_price_range_and_colour_of_the_gallery() -> None:
    html = """<span id="productTitle">Set</span><input id="ASIN" value="B0TEST0001">
    <div id="corePrice_desktop"><span class="a-price-range"><span class="a-price">
    <span class="a-offscreen">₹299.00</span><span aria-hidden="true">₹299.00</span></span> -
    <span class="a-price"><span class="a-offscreen">₹599.00</span>
    <span aria-hidden="true">₹599.00</span></span></span></div>
    <script>data["colorImages"] = {"Gold":[{"hiRes":"https://m.media-amazon.com/images/I/1g._SL1500_.jpg"}],
    "Silver":[{"hiRes":"https://m.media-amazon.com/images/I/1s._SL1500_.jpg"}]};
    data["landingAsinColor"] = 'Silver';</script>"""
    record = parsed("amazon", html, 1)
    assert (record.price, record.price_to, record.currency) == (Decimal(299), Decimal(599), "INR")
    assert record.images == ("https://m.media-amazon.com/images/I/1s._SL1500_.jpg",)


def test_flipkart_swatch_variants_and_other_shapes_of_the_state() -> None:
    html = """<script id="is_script">window.__INITIAL_STATE__ = {"x": undefined, "pageDataV4": {"page": {"pageData":
    {"pageContext": {"productId": "JWLTESTFSN000001", "titles": {"newTitle": "Ring", "superTitle": "Alya"},
    "pricing": {"mrp": 999, "prices": [{"priceType": "FSP", "value": 999, "strikeOff": true},
    {"priceType": "SPECIAL_PRICE", "value": 301, "strikeOff": false}]}}},
    "data": {"1": [{"widget": {"type": "SWATCH_VARIANTS", "data": {"renderableComponents": [
    {"value": {"id": "JWLTESTFSN000002", "swatchValue": {"attribute": "Size", "value": "18"}}}]}}}]}}}};</script>"""
    record = parsed("flipkart", html, 1)
    assert (record.title, record.brand, record.price, record.mrp) == ("Ring", "Alya", Decimal(301), Decimal(999))
    assert record.variants == (Variant(product_id="JWLTESTFSN000002", options=(("Size", "18"),)),)


def test_an_mrp_below_the_price_is_left_out() -> None:
    html = """<span id="productTitle">T</span><input id="ASIN" value="B0TEST0001">
    <span id="priceblock_ourprice">₹500</span><span class="priceBlockStrikePriceString">₹400</span>"""
    record = parsed("amazon", html, 1)
    assert (record.price, record.mrp) == (Decimal(500), None)


def test_flipkart_mrp_counts_only_where_the_percentage_agrees() -> None:
    page = "<h1>Ring</h1><div>₹500</div><div>₹{mrp}</div><div>50% off</div>"
    assert parsed("flipkart", page.format(mrp=1000), 1).mrp == 1000
    assert parsed("flipkart", page.format(mrp=7000), 1).mrp is None


def test_facts_are_sound() -> None:
    """Every selector and pattern compiles, every datum is read by some parser, every field has its facts."""
    tree = LexborHTMLParser("<p>")
    for fact in facts.all_facts():
        assert fact.confidence in ("seen", "inferred"), fact
        assert fact.source, fact
        if fact.how == "css":
            tree.css(fact.what.rpartition("@")[0] or fact.what)
        elif fact.how == "json":
            tree.css(fact.what.partition(" | ")[0])
        elif fact.how == "script":
            assert re.compile(fact.what).groups == 1
    for name in SITE_NAMES:
        data = facts.site_data(name)
        assert set(data.required) <= set(PAGE_FIELDS)
        assert all(SITES[name].is_id(product) for product in data.canary)


def test_no_flipkart_field_hangs_on_class_names_alone() -> None:
    """Class names that rotate are a fallback: before each stands a fact without one, or the order of the page."""
    by_position = {"specifications"}
    rotating = re.compile(r"\.[A-Za-z_][\w-]*")
    data = facts.site_data("flipkart")
    for (page, datum), places in data.facts.items():
        if page == "product" and datum not in by_position and any(fact.how == "css" for fact in places):
            assert any(fact.how != "css" or not rotating.search(fact.what) for fact in places), datum
