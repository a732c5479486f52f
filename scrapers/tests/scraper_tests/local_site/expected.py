"""What a parser must find on each page: the goods again, in the site's terms. Written apart from the parsers."""

from __future__ import annotations

from typing import Any

from scrapers.record import Specification, Variant

from .goods import Goods, asin, fsn
from .render import picture_names, short

# Which generation lacks what: real pages of those years do not show it either.
LACKS: dict[tuple[str, int], set[str]] = {
    ("amazon", 1): set(),
    ("amazon", 2): set(),
    ("amazon", 3): {"videos"},
    ("flipkart", 1): set(),
    ("flipkart", 2): {"videos"},
    ("flipkart", 3): {"brand", "videos", "bullets", "description", "variants"},
    ("myntra", 1): set(),
    ("myntra", 2): set(),
    ("myntra", 3): {"videos", "colours"},
}


def expected(site: str, goods: Goods, generation: int, base: str = "http://shop.test") -> dict[str, Any]:
    """Field by field, without url, scraped_at and parser_version."""
    fields: dict[str, Any] = {
        "site": site,
        "title": goods.title,
        "brand": goods.brand,
        "price": goods.price,
        "price_to": None,
        "mrp": goods.mrp,
        "currency": "INR",
        "rating": goods.rating,
        "ratings_count": goods.ratings_count,
        "availability": "in_stock" if goods.in_stock else "out_of_stock",
        "seller": goods.seller,
        "bullets": goods.bullets,
        "description": goods.description,
        "category_path": goods.category,
        "alternate_id": "",
    }
    fields |= {"amazon": _amazon, "flipkart": _flipkart, "myntra": _myntra}[site](goods, generation, base)
    if goods.ratings_count is None and (site, generation) in (("flipkart", 1), ("myntra", 1), ("myntra", 2)):
        fields["ratings_count"] = 0  # these states say so, instead of leaving it out
    lacks = LACKS[site, generation]
    for name in lacks & fields.keys():
        fields[name] = () if isinstance(fields[name], tuple) else ""
    return fields


def _amazon(goods: Goods, generation: int, base: str) -> dict[str, Any]:
    rows = [Specification(name=name, value=value) for _, name, value in goods.specifications]
    if generation < 3:
        rows.append(Specification(name="ASIN", value=goods.asin))
    if generation == 2:
        rows.insert(0, Specification(name="Brand", value=goods.brand))

    def largest(place: int, name: str) -> str:
        # The second picture of the scripts has no hiRes form: its original is the address without modifiers.
        original = generation == 3 or place == 1
        return f"{base}/images/I/{name}.jpg" if original else f"{base}/images/I/{name}._SL1500_.jpg"

    return {
        "product_id": goods.asin,
        "alternate_id": goods.parent_asin if goods.colours else "",
        "specifications": tuple(rows),
        "images": tuple(largest(place, name) for place, name in enumerate(picture_names("amazon", goods))),
        "videos": (f"{base}/videos/{goods.asin}.mp4",) if goods.video else (),
        "variants": tuple(
            Variant(
                product_id=asin(number),
                options=(("Color" if generation == 3 else "Colour", colour),),
                available=False if generation == 3 and place == len(goods.colours) - 1 else None,
            )
            for place, (number, colour) in enumerate(goods.colours)
        ),
    }


def _flipkart(goods: Goods, generation: int, base: str) -> dict[str, Any]:
    names = picture_names("flipkart", goods)
    folder = "" if generation == 1 else "xif0q/jewel/"
    quality = "?q=100"
    variants = tuple(
        Variant(product_id=fsn(number), options=(("Colour" if generation == 1 else "Color", colour),))
        for number, colour in goods.colours
    )
    fields: dict[str, Any] = {
        "product_id": goods.fsn,
        "alternate_id": goods.itm,
        "specifications": tuple(
            Specification(group=group if generation == 1 else "", name=name, value=value)
            for group, name, value in goods.specifications
        ),
        "images": tuple(f"{base}/image/1920/1920/{folder}{name}.jpeg{quality}" for name in names),
        "videos": (f"{base}/videos/{goods.fsn}.mp4",) if goods.video else (),
        "variants": variants,
    }
    if generation == 2:
        fields["description"] = goods.description.replace("\n", " ")  # JSON-LD has it on one line
    return fields


def _myntra(goods: Goods, generation: int, base: str) -> dict[str, Any]:
    rows = [Specification(name=name, value=value) for _, name, value in goods.specifications]
    if generation == 2:
        rows.append(Specification(name="Manufacturer", value="Alya Works, Mumbai"))
    price = goods.price // 1 if generation == 2 else None
    size = Variant(options=(("Size", "Onesize"),), available=goods.in_stock, price=price)
    colours = tuple(
        Variant(product_id=str(10_000_000 + number), options=(("Colour", colour),)) for number, colour in goods.colours
    )
    description = "\n".join([goods.description, *goods.bullets])
    if generation == 1:
        description += "\nMaterial & Care: Wipe with a dry cloth"
    fields: dict[str, Any] = {
        "product_id": goods.style,
        "specifications": tuple(rows),
        # A page without a struck-out price says that the MRP is the price, where it says anything.
        "mrp": goods.mrp or (goods.price if generation < 3 else None),
        "images": tuple(
            f"{base}/h_1440,q_100,w_1080/v1/assets/images/{name}.jpg" for name in picture_names("myntra", goods)
        ),
        "videos": (f"{base}/videos/{goods.style}.mp4",) if goods.video else (),
        "variants": (*(() if generation == 3 else colours), size),
        "description": description,
        "category_path": goods.category,
    }
    if generation == 3 and goods.ratings_count and goods.ratings_count >= 1000:
        fields["ratings_count"] = round(float(short(goods.ratings_count).removesuffix("k")) * 1000)
    return fields
