"""Which value goes into a cell when several are known. The order is declared here and nowhere else.

What all products of a request share (constants, the seller's profile, values given for all) is decided once; a
product costs only what it says itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import marketplaces
from exporter_service import profiles
from exporter_service.model import Product, Role, SellerValue, Source, Value

PRECEDENCE = (
    "sku",
    "fixed",  # declared fixed in the marketplace's data, some of them to stay empty
    "family",  # columns that tie variations together
    "person",  # said by a person about this product
    "request_sku",  # seller's values of the request for this SKU
    "request",  # seller's values of the request for all
    "images",  # addresses of the pictures
    "profile",  # seller's profile of the website
    "copy",  # title, bullet points, description
    "vision",  # read from the picture, or following from it
    "rule",  # follows from another cell
    "constant",  # constants of the marketplace's data
    "doubtful",  # read from the picture without confidence: better than nothing, not better than a constant
)
CONFIDENT = 0.5
"""A value from a picture below this confidence is doubtful."""

_PLACE = {rank: place for place, rank in enumerate(PRECEDENCE)}
_LAST = len(PRECEDENCE)


class Candidate(NamedTuple):
    """A value that may go into a cell; several values where the field takes several, none to empty it."""

    values: tuple[str, ...]
    rank: str
    source: Source
    value: Value | None = None


@dataclass(frozen=True, slots=True)
class Merged:
    """What won where a product differs from what all share, by field, and the names of values that no field took."""

    cells: Mapping[str, Candidate]
    dropped: tuple[str, ...]


class Merger:
    """Merges products of one request."""

    def __init__(
        self,
        listing: marketplaces.Listing,
        seller_values: Iterable[SellerValue],
        profile: Mapping[str, str],
        group_id: Callable[[str], str] = str,
    ) -> None:
        """`profile` holds the seller's values of the website by field; `group_id` gives a family the id that the
        marketplace wants for it."""
        self._listing = listing
        self._group_id = group_id
        self._fields = {field.name: field for field in listing.fields}
        self._by_sku: dict[str, dict[str, str]] = {}
        for value in seller_values:
            self._by_sku.setdefault(value.sku, {})[value.name] = value.value
        for_all = self._by_sku.pop("", {})
        self._unknown = self._nowhere(for_all)
        best = self._layers(for_all, profile)
        self._floor = {name: _PLACE[best[name].rank] if name in best else _LAST for name in self._fields}
        self._multi = {field.name for field in listing.fields if field.multi}
        # A field that is fixed to stay empty keeps others out and has no cell.
        self.shared = {name: candidate for name, candidate in best.items() if any(candidate.values)}
        self._emptied = [name for name in listing.variation.parent_omits if name in self._fields]

    def merge(self, product: Product) -> Merged:
        """Merges all that is known about a product by `PRECEDENCE`."""
        own: dict[str, Candidate] = {}
        dropped = list(self._unknown)
        floor = self._floor
        for name, candidate in self._said(product, dropped):
            place = _PLACE[candidate.rank]
            # Of equals, what was said first wins, and what is the same for all comes before that.
            if place < floor[name] and (name not in own or place < _PLACE[own[name].rank]):
                own[name] = candidate
        self._read(product.fields, own, dropped)
        self._follow_rules(own)
        if product.variation.role is Role.PARENT:
            for name in self._emptied:
                if name in self.shared:
                    own[name] = Candidate((), "family", Source.RULE)
                else:
                    own.pop(name, None)
        return Merged(own, tuple(dict.fromkeys(dropped)))

    def optional(self, product: Product, own: Mapping[str, Candidate]) -> set[str]:
        """Fields that need not be filled for this product although the marketplace wants them."""
        found: set[str] = set()
        if product.variation.role is Role.PARENT:
            found |= set(self._listing.variation.parent_omits)
        for rule in self._listing.rules:
            if rule.optional and self._holds(rule, own):
                found |= set(rule.optional)
        return found

    def _layers(self, for_all: Mapping[str, str], profile: Mapping[str, str]) -> dict[str, Candidate]:
        """The strongest of what is the same for all products, by field."""
        listing = self._listing
        layers = (
            {f.name: self._constant(f, "fixed") for f in listing.fields if f.fixed},
            self._seller("request", profiles.by_field(listing, for_all)),
            self._seller("profile", profile),
            {f.name: self._constant(f, "constant") for f in listing.fields if f.default and not f.fixed},
        )
        best: dict[str, Candidate] = {}
        for layer in layers:
            for name, candidate in layer.items():
                # An empty value wins only where the data declares the field to stay empty.
                if name not in best and (candidate.rank == "fixed" or _said_something(candidate.values)):
                    best[name] = candidate
        return best

    def _said(self, product: Product, dropped: list[str]) -> Iterator[tuple[str, Candidate]]:
        """All that is said about one product; what stands in its own place comes before the same among the fields."""
        listing = self._listing
        yield listing.sku, Candidate((product.sku,), "sku", Source.SELLER)
        yield from self._family(product)
        yield from self._said_for_sku(product.sku, dropped)
        for name, url in zip(listing.images, product.image_urls, strict=False):
            if url.strip():
                yield name, Candidate((url,), "images", Source.SELLER)
        for name, text in _copy(listing, product):
            if text.strip():
                yield name, Candidate((text,), "copy", Source.COPY)
        for name in listing.sku_copies:
            yield name, Candidate((product.sku,), "constant", Source.RULE)

    def _said_for_sku(self, sku: str, dropped: list[str]) -> Iterator[tuple[str, Candidate]]:
        named = self._by_sku.get(sku)
        if named:
            dropped += self._nowhere(named)
            for name, candidate in self._seller("request_sku", profiles.by_field(self._listing, named)).items():
                if _said_something(candidate.values):
                    yield name, candidate

    def _read(self, values: Iterable[Value], own: dict[str, Candidate], dropped: list[str]) -> None:
        """Takes what stands among the fields; it comes after all that stands in its own place."""
        floors, multi, confident = self._floor, self._multi, CONFIDENT
        for value in values:
            name, texts = value.field, value.values
            floor = floors.get(name)
            if floor is None:
                if any(texts):
                    dropped.append(name)
                continue
            if name in multi and len(texts) == 1:
                texts = _split(self._listing, self._fields[name], texts[0])
            rank = _RANKS.get(value.source) or ("vision" if value.confidence >= confident else "doubtful")
            place = _PLACE[rank]
            if place < floor and (name not in own or place < _PLACE[own[name].rank]) and _said_something(texts):
                own[name] = Candidate(texts, rank, value.source, value)

    def _follow_rules(self, own: dict[str, Candidate]) -> None:
        weaker = _PLACE["rule"]
        for rule in self._listing.rules:
            if rule.set and self._holds(rule, own):
                for name, text in rule.set.items():
                    there = own.get(name) or self.shared.get(name)
                    if there is None or _PLACE[there.rank] >= weaker:
                        own[name] = Candidate((text,), "rule", Source.RULE)

    def _holds(self, rule: marketplaces.Rule, own: Mapping[str, Candidate]) -> bool:
        there = own.get(rule.field) or self.shared.get(rule.field)
        return there is not None and bool(there.values) and there.values[0] in rule.values

    def _family(self, product: Product) -> Iterator[tuple[str, Candidate]]:
        rules, family = self._listing.variation, product.variation
        if family.role is Role.ALONE and not family.group_id:
            return
        parent = family.role is Role.PARENT
        group = family.group_id or family.parent_sku
        texts = [
            (rules.role_field, rules.parent_value if parent else rules.child_value),
            (rules.theme_field, rules.themes.get(family.theme, "")),
            (rules.group_field, self._group_id(group) if group and rules.group_field else ""),
        ]
        if not parent:
            texts += [
                (rules.parent_sku_field, family.parent_sku),
                (rules.relationship_field, rules.relationship_value),
                (rules.size_field, family.size),
                (rules.color_field, family.color),
            ]
        for name, text in texts:
            if text.strip() and name in self._fields:
                yield name, Candidate((text,), "family", Source.SELLER)

    def _constant(self, field: marketplaces.Field, rank: str) -> Candidate:
        return Candidate(_split(self._listing, field, field.default), rank, Source.CONSTANT)

    def _seller(self, rank: str, values: Mapping[str, str]) -> dict[str, Candidate]:
        fields = ((self._listing.field(name), text) for name, text in values.items())
        return {f.name: Candidate(_split(self._listing, f, text), rank, Source.SELLER) for f, text in fields}

    def _nowhere(self, named: Mapping[str, str]) -> list[str]:
        """Names that neither this marketplace nor a profile has."""
        return [name for name in named if name not in self._fields and name not in _profile_names()]


def _said_something(texts: tuple[str, ...]) -> bool:
    if len(texts) == 1:
        return bool(texts[0].strip())
    return any(text.strip() for text in texts)


@lru_cache(maxsize=1)
def _profile_names() -> frozenset[str]:
    """Profile names of all marketplaces: a value for another one is no mistake."""
    listings = (marketplaces.load(code) for code in marketplaces.CODES)
    return frozenset(field.profile for listing in listings for field in listing.fields)


_RANKS = {
    Source.PERSON: "person",
    Source.SELLER: "request_sku",
    Source.COPY: "copy",
    Source.CONSTANT: "constant",
}


def _copy(listing: marketplaces.Listing, product: Product) -> Iterator[tuple[str, str]]:
    rules, copy = listing.copy, product.copy
    yield from zip(rules.bullet_fields, copy.bullet_points, strict=False)
    if rules.title_field:
        yield rules.title_field, copy.title
    if rules.description_field:
        yield rules.description_field, copy.description


def _split(listing: marketplaces.Listing, field: marketplaces.Field, text: str) -> tuple[str, ...]:
    if field.multi and listing.separator in text:
        return tuple(part.strip() for part in text.split(listing.separator) if part.strip())
    return (text,)
