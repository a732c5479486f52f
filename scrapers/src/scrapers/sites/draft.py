"""A record in the making: loose lists while a page is read, a checked record at the end."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from scrapers import values
from scrapers.record import Availability, Record, SiteName, Specification, Variant
from scrapers.sites import embedded
from scrapers.sites.view import View, count_of, paragraphs_of, price_of, rating_of, text_of

# More of anything than this is not a product's own; it bounds a record.
MAX_TITLE = 2_000
MAX_LINE = 4_000
MAX_BULLETS = 60
MAX_SPECIFICATIONS = 300
MAX_CATEGORIES = 15
MAX_MEDIA = 60
MAX_VARIANTS = 300

_OUT = re.compile(r"out[ _]?of[ _]?stock|sold ?out|unavailable|discontinued|notify me|coming soon")
_IN = re.compile(
    r"in[ _]?stock|limitedavailability|onlineonly|add[ -]to[ -](?:bag|cart)|go to bag|buy now"
    r"|usually (?:dispatched|ships)|available to ship|only \d+ left|few left"
)
_CURRENCY_OF = {"₹": "INR", "Rs": "INR", "Rs.": "INR", "$": "USD", "£": "GBP", "€": "EUR"}
_CODE = re.compile(r"[A-Z]{3}")


@dataclass(slots=True)
class Draft:
    """What a parser found so far; `finish` checks and bounds it."""

    site: SiteName
    url: str
    product_id: str = ""
    alternate_id: str = ""
    title: str = ""
    brand: str = ""
    price: values.Price | None = None
    mrp: Decimal | None = None
    currency: str = ""
    rating: float | None = None
    ratings_count: int | None = None
    availability: Availability = ""
    seller: str = ""
    bullets: list[str] = field(default_factory=list)
    description: str = ""
    specifications: list[Specification] = field(default_factory=list)
    category_path: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    videos: list[str] = field(default_factory=list)
    variants: list[Variant] = field(default_factory=list)

    def finish(self) -> Record:
        """The record. An MRP below the price is another element's price, and is left out."""
        low = self.price.low if self.price else None
        high = self.price.high if self.price else None
        mrp = self.mrp if self.mrp is not None and (low is None or self.mrp >= (high or low)) else None
        priced = low is not None or mrp is not None
        return Record(
            site=self.site,
            product_id=self.product_id,
            alternate_id=self.alternate_id if self.alternate_id != self.product_id else "",
            url=self.url,
            title=values.clean(self.title)[:MAX_TITLE],
            brand=values.clean(self.brand)[:MAX_LINE],
            price=low,
            price_to=high,
            mrp=mrp,
            currency=self.currency if priced else "",
            rating=self.rating,
            ratings_count=self.ratings_count,
            availability=self.availability,
            seller=values.clean(self.seller)[:MAX_LINE],
            bullets=_lines(self.bullets, MAX_BULLETS),
            description=self.description[: values.MAX_TEXT],
            specifications=_unique_rows(self.specifications),
            category_path=_lines(self.category_path, MAX_CATEGORIES),
            images=tuple(dict.fromkeys(address for address in self.images if address))[:MAX_MEDIA],
            videos=tuple(dict.fromkeys(address for address in self.videos if address))[:MAX_MEDIA],
            variants=tuple(dict.fromkeys(variant for variant in self.variants if variant.options))[:MAX_VARIANTS],
        )


def _lines(texts: Iterable[str], limit: int) -> tuple[str, ...]:
    cleaned = (values.clean(text)[:MAX_LINE] for text in texts)
    return tuple(dict.fromkeys(text for text in cleaned if text))[:limit]


def _unique_rows(rows: Iterable[Specification]) -> tuple[Specification, ...]:
    """Rows without repeats: pages show the same pair in several tables."""
    kept: dict[tuple[str, str], Specification] = {}
    for row in rows:
        kept.setdefault((row.name.lower(), row.value), row)
    return tuple(kept.values())[:MAX_SPECIFICATIONS]


def specification(name: object, value: object, group: object = "") -> Specification | None:
    """A row of a table from two cells; None where either is empty."""
    label = text_of(name).rstrip(" :")[:300]
    text = text_of(value).lstrip(": ")[:MAX_LINE]
    return Specification(group=text_of(group)[:300], name=label, value=text) if label and text else None


def available(value: object) -> Availability | None:
    """What a text or schema.org value says about availability; None where it says nothing."""
    text = text_of(value).lower()
    if _OUT.search(text):
        return "out_of_stock"
    return "in_stock" if _IN.search(text) else None


def currency(value: object) -> str | None:
    """ISO 4217 code of a code or a symbol."""
    text = text_of(value)
    return _CURRENCY_OF.get(text) or (text if _CODE.fullmatch(text) else None)


def identifier(view: View, value: object) -> str | None:
    """A product id of the site: the text itself, or the id in the address that it is."""
    text = text_of(value)
    if any(pattern.fullmatch(text) for pattern in view.data.id_patterns):
        return text
    for pattern in view.data.id_in_url:
        match = pattern.search(text[:4_000])
        if match:
            return match[1]
    return None


def breadcrumbs(nodes: Iterable[object], title: str) -> list[str]:
    """The category path of a schema.org BreadcrumbList, without the home page and without the product itself."""
    for node in nodes:
        if not isinstance(node, dict) or not embedded.is_type(node, "BreadcrumbList"):
            continue
        names = [text_of(name) for item in embedded.dig(node, "itemListElement.*") if (name := _crumb(item))]
        if names:
            return without_ends(names, title)
    return []


def _crumb(item: object) -> object:
    found = embedded.dig(item, "item.name") or embedded.dig(item, "name")
    return found[0] if found else None


def without_ends(names: list[str], title: str) -> list[str]:
    """Crumbs without a leading "Home" and a trailing product title."""
    crumbs = [name for name in names if name]
    if crumbs and crumbs[0].lower() in ("home", "flipkart", "myntra", "amazon.in"):
        crumbs = crumbs[1:]
    if crumbs and title and (crumbs[-1] == title or crumbs[-1].startswith(title[:60])):
        crumbs = crumbs[:-1]
    return crumbs


def fill_common(view: View, draft: Draft) -> None:
    """The fields that every site's facts tell in the same way."""
    draft.title = view.text("title")
    draft.brand = view.text("brand")
    draft.price = view.first("price", price_of)
    marked = view.first("mrp", price_of)
    draft.mrp = marked.low if marked else None
    priced = draft.price or marked
    if priced:
        draft.currency = priced.currency or view.first("currency", currency) or ""
    draft.rating = view.first("rating", rating_of)
    draft.ratings_count = view.first("ratings_count", count_of)
    draft.availability = view.first("availability", available) or ""
    draft.seller = view.text("seller")
    draft.bullets = view.every("bullets", text_of)
    draft.description = view.first("description", paragraphs_of) or ""
