"""Products as this service knows them, made from the records of a source."""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

from semantic_service import values
from semantic_service.mapping import FieldMapping, all_values, first_value, folded

# Longer texts add nothing to a product's meaning; models cut them anyway.
MAX_TITLE = 300
MAX_DESCRIPTION = 2_000
MAX_DETAIL = 200
MAX_DETAILS = 40
# Ids travel in requests and answers.
MAX_ID = 128
# A source with thousands of broken products is told by its first ones.
MAX_PROBLEMS = 200

_TAG = re.compile(r"<[^<>]{1,300}>")
_SPACE = re.compile(r"\s+")
# Changed when `embedding_text` changes, so that every product is embedded again.
_TEXT_VERSION = "1"

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Product:
    """A product of the shop.

    Attributes:
        id: Id in the shop's catalogue.
        title: Name for people.
        description: Plain text; may be empty.
        category: As the shop says it; may be empty.
        kind: What the shop says beside the category: product type, sub-category.
        price: Rupees; None when the shop does not say.
        date: yyyymmdd; None when the shop does not say.
        color: Every colour that the shop says, in lower case, joined by commas.
        audience: For whom, in lower case, joined by commas.
        in_stock: Whether it can be bought.
        details: Further words of the shop: material, stones, occasion, tags.
    """

    id: str
    title: str
    description: str
    category: str
    kind: str
    price: float | None
    date: int | None
    color: str
    audience: str
    in_stock: bool
    details: tuple[str, ...]

    def embedding_text(self) -> str:
        """The text whose vector stands for the product; price, date and stock have no part in it."""
        parts = (self.title, self.category, self.kind, self.color, self.audience, ", ".join(self.details))
        return ". ".join(part for part in (*parts, self.description) if part)

    def content_digest(self, salt: str) -> str:
        """Hash of everything; `salt` names what else the stored form depends on."""
        return _digest([salt, asdict(self)])

    def text_digest(self) -> str:
        """Hash of what is embedded."""
        return _digest([_TEXT_VERSION, self.embedding_text()])


@dataclass(frozen=True, slots=True)
class Reading:
    """Products of a source, how many records were skipped, and a sentence per problem."""

    products: tuple[Product, ...]
    skipped: int
    problems: tuple[str, ...]


class Unusable(ValueError):
    """A record that cannot become a product; the message is a clause for people."""


def read(records: Sequence[object], mapping: FieldMapping) -> Reading:
    """Makes products of records; a broken one is skipped and named, its neighbours stay."""
    products: dict[str, Product] = {}
    problems: list[str] = []
    skipped = 0
    for number, written in enumerate(records, start=1):
        notes: list[str] = []
        record: object = None
        try:
            record = _folded(written)
            product = make(record, mapping, notes)
            if product.id in products:
                raise Unusable("its id came before; the first product with it is kept")
            products[product.id] = product
        except Unusable as error:
            skipped += 1
            notes = [f"{error}; skipped"]
        name = _name(record, mapping, number)
        problems.extend(f"{name}: {note}" for note in notes)
    return Reading(tuple(products.values()), skipped, tuple(shortened(problems)))


def make(record: object, mapping: FieldMapping, notes: list[str]) -> Product:
    """A product of one folded record; what cannot be understood is left empty and told in `notes`.

    Raises:
        Unusable: The record is no object, or has no id or no words.
    """
    if not isinstance(record, dict):
        raise Unusable("it is not an object")
    identity = _scalar(first_value(record, mapping.first["id"]))
    if not identity:
        raise Unusable("it has no id")
    if len(identity) > MAX_ID:
        raise Unusable(f"its id is longer than {MAX_ID} characters")
    title = _text(first_value(record, mapping.first["title"]), MAX_TITLE)
    description = _text(first_value(record, mapping.first["description"]), MAX_DESCRIPTION)
    if not title and not description:
        raise Unusable("it has neither a title nor a description")
    in_stock = _understood("stock", values.stock, all_values(record, mapping.first["in_stock"]), notes)
    return Product(
        id=identity,
        title=title or description[:80],
        description=description,
        category=_text(first_value(record, mapping.first["category"]), MAX_DETAIL),
        kind=_joined(all_values(record, mapping.all["kind"])),
        price=_understood("price", values.price, all_values(record, mapping.first["price"]), notes),
        date=_understood(
            "date",
            lambda value: values.day(value, day_first=mapping.source.day_first),
            all_values(record, mapping.first["date"]),
            notes,
        ),
        color=_joined(all_values(record, mapping.all["color"])).lower(),
        audience=_joined(all_values(record, mapping.all["audience"])).lower(),
        in_stock=mapping.source.in_stock_default if in_stock is None else in_stock,
        details=_distinct(all_values(record, mapping.all["details"])),
    )


def _folded(record: object) -> object:
    try:
        return folded(record)
    except RecursionError:
        raise Unusable("it is nested too deeply") from None


def shortened(problems: Sequence[str]) -> list[str]:
    """The first problems, and one sentence for those that are left out."""
    if len(problems) <= MAX_PROBLEMS:
        return list(problems)
    return [*problems[:MAX_PROBLEMS], f"{len(problems) - MAX_PROBLEMS} more problems of the same source are not listed"]


def _understood(
    field: str, convert: Callable[[object], Value | None], found: Iterable[object], notes: list[str]
) -> Value | None:
    """The first of the values that says something; what cannot be understood is told and passed over."""
    for value in found:
        try:
            understood = convert(value)
        except ValueError as error:
            notes.append(f"its {field} {str(value)[:40]!r} {error}; passed over")
            continue
        if understood is not None:
            return understood
    return None


def _name(record: object, mapping: FieldMapping, number: int) -> str:
    identity = _scalar(first_value(record, mapping.first["id"])) if isinstance(record, dict) else ""
    return f"product {identity[:MAX_ID]}" if identity else f"record {number}"


def _scalar(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if values.is_nothing(value) else str(value).strip()


def _text(value: object, limit: int) -> str:
    """Plain text of a value: tags and entities of HTML resolved, white space folded, cut to `limit`."""
    if isinstance(value, list):
        value = ", ".join(_scalar(element) for element in value)
    plain = html.unescape(_TAG.sub(" ", _scalar(value)[: limit * 4]))
    return _SPACE.sub(" ", plain).strip()[:limit].rstrip()


def _distinct(found: Iterable[object]) -> tuple[str, ...]:
    seen: dict[str, str] = {}
    for value in found:
        for element in value if isinstance(value, list) else [value]:
            text = _text(element, MAX_DETAIL)
            if text and not values.is_nothing(text):
                seen.setdefault(text.lower(), text)
    return tuple(seen.values())[:MAX_DETAILS]


def _joined(found: Iterable[object]) -> str:
    return ", ".join(_distinct(found))


def _digest(content: object) -> str:
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
