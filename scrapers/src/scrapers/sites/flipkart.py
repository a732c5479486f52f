"""Flipkart: `__INITIAL_STATE__` and JSON-LD first, then the document.

Its class names change with every build. Each field therefore has a way without them: JSON-LD, ids, the shape of
addresses and tables, or the order of things around the heading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

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
from scrapers.sites.view import View, count_of, rating_of, text_of

# The longest side that public code asks the image server for; it answers with at most the original.
LARGEST_SIDE = "1920"
_SIDES_IN_PATH = re.compile(r"/image/\d{2,4}/\d{2,4}/")
_QUALITY = re.compile(r"([?&]q=)\d{1,3}")
_PERCENT_OFF = re.compile(r"(?P<percent>\d{1,2})\s*%\s*off", re.I)
_COUNTS = re.compile(r"[\d,.]+\s*[kl]?\s*ratings?\b", re.I)
_STARS = re.compile(r"[1-5](?:\.\d)?")
_ITEM_ID = re.compile(r"itm[0-9a-z]{9,16}")
_NEAR_HEADING = 40  # leaf texts after the heading among which the price stands


def parse(view: View) -> Record:
    """The record of a product page. Empty fields are fields that the page does not have."""
    draft = Draft("flipkart", view.url)
    fill_common(view, draft)
    _identify(view, draft)
    nearby = _near_heading(view)
    _price_by_position(view, draft, nearby)
    _ratings(view, draft, nearby)
    if not draft.availability:
        draft.availability = next((said for node in view.css("button") if (said := available(node))), "")
    draft.specifications = _specifications(view)
    draft.category_path = _categories(view, draft.title)
    media = _media(view)
    draft.images = [item.address for item in media if not item.is_video] or view.every(
        "images", lambda value: largest(view, value)
    )
    draft.videos = [item.address for item in media if item.is_video]
    draft.variants = _variants(view)
    return draft.finish()


def _identify(view: View, draft: Draft) -> None:
    """FSN and item id. Where the page tells only the item id, it is the product id."""
    fsn, item = view.data.id_patterns[0], view.data.id_patterns[1]

    def of(pattern: re.Pattern[str], value: object) -> str | None:
        found = identifier(view, value)
        return found if found and pattern.fullmatch(found) else None

    def item_in(value: object) -> str | None:
        match = _ITEM_ID.search(text_of(value))
        return match[0] if match else None

    draft.product_id = view.first("product_id", lambda value: of(fsn, value)) or of(fsn, view.url) or ""
    draft.alternate_id = view.first("alternate_id", item_in) or item_in(view.url) or ""
    if not draft.product_id and item.fullmatch(draft.alternate_id):
        draft.product_id = draft.alternate_id


def _near_heading(view: View) -> list[str]:
    """The texts right after the heading, in the order of the page, each from one element that holds text itself."""
    heading = view.tree.css_first("h1")
    if heading is None or view.tree.body is None:
        return []
    texts: list[str] = []
    after = False
    for node in view.tree.body.traverse(include_text=False):
        if not after:
            after = node.mem_id == heading.mem_id
        elif own := values.clean(node.text(deep=False) or ""):
            texts.append(own[:200])
            if len(texts) >= _NEAR_HEADING:
                break
    return texts


def _price_by_position(view: View, draft: Draft, nearby: list[str]) -> None:
    """Price, MRP and "x% off" follow the heading; an MRP counts only where the percentage agrees with it."""
    amounts = [(index, found) for index, text in enumerate(nearby) if text[:1] == "₹" and (found := values.price(text))]
    if not amounts:
        return
    if draft.price is None:
        draft.price = amounts[0][1]
        draft.currency = amounts[0][1].currency
    if draft.mrp is not None:
        return
    for index, found in amounts:
        match = _PERCENT_OFF.search(" ".join(nearby[index + 1 : index + 3]))
        if match and found.low > draft.price.low:
            off = 100 * (1 - draft.price.low / found.low)
            if abs(off - int(match["percent"])) <= 1:
                draft.mrp = found.low
                return


def _ratings(view: View, draft: Draft, nearby: list[str]) -> None:
    """Stars and their count. The seller has stars of his own: without a rated product they stand alone on the page."""
    draft.rating = view.first("rating", _product_stars)
    place = next((index for index, text in enumerate(nearby) if _COUNTS.search(text)), None)
    if place is None:
        return
    if draft.ratings_count is None:
        draft.ratings_count = count_of(nearby[place])
    stars = [text for text in nearby[max(0, place - 2) : place] if _STARS.fullmatch(text)]
    if draft.rating is None and stars:
        draft.rating = rating_of(stars[-1])


def _product_stars(value: object) -> float | None:
    owner = value.parent if isinstance(value, LexborNode) else None
    while owner is not None:
        if owner.id == "sellerName":
            return None
        owner = owner.parent
    return rating_of(value)


def _specifications(view: View) -> list[Specification]:
    """Groups of `{key, attributes: [{name, values}]}` in the state, else the two-celled rows of tables."""
    rows: list[Specification] = []
    for fact in view.data.of("product", "spec_groups"):
        for group in view.read(fact):
            rows += _group(group)
        if rows:
            view.used["specifications"] = fact
            return rows
    return view.every("specifications", _table_row)


def _group(group: object) -> Iterator[Specification]:
    if not isinstance(group, dict):
        return
    for attribute in embedded.dig(group, "attributes.*"):
        if isinstance(attribute, dict):
            texts = [text_of(value) for value in embedded.dig(attribute, "values.*")]
            # A group of one attribute without a name is named by its heading.
            name = text_of(attribute.get("name")) or text_of(group.get("key"))
            row = specification(name, ", ".join(text for text in texts if text), group.get("key"))
            if row:
                yield row


def _table_row(value: object) -> Specification | None:
    if not isinstance(value, LexborNode):
        return None
    cells = [cell for cell in value.iter() if cell.tag in ("td", "th")]
    return specification(cells[0], cells[1]) if len(cells) == 2 else None


def _categories(view: View, title: str) -> list[str]:
    nodes = view.every("breadcrumbs", lambda value: value)
    found = breadcrumbs(nodes, title) or breadcrumbs(view.ld, title)
    if found:
        return found
    shown = without_ends(view.every("category_path", text_of), title)
    if shown:
        return shown
    levels = [view.text(f"category_{level}") for level in ("superCategory", "category", "subCategory", "vertical")]
    return [level for level in levels if level]


@dataclass(frozen=True, slots=True)
class _Media:
    address: str
    is_video: bool


def _media(view: View) -> list[_Media]:
    return view.every("media", lambda value: _medium(view, value))


def _medium(view: View, value: object) -> _Media | None:
    if not isinstance(value, dict):
        return None
    video = text_of(value.get("contentType")).upper() == "VIDEO"
    address = values.web_address(value.get("url"), view.url) if video else largest(view, value.get("url"))
    return _Media(address, video) if address else None


def largest(view: View, value: object) -> str | None:
    """A picture's address in its largest form: placeholders filled, thumbnail sides replaced, full quality."""
    if not isinstance(value, str):
        return None
    filled = value.replace("{@width}", LARGEST_SIDE).replace("{@height}", LARGEST_SIDE).replace("{@quality}", "100")
    address = values.web_address(filled, view.url)
    if not address or "/image/" not in address:
        return None
    sized = _SIDES_IN_PATH.sub(f"/image/{LARGEST_SIDE}/{LARGEST_SIDE}/", address)
    return _QUALITY.sub(r"\g<1>100", sized)


