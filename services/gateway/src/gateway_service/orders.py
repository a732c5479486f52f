"""From what a client sends to an order: both spellings, both forms, every mismatch named."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import marketplaces
from gateway_service.model import Order, Seller
from servicekit import errors

MAX_SKU = 100
MAX_URL = 4096
MAX_VALUE = 5000
MAX_VALUES = 200

# Values of the seller's that speak to the copywriter and the analyzer, not to a column.
_SPOKEN = ("brand_voice", "claims", "language", "notes", "by_sku")

Entries = str | Sequence[str | Sequence[str]]
Scalar = str | int | float | bool | None


def order(
    *,
    image_urls: Entries,
    skuids: Entries,
    marketplace_type: str,
    marketplace: str,
    product_type: str,
    website: str = "",
    template_id: str = "",
    run_id: str = "",
    seller: Mapping[str, object] | None = None,
    max_products: int,
    max_pictures: int,
) -> Order:
    """Understands a request for a workbook.

    Args:
        image_urls: A comma string or a list. Several pictures of one product are separated by `|`, or a list.
        skuids: A comma string or a list, as long as `image_urls`.

    Raises:
        errors.InvalidArgument: With the field that is wrong and what to do.
    """
    code = resolve_code(marketplace_type, marketplace, product_type)
    pictures = [_pictures(entry) for entry in _split_urls(image_urls)]
    skus = [_sku(entry) for entry in _split(skuids)]
    if not skus:
        raise _invalid("skuids", "send at least one SKU")
    if len(pictures) != len(skus):
        raise _invalid(
            "image_urls",
            f"there are {len(pictures)} image URLs and {len(skus)} SKUs; send one entry of each per product "
            "(several pictures of one product are separated by |)",
        )
    if len(skus) > max_products:
        raise _invalid("skuids", f"there are {len(skus)} products; at most {max_products} are taken in one request")
    repeated = sorted(sku for sku, count in Counter(skus).items() if count > 1)
    if repeated:
        raise _invalid("skuids", f"each SKU may come once; repeated: {', '.join(repeated[:10])}")
    for sku, urls in zip(skus, pictures, strict=True):
        if len(urls) > max_pictures:
            raise _invalid("image_urls", f"{sku} has {len(urls)} pictures; at most {max_pictures} are taken")
    return Order(
        code=code,
        products=tuple(zip(skus, pictures, strict=True)),
        website=website.strip(),
        template_id=template_id.strip(),
        run_id=run_id.strip(),
        seller=_seller(seller or {}, skus),
    )


def resolve_code(marketplace_type: str, marketplace: str = "", product_type: str = "") -> str:
    """One of the ten codes, from the code itself or from a marketplace and a kind of product, such as amazon, earrings.

    Raises:
        errors.InvalidArgument: There is no such code; the sentence lists them.
    """
    code, kind = marketplace_type.strip().lower(), product_type.strip().lower()
    # `marketplace_type` may also hold the name of the marketplace alone.
    market = marketplace.strip().lower() or code
    named = _names()
    found = code if code in named else next((known for known, names in named.items() if names.match(market, kind)), "")
    if not found:
        said = marketplace_type or " ".join(part for part in (marketplace, product_type) if part) or "nothing"
        raise errors.InvalidArgument(
            f"there is no marketplace code for {said[:60]!r}; use one of {', '.join(named)}",
            reason="MARKETPLACE_UNKNOWN",
            fields={"marketplace_type": f"must be one of {', '.join(named)}"},
        )
    _refuse_contradiction(found, marketplace.strip().lower(), kind)
    return found


@dataclass(frozen=True)
class _Names:
    """What a marketplace and its kind of product may be called."""

    markets: frozenset[str]
    kinds: frozenset[str]

    def match(self, market: str, kind: str) -> bool:
        return market in self.markets and kind in self.kinds


@lru_cache(maxsize=1)
def _names() -> Mapping[str, _Names]:
    """Names by code, from the marketplaces' data."""
    found = {}
    for code in marketplaces.CODES:
        listing = marketplaces.load(code)
        prefix, _, suffix = code.partition("_")
        singular = listing.category.removesuffix("s")
        found[code] = _Names(
            markets=frozenset({prefix, listing.marketplace, listing.name.lower()}),
            kinds=frozenset({suffix, singular, f"{singular}s"}),
        )
    return found


