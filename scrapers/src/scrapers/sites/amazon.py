"""Amazon: the twister's JSON and the gallery's script first, then the document."""

from __future__ import annotations

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborNode

from scrapers import values
from scrapers.record import Record, Specification, Variant
from scrapers.sites import embedded
from scrapers.sites.draft import (
    Draft,
    available,
    breadcrumbs,
    fill_common,
    identifier,
    specification,
    without_ends,
)
from scrapers.sites.view import View, text_of

# "._AC_SX679_" before the suffix makes the picture smaller; without it the address is the original.
_MODIFIERS = re.compile(r"\._[^/]*_(?=\.\w{3,4}$)")
_PRODUCT_PICTURE = "/images/I/"
_VISIT_STORE = re.compile(r"^(?:Visit the (?P<store>.+?) Store|Brand:\s*(?P<brand>.+))$", re.I)
_SOLD_BY = re.compile(r"Sold by:?\s*(?P<seller>.+?)(?:\s*\(|\s+and\s+(?:Fulfilled|Delivered)|\.?$)", re.I)
_NOT_A_SPECIFICATION = frozenset(("customer reviews", "best sellers rank", "amazon bestsellers rank"))
_SELECT = re.compile(r"^Click to select\s+", re.I)


def parse(view: View) -> Record:
    """The record of a product page. Empty fields are fields that the page does not have."""
    draft = Draft("amazon", view.url)
    fill_common(view, draft)
    draft.product_id = (
        view.first("product_id", lambda value: identifier(view, value)) or identifier(view, view.url) or ""
    )
    draft.alternate_id = view.text("alternate_id")
    draft.specifications = _specifications(view)
    draft.brand = _brand(draft.brand, draft.specifications)
    draft.seller = _seller(draft.seller)
    crumbs = without_ends(view.every("category_path", text_of), draft.title)
    draft.category_path = breadcrumbs(view.ld, draft.title) or crumbs
    draft.images = _images(view)
    draft.videos = _videos(view)
    draft.variants = _variants(view)
    return draft.finish()


def _brand(byline: str, rows: list[Specification]) -> str:
    """ "Visit the Alya Store" is Alya; without a byline the specifications tell."""
    match = _VISIT_STORE.match(byline)
    if match:
        return match["store"] or match["brand"]
    return byline or next((row.value for row in rows if row.name.lower() in ("brand", "brand name")), "")


def _seller(text: str) -> str:
    match = _SOLD_BY.search(text)
    return match["seller"].strip() if match else text


def _specifications(view: View) -> list[Specification]:
    """Rows of every table and list of details: unlike other data they stand in several places at once."""
    rows: list[Specification] = []
    for fact in view.data.of("product", "specifications"):
        found = [row for node in view.css(fact.what) if (row := _row(node)) is not None]
        if found:
            view.used.setdefault("specifications", fact)
        rows += [row for row in found if row.name.lower() not in _NOT_A_SPECIFICATION]
    return rows


def _row(node: LexborNode) -> Specification | None:
    cells = node.css("th, td")
    if len(cells) == 2:
        return specification(cells[0], cells[1])
    label = node.css_first("span.a-text-bold, .product-facts-title, .a-col-left")
    if label is None:
        return None
    beside = node.css_first(".a-col-right")
    if beside is not None:
        return specification(label, beside)
    name = text_of(label)
    whole = text_of(node)
    return specification(name, whole[len(name) :] if whole.startswith(name) else "")


def _images(view: View) -> list[str]:
    """The gallery's script, else the main picture's sizes and the thumbnails in their original form."""
    colour = _landing_colour(view)
    gallery = view.first("gallery", lambda value: _gallery(view, value, colour))
    if gallery:
        return gallery
    main = view.first("dynamic_image", lambda value: _largest(view, value)) or view.first(
        "images", lambda value: _picture(view, value)
    )
    thumbnails = view.every("thumbnails", lambda value: _picture(view, value))
    return _one_each([main or "", *thumbnails])


def _gallery(view: View, value: object, colour: str) -> list[str] | None:
    """`colorImages`: lists of pictures by colour; "initial" is the shown one where there are no colours."""
    if not isinstance(value, dict) or not value:
        return None
    items = value.get(colour) or value.get("initial") or (next(iter(value.values())) if len(value) == 1 else None)
    if not isinstance(items, list):
        return None
    return _one_each([_item(view, item) for item in items]) or None


