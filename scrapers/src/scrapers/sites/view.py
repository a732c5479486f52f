"""One page, read through the facts of its site."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import islice
from typing import TypeVar

from selectolax.lexbor import LexborHTMLParser, LexborNode

from scrapers import values
from scrapers.facts import Fact, PageKind, SiteData
from scrapers.sites import embedded

T = TypeVar("T")

# Larger than any page seen (Flipkart's search, 0.9 MB); the rest of a larger one is not read.
MAX_HTML = 12_000_000
MAX_NODES = 500  # elements of one selector
MAX_SCRIPTS = 1_000
MAX_TEXT = 4_000  # characters of one name, label or seller
MAX_MATCHES = 20  # places of one pattern in one script

# Deeper than any page: browsers themselves stop at 512.
MAX_DEPTH = 600

_TAG = re.compile(r"<(?P<end>/?)(?P<name>[a-zA-Z][a-zA-Z0-9]*)")
_RAW = frozenset(("script", "style", "textarea", "title", "noscript", "template", "iframe"))
# Void elements, and those that the next one of their kind closes.
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
_NEVER_DEEP = _VOID | {"p", "li", "td", "th", "tr", "tbody", "dt", "dd", "option"}
_INLINE = frozenset(
    ("a", "abbr", "b", "bdi", "bdo", "cite", "code", "em", "font", "i", "kbd", "label", "mark", "q", "s")
)
_INLINE |= {"small", "span", "strong", "sub", "sup", "u"}
_SILENT = frozenset(("script", "style", "noscript", "template"))


class View:
    """A parsed page and the facts that apply to it. `used` tells which fact gave each datum."""

    def __init__(self, html: str, url: str, data: SiteData, page: PageKind) -> None:
        self.url = url
        self.data = data
        self.page: PageKind = page
        self.used: dict[str, Fact] = {}
        # Bytes, because a lone surrogate in a str cannot be encoded by the parser.
        self.tree = LexborHTMLParser(shallow(html[:MAX_HTML]).encode("utf-8", "replace"))

    @cached_property
    def scripts(self) -> list[str]:
        """The text of every script."""
        return [node.text() or "" for node in self.tree.css("script")[:MAX_SCRIPTS]]

    @cached_property
    def ld(self) -> list[dict[str, object]]:
        """Every JSON-LD node."""
        return embedded.json_ld(node.text() or "" for node in self.tree.css("script[type*='ld+json']"))

    @cached_property
    def product_ld(self) -> dict[str, object]:
        """The JSON-LD node of the product, empty where there is none."""
        kinds = ("Product", "ProductGroup")
        return next((node for node in self.ld if any(embedded.is_type(node, kind) for kind in kinds)), {})

    @cached_property
    def state(self) -> object:
        """The state embedded in the page, None where there is none or it is broken."""
        for fact in self.data.of(self.page, "state"):
            found = embedded.assigned(self.scripts, fact.what)
            if found is not None:
                self.used["state"] = fact
                return found
        return None

    def css(self, selector: str) -> list[LexborNode]:
        """The elements of a selector, at most MAX_NODES of them, in the order of the page."""
        return self.tree.css(selector)[:MAX_NODES]

    def read(self, fact: Fact) -> list[object]:
        """What the page has at the place of a fact: values of the state, attributes, or elements."""
        if fact.how == "constant":
            return [fact.what]
        if fact.how == "state":
            return embedded.dig(self.state, fact.what) if self.state is not None else []
        if fact.how == "ld":
            return embedded.dig(self.product_ld, fact.what)
        if fact.how == "script":
            return list(self._in_scripts(fact.what))
        if fact.how == "json":
            selector, _, path = fact.what.partition(" | ")
            documents = [embedded.loads(str(value)) for value in self._selected(selector, as_text=True)]
            return [found for document in documents for found in embedded.dig(document, path)]
        return self._selected(fact.what)

    def _selected(self, what: str, *, as_text: bool = False) -> list[object]:
        selector, at, attribute = what.rpartition("@")
        if not at:
            nodes = self.css(what)
            return [node.text() or "" for node in nodes] if as_text else list(nodes)
        return [value for node in self.css(selector) if (value := node.attributes.get(attribute))]

    def _in_scripts(self, pattern: str) -> Iterator[object]:
        compiled = re.compile(pattern)
        for script in self.scripts:
            for match in islice(compiled.finditer(script), MAX_MATCHES):
                value = match[1] or embedded.decode_at(script, match.end())
                if value is not None:
                    yield value

    def every(self, datum: str, convert: Callable[[object], T | None]) -> list[T]:
        """The values of the first fact of a datum that gives any."""
        for fact in self.data.of(self.page, datum):
            found = [kept for value in self.read(fact) if (kept := convert(value)) is not None and kept != ""]
            if found:
                self.used[datum] = fact
                return found
        return []

    def first(self, datum: str, convert: Callable[[object], T | None]) -> T | None:
        """The first value of a datum that converts."""
        for fact in self.data.of(self.page, datum):
            for value in self.read(fact):
                kept = convert(value)
                if kept is not None and kept != "":
                    self.used[datum] = fact
                    return kept
        return None

    def text(self, datum: str) -> str:
        """The first text of a datum, empty where there is none."""
        return (self.first(datum, text_of) or "")[:MAX_TEXT]


def shallow(html: str) -> str:
    """The page up to the place where it nests deeper than MAX_DEPTH; a parser's time grows with the square of that."""
    depth = 0
    raw = ""
    for match in _TAG.finditer(html):
        name = match["name"].lower()
        if raw:  # text of a script is no markup, whatever it looks like
            raw = "" if match["end"] and name == raw else raw
        elif match["end"]:
            depth -= name not in _NEVER_DEEP
        elif name in _RAW:
            raw = name
        else:
            depth += name not in _NEVER_DEEP
        if depth > MAX_DEPTH:
            return html[: match.start()]
    return html