def _refuse_contradiction(code: str, market: str, kind: str) -> None:
    """A known name that belongs to another code is a mistake; an unknown one may be the client's own word."""
    named = _names()
    every_market = frozenset().union(*(names.markets for names in named.values()))
    every_kind = frozenset().union(*(names.kinds for names in named.values()))
    if (market in every_market and market not in named[code].markets) or (
        kind in every_kind and kind not in named[code].kinds
    ):
        said = " ".join(part for part in (market, kind) if part)
        raise _invalid("marketplace_type", f"{code} does not go with {said}; send what belongs together")


def split_list(given: Entries) -> list[str]:
    """Entries of a comma string or of a list, blanks around them taken off; empty ones at the end are dropped."""
    return [str(entry) for entry in _split(given)]


def split_addresses(given: Entries) -> list[str]:
    """As `split_list`, for addresses: a comma inside of one does not split it."""
    return [str(entry) for entry in _split_urls(given)]


def _split(given: Entries) -> list[str | Sequence[str]]:
    entries: list[str | Sequence[str]] = list(given.split(",")) if isinstance(given, str) else list(given)
    stripped = [entry.strip() if isinstance(entry, str) else entry for entry in entries]
    while stripped and not stripped[-1]:
        stripped.pop()
    return stripped


def _split_urls(given: Entries) -> list[str | Sequence[str]]:
    if not isinstance(given, str):
        return _split(given)
    # A comma may belong to an address (an image server's w_200,h_300): there only one before a scheme separates.
    if re.match(r"\s*https?://", given, re.IGNORECASE) and "," in given:
        pieces = re.split(r",(?=\s*(?:https?://|$|,))", given, flags=re.IGNORECASE)
        return _split(pieces)
    return _split(given)


def _pictures(entry: str | Sequence[str]) -> tuple[str, ...]:
    urls = entry.split("|") if isinstance(entry, str) else entry
    cleaned = tuple(url.strip() for url in urls if url.strip())
    if any(len(url) > MAX_URL for url in cleaned):
        raise _invalid("image_urls", f"an address is longer than {MAX_URL} characters")
    return cleaned


def _sku(entry: str | Sequence[str]) -> str:
    if not isinstance(entry, str):
        raise _invalid("skuids", "each SKU is a text")
    if not entry:
        raise _invalid("skuids", "a SKU is empty")
    if len(entry) > MAX_SKU or any(unicodedata.category(letter).startswith("C") for letter in entry):
        raise _invalid("skuids", f"a SKU has at most {MAX_SKU} characters and no control characters: {entry[:40]!r}")
    return entry


def _seller(given: Mapping[str, object], skus: Sequence[str]) -> Seller:
    by_sku = given.get("by_sku") or {}
    if not isinstance(by_sku, Mapping):
        raise _invalid("seller", "by_sku maps SKUs to values")
    unknown = sorted(str(sku) for sku in by_sku if sku not in skus)
    if unknown:
        raise _invalid("seller", f"by_sku names SKUs that are not in skuids: {', '.join(unknown[:10])}")
    per_sku = {str(sku): _mapping(values) for sku, values in by_sku.items()}
    values = _values(given)
    claims = given.get("claims") or ()
    return Seller(
        values=values,
        values_by_sku={sku: _values(said) for sku, said in per_sku.items()},
        brand=values.get("brand", ""),
        brand_voice=_text("brand_voice", given.get("brand_voice")),
        claims=tuple(split_list(claims)) if isinstance(claims, str | list | tuple) else (),
        language=_text("language", given.get("language")),
        notes=_text("notes", given.get("notes")),
        notes_by_sku={sku: _text("notes", said.get("notes")) for sku, said in per_sku.items() if said.get("notes")},
    )


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise _invalid("seller", "by_sku maps each SKU to its values")
    return value


def _values(given: Mapping[str, object]) -> dict[str, str]:
    if len(given) > MAX_VALUES:
        raise _invalid("seller", f"at most {MAX_VALUES} values are taken")
    values = {name: _text(name, value) for name, value in given.items() if name not in _SPOKEN}
    return {name: value for name, value in values.items() if value}


def _text(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if not isinstance(value, str | int | float):
        raise _invalid("seller", f"{name[:60]} must be a text or a number")
    text = str(value).strip()
    if len(text) > MAX_VALUE:
        raise _invalid("seller", f"{name[:60]} is longer than {MAX_VALUE} characters")
    if any("\ud800" <= letter <= "\udfff" for letter in name + text):
        raise _invalid("seller", "a name or value holds half a character; send valid Unicode")
    return text


def _invalid(field: str, sentence: str) -> errors.InvalidArgument:
    return errors.InvalidArgument(sentence, fields={field: sentence})
