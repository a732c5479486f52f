"""Myntra: `window.__myx` first, then JSON-LD and the document."""

from __future__ import annotations

import re

from selectolax.lexbor import LexborNode

from scrapers import values
from scrapers.record import Availability, Record, Specification, Variant
from scrapers.sites import embedded
from scrapers.sites.draft import (
    Draft,
    breadcrumbs,
    fill_common,
    identifier,
    specification,
    without_ends,
)
from scrapers.sites.view import View, fragment, paragraphs_of, text_of

# What the site's own zoom asks for; public code uses the same numbers.
_PLACEHOLDERS = {"($height)": "1440", "($width)": "1080", "($qualityPercentage)": "100"}
_SIZED = re.compile(r"/h_\d+,(?:c_limit,)?(?:fl_progressive,)?q_\d+,w_\d+/")
_BACKGROUND = re.compile(r"""url\(\s*(?:&quot;|['"])?(?P<address>[^'")]+?)(?:&quot;|['"])?\s*\)""")
_NOTHING = frozenset(("", "na", "n/a", "not applicable"))


def parse(view: View) -> Record:
    """The record of a product page. Empty fields are fields that the page does not have."""
    draft = Draft("myntra", view.url)
    fill_common(view, draft)
    draft.product_id = (
        view.first("product_id", lambda value: identifier(view, value)) or identifier(view, view.url) or ""
    )
    sizes = view.every("sizes", _size)
    draft.availability = _availability(view, sizes) or draft.availability
    _details(view, draft)
    draft.specifications = _specifications(view)
    draft.category_path = _categories(view, draft.title)
    draft.images = view.every("images", lambda value: picture(view, value))
    draft.videos = view.every("videos", lambda value: values.web_address(value, view.url))
    draft.variants = [*view.every("colours", lambda value: _colour(view, value)), *(sizes or _size_buttons(view))]
    return draft.finish()


def _size(value: object) -> Variant | None:
    """`{label, available, sizeSellerData: [{discountedPrice}]}`."""
    label = text_of(value.get("label")) if isinstance(value, dict) else ""
    if not isinstance(value, dict) or not label:
        return None
    known = value.get("available")
    offers = embedded.dig(value, "sizeSellerData.*.discountedPrice")
    return Variant(
        options=(("Size", label),),
        available=known if isinstance(known, bool) else None,
        price=values.amount(offers[0]) if offers else None,
    )


def _availability(view: View, sizes: list[Variant]) -> Availability:
    sold_out = view.first("out_of_stock", lambda value: value if isinstance(value, bool) else None)
    known = [size.available for size in sizes if size.available is not None]
    if sold_out or (known and not any(known)):
        return "out_of_stock"
    return "in_stock" if any(known) else ""


def _size_buttons(view: View) -> list[Variant]:
    """Sizes of the document; struck-out ones are sold out."""
    found: list[Variant] = []
    for fact in view.data.of("product", "size_buttons"):
        for node in view.css(fact.what):
            label = node.css_first(".size-buttons-unified-size")
            text = text_of(label if label is not None else node)
            disabled = "disabled" in (node.attributes.get("class") or "") or "disabled" in node.attributes
            if text:
                found.append(Variant(options=(("Size", text),), available=not disabled))
    return found


def _colour(view: View, value: object) -> Variant | None:
    label = text_of(value.get("label")) if isinstance(value, dict) else ""
    if not isinstance(value, dict) or not label:
        return None
    return Variant(product_id=identifier(view, value.get("styleId")) or "", options=(("Colour", label),))


def _details(view: View, draft: Draft) -> None:
    """Description and bullets from the panels `{title, description}`, whose descriptions are HTML."""
    panels = [panel for panel in view.every("details", lambda value: value) if isinstance(panel, dict)]
    texts: list[str] = []
    for panel in panels:
        markup = panel.get("description")
        body = paragraphs_of(markup)
        if not body:
            continue
        title = text_of(panel.get("title"))
        # The first panel is the description itself; the others are named ("Size & Fit").
        texts.append(f"{title}: {body}" if title and texts else body)
        if isinstance(markup, str) and "<li" in markup:
            draft.bullets += [text_of(item) for item in fragment(markup).css("li")]
    if texts:
        draft.description = "\n".join(texts)


def _specifications(view: View) -> list[Specification]:
    """`articleAttributes` with what the law wants printed, else the rows of the document's table."""
    table = view.first("attributes", lambda value: value if isinstance(value, dict) and value else None) or {}
    pairs = [*table.items(), ("Manufacturer", view.text("manufacturer")), ("Country of Origin", view.text("country"))]
    rows = [row for name, value in pairs if (row := specification(name, value))]
    if not rows:
        rows = view.every("specifications", _table_row)
    elif table:
        view.used["specifications"] = view.used["attributes"]
    return [row for row in rows if row.value.lower() not in _NOTHING]


def _table_row(value: object) -> Specification | None:
    if not isinstance(value, LexborNode):
        return None
    name, text = value.css_first(".index-rowKey"), value.css_first(".index-rowValue")
    return specification(name, text) if name is not None and text is not None else None


def _categories(view: View, title: str) -> list[str]:
    levels = [view.text(f"category_{level}") for level in ("masterCategory", "subCategory", "articleType")]
    found = [level for level in levels if level]
    return found or breadcrumbs(view.ld, title) or without_ends(view.every("category_path", text_of), title)


def picture(view: View, value: object) -> str | None:
    """A picture's address in its largest form, from an address with placeholders or from a background style."""
    if not isinstance(value, str):
        return None
    match = _BACKGROUND.search(value[:4_000])
    text = match["address"] if match else value
    for placeholder, number in _PLACEHOLDERS.items():
        text = text.replace(placeholder, number)
    address = values.web_address(text, view.url)
    return _SIZED.sub("/h_1440,q_100,w_1080/", address) if address else None
