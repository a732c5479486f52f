"""The goods of the local shops: what the pages are rendered from, and what the parsers must find again."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

BRANDS = ("Alya", "Blysk", "O'Neil & Sons", "स्वर्ण Jewels", "Zaveri Pearls")
KINDS = ("Earrings", "Necklace", "Bracelet", "Ring")
COLOURS = ("Gold", "Silver", "Rose Gold")
TRICKY_TITLES = {
    1: 'Kundan "Bridal" Necklace <Set> & Earrings – 22" chain',
    2: '=HYPERLINK("http://bad.example","Gold") Jhumka',
    3: "@SUM(1+1) स्वर्ण Jhumka Earrings",
}
PRICES = (Decimal(299), Decimal("1234.50"), Decimal(123456), Decimal(1099), Decimal(499))


@dataclass(frozen=True)
class Goods:
    """One product, before any site's markup."""

    number: int
    title: str
    brand: str
    kind: str
    price: Decimal
    mrp: Decimal | None
    rating: float | None
    ratings_count: int | None
    in_stock: bool
    seller: str
    bullets: tuple[str, ...]
    description: str
    specifications: tuple[tuple[str, str, str], ...]
    category: tuple[str, ...]
    pictures: int
    video: bool
    colours: tuple[tuple[int, str], ...] = field(default=())

    @property
    def asin(self) -> str:
        return asin(self.number)

    @property
    def parent_asin(self) -> str:
        return f"B0PARENT{self.number % 100:02d}"

    @property
    def fsn(self) -> str:
        return fsn(self.number)

    @property
    def itm(self) -> str:
        return f"itm{self.number:013x}"

    @property
    def style(self) -> str:
        return str(10_000_000 + self.number)


def asin(number: int) -> str:
    return f"B0TEST{number:04d}"


def fsn(number: int) -> str:
    return f"JWLTESTFSN{number:06d}"


def goods(number: int) -> Goods:
    """Product `number`, always the same; every case that pages have turns up among the first dozen."""
    kind = KINDS[number % 4]
    brand = BRANDS[number % 5]
    price = PRICES[number % 5]
    metal = COLOURS[number % 3]
    rated = number % 6 != 5
    return Goods(
        number=number,
        title=TRICKY_TITLES.get(number, f"{brand} {metal} Plated {kind} for Women {number}"),
        brand=brand,
        kind=kind,
        price=price,
        mrp=None if number % 5 == 4 else price * 2,
        rating=round(3 + (number % 20) / 10, 1) if rated else None,
        ratings_count=(number * 37) % 90_000 + 1 if rated else None,
        in_stock=number % 7 != 3,
        seller=("RetailNet", "Alya Jewels & Co")[number % 2],
        bullets=(
            f"Material: Brass with {metal.lower()} plating",
            "Nickel & lead free – “skin friendly”",
            f"Design {number}: 5 < 6 stones",
        ),
        description=f"Hand-made {kind.lower()} no. {number}.\nWear it on festive days & weddings.",
        specifications=(
            ("General", "Model Number", f"ALY-{number:04d}"),
            ("General", "Base Material", "Brass"),
            ("General", "Plating", metal),
            ("Dimensions", "Weight", f"{number % 40 + 5} g"),
        ),
        category=("Jewellery", "Fashion Jewellery", kind),
        pictures=number % 4 + 1,
        video=number % 4 == 2,
        colours=tuple((number + 1_000 * place, colour) for place, colour in enumerate(COLOURS)) if number % 2 else (),
    )


def rupees(amount: Decimal) -> str:
    """In Indian grouping: 1,23,456.50."""
    whole, _, paise = f"{amount:.2f}".partition(".")
    head, tail = whole[:-3], whole[-3:]
    groups: list[str] = []
    while head:
        groups.insert(0, head[-2:])
        head = head[:-2]
    return ",".join([*groups, tail]) + ("" if paise == "00" else f".{paise}")


def grouped(number: int) -> str:
    return rupees(Decimal(number))
