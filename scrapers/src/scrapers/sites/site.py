"""The three sites behind one shape: addresses, ids, and pure functions from pages to records."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NewType
from urllib.parse import parse_qsl, quote, quote_plus, urlencode, urlsplit, urlunsplit

from scrapers import values
from scrapers.facts import SiteData, site_data
from scrapers.record import Record, SiteName
from scrapers.sites import amazon, flipkart, myntra
from scrapers.sites.draft import identifier
from scrapers.sites.view import View, text_of

# Why a site no longer answers; empty where it does.
BlockReason = NewType("BlockReason", str)

MAX_RESULTS = 500  # results of one page; sites show at most 60
# Phrases of blocks count only on pages shorter than this: a product may be a robot, a block page is small.
_SMALL_PAGE = 30_000
_PAGE_PARAMETER = {"amazon": "page", "flipkart": "page", "myntra": "p"}


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A product of a search page. `url` is where its page is."""

    product_id: str
    url: str


@dataclass(frozen=True, slots=True)
class SearchPage:
    """What a search page lists, in its order; `next_url` is empty on the last one.

    `recognised` is False where nothing shows that this was a search page at all; a search without results is one.
    """

    results: tuple[SearchResult, ...]
    next_url: str
    recognised: bool


@dataclass(frozen=True, slots=True)
class Site:
    """One site; `base_url` may be another than its own, for a mirror or a test server."""

    name: SiteName
    data: SiteData
    parser: Callable[[View], Record]
    base_url: str

    def at(self, base_url: str) -> Site:
        """The same site at another base address."""
        return Site(self.name, self.data, self.parser, base_url.rstrip("/"))

    def is_id(self, text: str) -> bool:
        """True for a text that is a product id of this site."""
        return any(pattern.fullmatch(text) for pattern in self.data.id_patterns)

    def id_in(self, url: str) -> str:
        """The product id in an address, empty where it has none."""
        return next((match[1] for pattern in self.data.id_in_url if (match := pattern.search(url))), "")

    def product_url(self, product_id: str) -> str:
        """Where the page of a product is.

        Raises:
            ValueError: the text is no product id of this site.
        """
        for pattern, path in zip(self.data.id_patterns, self.data.product_paths, strict=True):
            if pattern.fullmatch(product_id):
                return self.base_url + path.replace("{id}", product_id)
        raise ValueError(f"{product_id!r} is no product id of {self.data.title}")

    def search_url(self, query: str) -> str:
        """The first search page for a query."""
        words = " ".join(query.split())
        if self.data.query_separator == "-":
            slug = "-".join(re.findall(r"[\w]+", words.lower()))
            return f"{self.base_url}/{quote(slug)}?{urlencode({'rawQuery': words})}"
        return self.base_url + self.data.search_path.replace("{query}", quote_plus(words)).replace("{page}", "1")

    def owns(self, url: str) -> bool:
        """True for an address on this site's host or on a neighbour of it (m.myntra.com, dl.flipkart.com)."""
        host, own = urlsplit(url).hostname or "", urlsplit(self.base_url).hostname or ""
        registered = own.removeprefix("www.")
        same_port = urlsplit(url).netloc == urlsplit(self.base_url).netloc
        return same_port or host == own or (host == registered or host.endswith("." + registered))

    def tidy(self, url: str) -> str:
        """A product's address without what only follows the visitor; Flipkart's pid stays, it names the product."""
        parts = urlsplit(url)
        kept = [(key, value) for key, value in parse_qsl(parts.query) if key == "pid"]
        return urlunsplit(parts._replace(query=urlencode(kept), fragment=""))

    def parse_product(self, html: str, url: str) -> Record:
        """The record of a product page; total, whatever the page holds."""
        return self.parser(self.view(html, url))

    def view(self, html: str, url: str) -> View:
        """The page as its parser sees it, with the trace of facts that the canary reads."""
        return View(html, url, self.data, "product")

    def parse_search(self, html: str, url: str) -> SearchPage:
        """The products of a search page and the address of the next one; total, whatever the page holds."""
        view = View(html, url, self.data, "search")
        found: dict[str, SearchResult] = {}
        empty = bool(view.first("empty", lambda value: True)) or _has_search_state(view)
        results = view.every("results", lambda value: self._result(view, value))
        if not results and not empty:  # links anywhere, but not where the page says that it found nothing
            results = view.every("links", lambda value: self._result(view, value))
        for result in results[:MAX_RESULTS]:
            found.setdefault(result.product_id, result)
        return SearchPage(
            results=tuple(found.values()),
            next_url=self._next(view, len(found)) if found else "",
            recognised=bool(found) or empty,
        )

    def _result(self, view: View, value: object) -> SearchResult | None:
        text = text_of(value)
        address = values.web_address(text, view.url) if "/" in text else ""
        product_id = identifier(view, address or text)
        if product_id is None:
            return None
        if address and self.owns(address) and self.id_in(address):
            return SearchResult(product_id, self.tidy(address))
        return SearchResult(product_id, self.product_url(product_id))

    def _next(self, view: View, results: int) -> str:
        link = view.text("next") or _link_called_next(view)
        address = values.web_address(link, view.url)
        if address and self.owns(address):
            return address
        name = _PAGE_PARAMETER[self.name]
        page = _page_number(view.url, name)
        total_pages = view.first("total_pages", values.count)
        total = view.first("total", values.count)
        more = view.first("has_next", lambda value: value if isinstance(value, bool) else None)
        if more is None:
            more = (total_pages is not None and page < total_pages) or (total is not None and page * results < total)
        return _with_page(view.url, name, page + 1) if more else ""

    def block_reason(self, html: str, title: str = "") -> BlockReason:
        """Why the page is a captcha or a refusal, empty where it is neither.

        Ask only about pages that are no product and no search page.
        """
        view = View(html, self.base_url, self.data, "block")
        for fact in view.data.of("block", "element"):
            if view.read(fact):
                return BlockReason(f"{self.data.title} shows a captcha ({fact.what})")
        heading = view.tree.css_first("title")
        texts = [title, text_of(heading) if heading is not None else ""]
        if len(html) <= _SMALL_PAGE and view.tree.body is not None:
            texts.append(text_of(view.tree.body))
        for fact in view.data.of("block", "phrase"):
            if any(fact.what.lower() in text.lower() for text in texts):
                return BlockReason(f"{self.data.title} refuses: {fact.what!r}")
        return BlockReason("")


def _has_search_state(view: View) -> bool:
    return any(view.read(fact) for datum in ("total", "total_pages") for fact in view.data.of("search", datum))


def _link_called_next(view: View) -> str:
    for fact in view.data.of("search", "nav_links"):
        for node in view.css(fact.what):
            if text_of(node).lower() == "next":
                return node.attributes.get("href") or ""
    return ""


def _page_number(url: str, name: str) -> int:
    given = dict(parse_qsl(urlsplit(url).query)).get(name, "1")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 5 else 1


def _with_page(url: str, name: str, page: int) -> str:
    parts = urlsplit(url)
    kept = [(key, value) for key, value in parse_qsl(parts.query, keep_blank_values=True) if key != name]
    return urlunsplit(parts._replace(query=urlencode([*kept, (name, str(page))]), fragment=""))


_PARSERS: Mapping[SiteName, Callable[[View], Record]] = {
    "amazon": amazon.parse,
    "flipkart": flipkart.parse,
    "myntra": myntra.parse,
}
SITES: Mapping[SiteName, Site] = {
    name: Site(name, site_data(name), parser, site_data(name).base_url) for name, parser in _PARSERS.items()
}
