"""Goods into pages, by generation of markup: 1 the oldest, 3 the newest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from .goods import Goods, asin, fsn, grouped, rupees

PAGES = Path(__file__).parent / "pages"
GENERATIONS = (1, 2, 3)
_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(PAGES), autoescape=True, undefined=jinja2.StrictUndefined
)


def script_json(value: Any) -> Markup:
    """JSON that may stand in a script, also between single quotes."""
    text = json.dumps(value, ensure_ascii=False)
    for character in "<>&'":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def short(number: int) -> str:
    """How Myntra shortens counts: 1.2k. Loses what it drops."""
    return f"{number / 1000:.1f}k" if number >= 1000 else str(number)


def product_page(site: str, goods: Goods, generation: int, base: str = "http://shop.test") -> str:
    """The page of a product."""
    template = _ENVIRONMENT.get_template(f"{site}/product_{generation}.html")
    extra = {"amazon": _amazon, "flipkart": _flipkart, "myntra": _myntra}[site](goods, generation, base)
    return template.render(g=goods, base=base, **_helpers(), **extra)


def search_page(
    site: str,
    goods: Sequence[Goods],
    generation: int,
    *,
    base: str = "http://shop.test",
    query: str = "earrings",
    here: str = "",
    next_url: str = "",
    page: int = 1,
    total: int = 0,
    infinite: str = "",
) -> str:
    """A page of search results; `infinite` is the script of a page that grows when scrolled."""
    template = _ENVIRONMENT.get_template(f"{site}/search_{generation}.html")
    state: dict[str, Any] = {}
    if site == "flipkart":
        state = _flipkart_search(goods, page, bool(next_url))
    elif site == "myntra":
        results = [{"productId": int(g.style), "landingPageUrl": f"e/{g.style}/buy", "price": 1} for g in goods]
        found = {"products": results[2:], "plaProducts": results[:2], "totalCount": total}
        state = {"searchData": {"results": found | {"hasNextPage": bool(next_url), "products": results}}}
    return template.render(
        goods=goods,
        base=base,
        query=query,
        here=here,
        next=next_url,
        infinite=Markup(infinite),
        search_state=script_json(state),
        **_helpers(),
    )


def captcha(site: str) -> str:
    return (PAGES / f"captcha_{site}.html").read_text()


def _helpers() -> dict[str, Any]:
    return {
        "rupees": rupees,
        "grouped": grouped,
        "short": short,
        "asin": asin,
        "fsn": fsn,
        "paise": lambda amount: rupees(amount) if amount % 1 else rupees(amount) + ".00",
        "whole": lambda amount: rupees(Decimal(int(amount))),
        "cents": lambda amount: f"{amount:.2f}"[-2:] if amount % 1 else "",
    }


def picture_names(site: str, goods: Goods) -> list[str]:
    return [f"7{place}{site[:3]}{goods.number:04d}" for place in range(goods.pictures)]


def _crumbs(goods: Goods, *, with_product: bool) -> Markup:
    names = ["Home", *goods.category, *([goods.title] if with_product else [])]
    items = [
        {"@type": "ListItem", "position": place, "item": {"@id": f"http://x/{place}", "name": name}}
        for place, name in enumerate(names, 1)
    ]
    return script_json(items)


def _amazon(goods: Goods, generation: int, base: str) -> dict[str, Any]:
    def address(name: str, size: str) -> str:
        return f"{base}/images/I/{name}.{size}.jpg"

    def gallery(names: Sequence[str]) -> Markup:
        items: list[dict[str, Any]] = [
            {
                "hiRes": address(name, "_SL1500_") if place != 1 else None,
                "thumb": address(name, "_SR38,50_"),
                "large": address(name, "_SX395_"),
                "main": {address(name, "_SX425_"): [425, 425], address(name, "_SX679_"): [679, 679]},
                "variant": "MAIN" if place == 0 else f"PT0{place}",
            }
            for place, name in enumerate(names)
        ]
        return script_json(items)

    sizes = {size: [side, side] for size, side in (("_SX425_", 425), ("_SX679_", 679), ("_SX342_", 342))}
    videos = [{"url": f"{base}/videos/{goods.asin}.mp4", "title": "Seen"}] if goods.video else []
    offers = {
        "desktop_buybox_group_1": [
            {"displayPrice": f"₹{rupees(goods.price)}", "priceAmount": float(goods.price), "currencySymbol": "₹"}
        ]
    }
    return {
        "pictures": picture_names("amazon", goods),
        "gallery": gallery,
        "dynamic": lambda name: json.dumps({address(name, size): area for size, area in sizes.items()}),
        "videos": script_json(videos),
        "buying": json.dumps(offers, ensure_ascii=False),
        "twister": script_json({asin(number): [colour] for number, colour in goods.colours}),
        "crumbs": _crumbs(goods, with_product=False),
    }


def _flipkart(goods: Goods, generation: int, base: str) -> dict[str, Any]:
    groups: dict[str, list[tuple[str, str]]] = {}
    for group, name, value in goods.specifications:
        groups.setdefault(group, []).append((name, value))
    pictures = picture_names("flipkart", goods)
    ld: dict[str, Any] = {
        "@context": "http://schema.org",
        "@type": "Product",
        "name": goods.title,
        "sku": goods.fsn,
        "image": [f"{base}/image/416/416/xif0q/jewel/{name}.jpeg?q=70" for name in pictures],
        "brand": {"@type": "Brand", "name": goods.brand},
        "offers": {
            "@type": "Offer",
            "price": float(goods.price),
            "priceCurrency": "INR",
            "availability": f"https://schema.org/{'InStock' if goods.in_stock else 'OutOfStock'}",
            "seller": {"@type": "Organization", "name": goods.seller},
        },
        "description": goods.description.replace("\n", " "),
    }
    if goods.rating:
        ld["aggregateRating"] = {"@type": "AggregateRating", "ratingValue": goods.rating, "reviewCount": 7}
        ld["aggregateRating"]["ratingCount"] = goods.ratings_count
    return {
        "pictures": pictures,
        "groups": list(groups.items()),
        "product_ld": script_json(ld),
        "crumbs": _crumbs(goods, with_product=True),
        "state_1": script_json(_flipkart_state(goods, base, pictures, groups)),
    }


def _flipkart_state(
    goods: Goods, base: str, pictures: list[str], groups: dict[str, list[tuple[str, str]]]
) -> dict[str, Any]:
    prices: list[dict[str, Any]] = [{"priceType": "SPECIAL_PRICE", "value": float(goods.price), "strikeOff": False}]
    if goods.mrp:
        prices.insert(0, {"priceType": "MRP", "value": float(goods.mrp), "strikeOff": True, "decimalValue": "x"})
    media = [
        {"value": {"contentType": "IMAGE", "url": f"{base}/image/{{@width}}/{{@height}}/{name}.jpeg?q={{@quality}}"}}
        for name in pictures
    ]
    if goods.video:
        media.append({"value": {"contentType": "VIDEO", "url": f"{base}/videos/{goods.fsn}.mp4"}})
    context: dict[str, Any] = {
        "productId": goods.fsn,
        "itemId": goods.itm,
        "brand": goods.brand,
        "titles": {"title": goods.title, "subtitle": "Pack of 1"},
        "pricing": {
            "finalPrice": {"value": int(goods.price), "decimalValue": f"{goods.price:.2f}", "currency": "INR"},
            "prices": prices,
        },
        "rating": {"average": goods.rating or 0, "count": goods.ratings_count or 0, "base": 5},
        "trackingDataV2": {"sellerName": goods.seller, "productStatus": "current"},
        "fdpEventTracking": {
            "events": {"psi": {"pls": {"availabilityStatus": "IN_STOCK" if goods.in_stock else "OUT_OF_STOCK"}}}
        },
        "analyticsData": {"category": "Jewellery", "vertical": "x"},
    }
    specification = [
        {"value": {"key": group, "attributes": [{"name": name, "values": [value]} for name, value in rows]}}
        for group, rows in groups.items()
    ]
    swatch: dict[str, Any] = {
        "attributes": [{"text": "Colour", "id": "color"}],
        "attributeOptions": [[{"value": colour} for _, colour in goods.colours]],
        "products": {fsn(number): {"attributeIndexes": [place]} for place, (number, _) in enumerate(goods.colours)},
    }

    def widget(kind: str, **data: Any) -> dict[str, Any]:
        return {"slotType": "WIDGET", "widget": {"type": kind, "data": data}}

    slots = [
        widget("MULTIMEDIA", multimediaComponents=media),
        widget("PRODUCT_PAGE_SUMMARY", titleComponent={"value": {"title": goods.title, "superTitle": goods.brand}}),
        widget("HIGHLIGHTS", highlights={"data": [{"value": {"text": text}} for text in goods.bullets]}),
        widget("PRODUCT_DESCRIPTION", description={"value": {"text": goods.description}}),
        widget("PRODUCT_SPECIFICATION", renderableComponents=specification),
    ]
    if goods.colours:
        slots.append(widget("COMPOSED_SWATCH", swatchComponent={"value": swatch}))
    crumbs = json.loads(str(_crumbs(goods, with_product=True)))
    seo = {"schema": [{"@type": "BreadcrumbList", "itemListElement": crumbs}]}
    page = {"data": {"10001": slots[:1], "10002": slots[1:]}, "pageData": {"pageContext": context, "seoData": seo}}
    return {"pageDataV4": {"page": page}}


def _flipkart_search(goods: Sequence[Goods], page: int, more: bool) -> dict[str, Any]:
    products = [
        {
            "productInfo": {
                "value": {"id": g.fsn, "titles": {"title": g.title}},
                "action": {"url": f"/slug-z/p/{g.itm}?pid={g.fsn}&lid=L3&otracker=search"},
            }
        }
        for g in goods
    ]
    slots: list[dict[str, Any]] = [{"widget": {"type": "PRODUCT_SUMMARY", "data": {"products": products}}}]
    slots.append({"widget": {"data": {"currentPage": page, "totalPages": page + more}}})
    return {"pageDataV4": {"page": {"data": {"10003": slots}}}}


def _myntra(goods: Goods, generation: int, base: str) -> dict[str, Any]:
    pictures = picture_names("myntra", goods)
    template = f"{base}/h_($height),q_($qualityPercentage),w_($width)/v1/assets/images/"
    details = [
        {
            "title": "Product Details",
            "description": str(Markup.escape(goods.description)).replace("\n", "<br>")
            + "<ul>"
            + "".join(f"<li>{Markup.escape(text)}</li>" for text in goods.bullets)
            + "</ul>",
        },
        {"title": "Material & Care", "description": "Wipe with a dry cloth"},
    ]
    state: dict[str, Any] = {
        "id": int(goods.style),
        "name": goods.title,
        "mrp": float(goods.mrp or goods.price),
        "brand": {"name": goods.brand},
        "price": {"mrp": float(goods.mrp or goods.price), "discounted": float(goods.price)},
        "analytics": {
            "articleType": goods.kind,
            "subCategory": "Fashion Jewellery",
            "masterCategory": "Jewellery",
            "gender": "Women",
        },
        "media": {"albums": [{"name": "default", "images": [{"secureSrc": f"{template}{p}.jpg"} for p in pictures]}]},
        "ratings": {"averageRating": goods.rating or 0, "totalCount": goods.ratings_count or 0},
        "productDetails": details,
        "articleAttributes": {name: value for _, name, value in goods.specifications} | {"Stone Type": "NA"},
        "sizes": [{"label": "Onesize", "available": goods.in_stock, "skuId": 1}],
        "colours": [{"label": colour, "styleId": 10_000_000 + number} for number, colour in goods.colours] or None,
        "sellers": [{"sellerName": goods.seller, "displayName": goods.seller}],
        "flags": {"outOfStock": not goods.in_stock},
    }
    if goods.video:
        state["media"]["videos"] = [{"url": f"{base}/videos/{goods.style}.mp4"}]
    newer = state | {
        "mrp": float(goods.mrp or goods.price),
        "price": None,
        "brand": None,
        "flags": {},
        "descriptors": [{"title": "description", "description": details[0]["description"]}],
        "sizes": [
            {"label": "Onesize", "available": goods.in_stock, "sizeSellerData": [{"discountedPrice": int(goods.price)}]}
        ],
        "selectedSeller": {"displayName": goods.seller, "discountedPrice": float(goods.price)},
        "manufacturer": "Alya Works, Mumbai",
    }
    newer["analytics"] = state["analytics"] | {"brand": goods.brand}
    del newer["productDetails"], newer["sellers"]
    ld = {
        "@context": "https://schema.org/",
        "@type": "Product",
        "name": goods.title,
        "sku": goods.style,
        "image": f"{base}/h_720,q_90,w_540/v1/assets/images/{pictures[0]}.jpg",
        "offers": {"@type": "Offer", "priceCurrency": "INR", "price": str(goods.price), "availability": "InStock"},
    }
    return {
        "pictures": pictures,
        "state_1": script_json({"pdpData": state, "pageName": "Pdp"}),
        "state_2": script_json({"pdpData": newer}),
        "product_ld": script_json(ld),
        "crumbs": _crumbs(goods, with_product=True),
    }