def _variants(view: View) -> list[Variant]:
    """Siblings from the state's swatches, else from the swatches' links."""
    found = [variant for value in _swatches(view) if (variant := _swatch(view, value))]
    return found or [*_composed(view)] or view.every("swatches_dom", lambda value: _linked(view, value))


def _swatches(view: View) -> list[object]:
    return [value for fact in view.data.of("product", "swatches") for value in view.read(fact)]


def _swatch(view: View, value: object) -> Variant | None:
    """`SWATCH_VARIANTS`: `{id, swatchValue: {attribute?, value}}`."""
    swatch = value.get("swatchValue") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(swatch, dict):
        return None
    name, text = text_of(swatch.get("attribute")) or "Option 1", text_of(swatch.get("value"))
    return Variant(product_id=identifier(view, value.get("id")) or "", options=((name, text),)) if text else None


def _composed(view: View) -> Iterator[Variant]:
    """`COMPOSED_SWATCH`: attributes with their options, and products that say which options they have by index."""
    for value in view.every("swatch_products", lambda found: found if isinstance(found, dict) else None):
        attributes = [item for item in embedded.dig(value, "attributes.*") if isinstance(item, dict)]
        choices = embedded.dig(value, "attributeOptions.*")
        products = value.get("products")
        for key, product in products.items() if isinstance(products, dict) else ():
            indexes = embedded.dig(product, "attributeIndexes.*")
            options: list[tuple[str, str]] = []
            for place, index in enumerate(indexes[:10]):
                text = _choice(choices, place, index)
                if text:
                    name = text_of(attributes[place].get("text")) if place < len(attributes) else ""
                    options.append((name or f"Option {place + 1}", text))
            pid = identifier(view, key)
            if options and pid:
                yield Variant(product_id=pid, options=tuple(options))


def _choice(choices: list[object], place: int, index: object) -> str:
    if not isinstance(index, int) or not 0 <= index < embedded.MAX_HITS or place >= len(choices):
        return ""
    found = embedded.dig(choices[place], f"{index}.value")
    return text_of(found[0]) if found else ""


def _linked(view: View, value: object) -> Variant | None:
    """A swatch in the document: a link to the sibling inside `<li id="swatch-0-color">`."""
    if not isinstance(value, LexborNode):
        return None
    pid = identifier(view, values.web_address(value.attributes.get("href"), view.url))
    item = value.parent
    while item is not None and not (item.id or "").startswith("swatch-"):
        item = item.parent
    parts = (item.id or "").split("-") if item is not None else []
    name = parts[2].replace("_", " ").capitalize() if len(parts) > 2 else "Option 1"
    picture = value.css_first("img[alt]")
    text = text_of(value) or (text_of(picture.attributes.get("alt")) if picture is not None else "")
    return Variant(product_id=pid, options=((name, text),)) if pid and text else None