def _landing_colour(view: View) -> str:
    for script in view.scripts:
        match = re.search(r"""landingAsinColor['"]?\]?\s*[:=]\s*(['"])(?P<colour>[^'"]{1,80})\1""", script)
        if match:
            return match["colour"]
    return "initial"


def _item(view: View, item: object) -> str:
    """The largest form of one gallery item: hiRes as it stands, else large, main or thumb without modifiers."""
    if not isinstance(item, dict):
        return ""
    high = values.web_address(item.get("hiRes"), view.url)
    if high:
        return high
    return (
        (_picture(view, item.get("large")) or "")
        or (_largest(view, item.get("main")) or "")
        or (_picture(view, item.get("thumb")) or "")
    )


def _largest(view: View, sizes: object) -> str | None:
    """The picture of the largest area of `{url: [width, height]}`, given as JSON text or decoded."""
    table = embedded.loads(sizes) if isinstance(sizes, str) else sizes
    if not isinstance(table, dict):
        return None
    best = max(table, key=lambda address: _area(table[address]), default=None)
    return _picture(view, best)


def _area(size: object) -> float:
    if isinstance(size, list) and len(size) == 2 and all(isinstance(side, int | float) for side in size):
        return float(min(abs(size[0]), 1e6) * min(abs(size[1]), 1e6))
    return 0.0


def _picture(view: View, value: object) -> str | None:
    """The original of a product picture; None for sprites, play buttons and transparent pixels."""
    address = values.web_address(value, view.url)
    return _MODIFIERS.sub("", address) if _PRODUCT_PICTURE in address else None


def _one_each(addresses: list[str]) -> list[str]:
    """The addresses without other sizes of a picture that is there already."""
    kept: dict[str, str] = {}
    for address in addresses:
        if address:
            kept.setdefault(_MODIFIERS.sub("", address), address)
    return list(kept.values())


def _videos(view: View) -> list[str]:
    found = view.first("videos", lambda value: [*_video_addresses(view, value)] or None)
    return found or []


def _video_addresses(view: View, value: object) -> Iterator[str]:
    for address in embedded.dig(value, "*.url"):
        if absolute := values.web_address(address, view.url):
            yield absolute


def _variants(view: View) -> list[Variant]:
    """The twister's children, from its JSON, else from the swatches of the document."""
    children = view.first("variants", lambda value: value if isinstance(value, dict) and value else None)
    if not children:
        return [variant for node in _swatches(view) if (variant := _swatch(view, node))]
    names = _dimension_names(view)
    found: list[Variant] = []
    for asin, choices in children.items():
        texts = [text_of(choice) for choice in choices] if isinstance(choices, list) else []
        options = tuple(
            (names[index] if index < len(names) else f"Option {index + 1}", text)
            for index, text in enumerate(texts[:10])
            if text
        )
        child = identifier(view, asin)
        if options and child:
            found.append(Variant(product_id=child, options=options))
    return found


def _dimension_names(view: View) -> list[str]:
    shown = view.first("variant_names", _texts)
    if shown:
        return shown
    labels = view.first("variant_labels", lambda value: value if isinstance(value, dict) else None) or {}
    return [text_of(labels.get(key)) or key for key in view.first("variant_dimensions", _texts) or []]


def _texts(value: object) -> list[str] | None:
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return [text_of(item) for item in value]
    return None


def _swatches(view: View) -> list[LexborNode]:
    for fact in view.data.of("product", "swatches"):
        nodes = view.css(fact.what)
        if nodes:
            view.used["variants"] = fact
            return nodes
    return []


def _swatch(view: View, node: LexborNode) -> Variant | None:
    attributes = node.attributes
    asin = identifier(view, attributes.get("data-defaultasin") or attributes.get("data-asin") or "")
    picture = node.css_first("img[alt]")
    shown = attributes.get("title") or (picture.attributes.get("alt") if picture is not None else "") or text_of(node)
    text = _SELECT.sub("", text_of(shown))
    if not asin or not text:
        return None
    group = node.parent
    while group is not None and not (group.id or "").startswith(("variation_", "inline-twister-row-")):
        group = group.parent
    name = (group.id or "") if group is not None else ""
    label = name.removeprefix("variation_").removeprefix("inline-twister-row-").removesuffix("_name")
    state = available(attributes.get("data-availability") or "") or (
        "out_of_stock" if "swatchUnavailable" in (attributes.get("class") or "") else ""
    )
    return Variant(
        product_id=asin,
        options=((label.replace("_", " ").capitalize() or "Option 1", text),),
        available={"in_stock": True, "out_of_stock": False}.get(state),
    )
