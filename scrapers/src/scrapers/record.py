"""The one record that every site's pages become."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

# Goes up when a parser reads a page differently than before; stands in every record.
PARSER_VERSION = "1.0"

SiteName = Literal["amazon", "flipkart", "myntra"]
SITE_NAMES: tuple[SiteName, ...] = ("amazon", "flipkart", "myntra")
Availability = Literal["", "in_stock", "out_of_stock"]
Money = Annotated[Decimal, Field(gt=0, max_digits=12, decimal_places=2)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Specification(_Frozen):
    """One row of a specification table; `group` is its heading, where the page has any."""

    group: str = ""
    name: str
    value: str


class Variant(_Frozen):
    """A sibling of the product: another colour or size.

    `product_id` is its own id, empty where the site has none (Myntra's sizes); `options` are pairs such as
    ("Colour", "Gold"); `available` is None where the page does not say.
    """

    product_id: str = ""
    options: tuple[tuple[str, str], ...]
    available: bool | None = None
    price: Money | None = None


class Record(_Frozen):
    """A product as its page showed it. What the page did not show is empty (None, "" or ()), never guessed.

    `price` is what a buyer pays now and `price_to` the upper end where the page names a range; `mrp` is the struck-out
    maximum retail price. Money is in `currency` (ISO 4217), `rating` in stars up to 5. `alternate_id` is the site's
    second id: Amazon's parent ASIN, Flipkart's item id (itm...). `images` are the largest forms that the page names.
    """

    site: SiteName
    product_id: str
    alternate_id: str = ""
    url: str
    title: str = ""
    brand: str = ""
    price: Money | None = None
    price_to: Money | None = None
    mrp: Money | None = None
    currency: str = ""
    rating: Annotated[float, Field(gt=0, le=5)] | None = None
    ratings_count: Annotated[int, Field(ge=0)] | None = None
    availability: Availability = ""
    seller: str = ""
    bullets: tuple[str, ...] = ()
    description: str = ""
    specifications: tuple[Specification, ...] = ()
    category_path: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    videos: tuple[str, ...] = ()
    variants: tuple[Variant, ...] = ()
    scraped_at: datetime | None = None
    parser_version: str = PARSER_VERSION

    @property
    def recognised(self) -> bool:
        """True when the page was a product page: it has an id and a title."""
        return bool(self.product_id and self.title)


# What the canary and the tests go through; the rest is known without the page.
PAGE_FIELDS = (
    "product_id",
    "alternate_id",
    "title",
    "brand",
    "price",
    "mrp",
    "currency",
    "rating",
    "ratings_count",
    "availability",
    "seller",
    "bullets",
    "description",
    "specifications",
    "category_path",
    "images",
    "videos",
    "variants",
)