def text_of(value: object) -> str:
    """An element's visible text, or a value of the state, on one line."""
    return values.clean("".join(_pieces(value, " ")) if isinstance(value, LexborNode) else value)


def paragraphs_of(value: object) -> str:
    """Text of an element, or of a state's value that may be HTML: one line per paragraph, list item or break."""
    if isinstance(value, str) and "<" in value:
        value = fragment(value).body
    if isinstance(value, LexborNode):
        value = "".join(_pieces(value, "\n"))
    if not isinstance(value, str):
        return values.clean(value)
    lines = (values.clean(line) for line in value[: 2 * values.MAX_TEXT].split("\n"))
    return "\n".join(line for line in lines if line)[: values.MAX_TEXT]


def fragment(markup: str) -> LexborHTMLParser:
    """A piece of HTML that a state holds, parsed."""
    return LexborHTMLParser(markup[: 2 * values.MAX_TEXT].encode("utf-8", "replace"))


def _pieces(node: LexborNode, gap: str) -> Iterator[str]:
    """Texts of an element, a gap where a block begins or ends: "1,299" and "." stay one word, list items do not."""
    waiting: list[LexborNode | str] = [*reversed(list(node.iter(include_text=True)))]
    while waiting:  # no recursion: hostile pages nest deeper than Python does
        child = waiting.pop()
        if isinstance(child, str):
            yield child
        elif child.tag == "-text":
            text = child.text() or ""
            yield text.replace("\n", " ")
        elif child.tag not in _SILENT:
            block = "" if child.tag in _INLINE else gap
            yield block
            waiting.append(block)
            waiting.extend(reversed(list(child.iter(include_text=True))))


def price_of(value: object) -> values.Price | None:
    """A price in an element's text or in a value of the state."""
    return values.price(text_of(value)) if isinstance(value, LexborNode) else values.price(value)


def count_of(value: object) -> int | None:
    """A count in an element's text or in a value of the state."""
    return values.count(text_of(value)) if isinstance(value, LexborNode) else values.count(value)


def rating_of(value: object) -> float | None:
    """Stars in an element's text or in a value of the state."""
    return values.rating(text_of(value)) if isinstance(value, LexborNode) else values.rating(value)
