"""What attributes say about a product, in words for running text. Nothing is added that no attribute says."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import marketplaces
from copywriter_service.domain import Attribute, Order
from copywriter_service.matching import fold
from copywriter_service.rulebook import DATA, Rules

# Below this confidence, which 0 leaves open, a value is a guess and no fact.
LEAST_CONFIDENCE = 0.4

# More would be a list of everything.
MOST_OCCASIONS = 3

# What one piece is called where the category is a plural.
_ONE_PIECE = {"earrings": "earring"}
# Facts that are their values and nothing more.
_PLAIN = (
    "motif", "trend", "style", "collection", "ornament", "closure", "back", "finish", "sizing", "chain", "setting",
    "length_class", "wearer",
)  # fmt: skip
_PLAIN_SHAPES = ("round", "oval", "square", "rectangular", "triangular", "hexagonal", "octagonal", "irregular")
_UNITS = {"millimetres": "mm", "centimetres": "cm", "inches": "inches"}


@lru_cache(maxsize=1)
def wording() -> dict[str, Any]:
    """`data/composed.toml`."""
    with (DATA / "composed.toml").open("rb") as file:
        return tomllib.load(file)


def is_plural(category: str) -> bool:
    """Whether the category's noun is a plural: a pair of earrings is spoken of as "these"."""
    return category.endswith("s")


def facts_of(order: Order, rules: Rules) -> dict[str, str]:
    """Facts by name, such as `kind`, `look`, `stones`, `size`; only those that are known.

    Materials and stones that would be a claim are named only where the seller vouches for them; an unproven stone
    is named by its look.
    """
    known = _by_concept(order, rules)
    vouched = " ".join(fold(claim).text for claim in order.seller_claims)
    data = wording()
    raw = {
        name: next((known[concept] for concept in concepts if concept in known), ())
        for name, concepts in data["concepts"].items()
    }
    facts = {
        "kind": _kind(raw["kind"], rules.category),
        "brand": order.brand.strip(),
        "look": _look(raw["metal"], raw["colour"]),
        "colour": _small(raw["colour"]) if raw["metal"] and raw["colour"] != raw["metal"] else "",
        "plating": _plating(raw["plating"]),
        "material": _listed(value for value in raw["material"] if _sayable(value, vouched)),
        "stones": _stones(raw, vouched),
        "stone_short": _stone_short(raw),
        "pearls": _pearls(raw),
        "occasion": _listed(raw["occasion"][:MOST_OCCASIONS]),
        "size": _size(order, rules),
    }
    facts |= {name: _listed(raw[name]) for name in _PLAIN}
    if facts["trend"].casefold() in (facts["motif"].casefold(), facts["style"].casefold()):
        facts["trend"] = ""
    if not facts["sizing"] and any(value.casefold() == "yes" for value in raw["adjust"]):
        facts["sizing"] = "adjustable"
    return {name: text for name, text in facts.items() if text}


def _by_concept(order: Order, rules: Rules) -> Mapping[str, tuple[str, ...]]:
    listing = marketplaces.load(rules.code)
    concepts = {field.name: field.concept for field in listing.fields}
    empty = frozenset(wording()["empty_values"])
    known: dict[str, tuple[str, ...]] = {}
    for attribute in order.attributes:
        # A caller that knows no field names may send the meaning itself, such as `metal_color`.
        concept = concepts.get(attribute.field, attribute.field)
        values = tuple(" ".join(value.split()) for value in attribute.values)
        values = tuple(value for value in values if value and value.casefold() not in empty)
        if concept and values and not 0 < attribute.confidence < LEAST_CONFIDENCE:
            known[concept] = tuple(dict.fromkeys((*known.get(concept, ()), *values)))
    return known


def _kind(values: Sequence[str], category: str) -> str:
    """The noun with its kind, such as `stud earrings`; the category alone where the kind is not known."""
    one, noun = _ONE_PIECE.get(category, category), category
    if not values:
        return noun
    value = fold(values[0]).text
    found: str | None = wording()["kinds"].get(value)
    if found is None:
        value = " ".join(value.replace("&", " and ").split())
        bare = re.sub(rf"\b{one}s\b", one, value)
        found = value if one not in bare.split() else re.sub(rf"\b{one}\b", noun, bare)
        found = found if noun in found else f"{found.removesuffix('s')} {noun}"
    return found


def _look(metal: Sequence[str], colour: Sequence[str]) -> str:
    if metal:
        text = _small(metal[:1])
        return f"{text} tone" if text.split()[-1].casefold() in wording()["metals"]["names"] else text
    return _small(colour)


def _plating(values: Sequence[str]) -> str:
    """`Gold Plated - Matte` is a plating of matte gold."""
    text = _small(values[:1])
    matte = "matte " if re.search(r"\bmatte$", text) else ""
    return matte + re.sub(r"[ -]+(plated|matte)\b", "", text) if text else ""


def _stones(raw: Mapping[str, tuple[str, ...]], vouched: str) -> str:
    """Such as `12 pear-shaped red CZ stones`; empty without a stone type or colour."""
    names = [_stone_name(value, vouched) for value in raw["stone"]]
    colour = _small(raw["stone_colour"][:1])
    if not names and not colour:
        return ""
    count = next((value for value in raw["stone_count"] if value.isdigit() and int(value) > 0), "")
    shape = _small(raw["stone_shape"][:1])
    shape = shape if not shape or shape in _PLAIN_SHAPES else f"{shape}-shaped"
    name = _joined(names) if names else "stones"
    if count == "1":
        name = name.removesuffix("s")
    return " ".join(filter(None, (count, shape, colour, name)))


def _stone_name(value: str, vouched: str) -> str:
    text = _small([value])
    if fold(value).text in wording()["precious"]["stones"] and not _sayable(value, vouched):
        text = f"{text}-look stones"
    if text.casefold() in ("cz", "ad"):
        text = text.upper()
    return text if re.search(r"(stone|bead|crystal|rhinestone|pearl|work)s?$", text) else f"{text} stones"


def _stone_short(raw: Mapping[str, tuple[str, ...]]) -> str:
    """For titles: the stones' colour, or their type where it is no claim."""
    if raw["stone_colour"]:
        return f"{_small(raw['stone_colour'][:1])} stone"
    precious = wording()["precious"]["stones"]
    return next((_small([value]) for value in raw["stone"] if fold(value).text not in precious), "")


def _pearls(raw: Mapping[str, tuple[str, ...]]) -> str:
    colour, shape = _small(raw["pearl_colour"][:1]), _small(raw["pearl_shape"][:1])
    count = next((value for value in raw["pearl_count"] if value.isdigit() and int(value) > 1), "")
    if not (colour or shape or count):
        return ""
    return " ".join(filter(None, (count, shape, colour, "pearl-look beads")))


def _size(order: Order, rules: Rules) -> str:
    """Such as `17 mm high and 9 mm wide`; only where the field says its unit."""
    listing = marketplaces.load(rules.code)
    fields = {field.name: field for field in listing.fields}
    found: list[str] = []
    for attribute in order.attributes:
        field = fields.get(attribute.field)
        word = wording()["sizes"].get(field.concept) if field else None
        if field is None or word is None or 0 < attribute.confidence < LEAST_CONFIDENCE:
            continue
        unit = next((short for name, short in _UNITS.items() if name in field.question), "")
        number = re.fullmatch(r"(\d{1,4}(?:\.\d{1,2})?)", attribute.values[0].strip()) if attribute.values else None
        if unit and number and float(number.group()) > 0:
            found.append(f"{number.group()} {unit} {word}")
    return _joined(found)


def _sayable(value: str, vouched: str) -> bool:
    """Whether a material or stone may be named: it is not precious, or the seller vouches for it."""
    text, precious = fold(value).text, wording()["precious"]
    return text not in (*precious["materials"], *precious["stones"]) or text in vouched


def _listed(values: Iterable[str]) -> str:
    return _joined([_small([value]) for value in values])


def _joined(texts: Sequence[str]) -> str:
    """`a, b and c`."""
    texts = list(dict.fromkeys(texts))
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}" if texts else ""


def _small(values: Sequence[str]) -> str:
    """The first values in small letters, but names and abbreviations as they are written."""
    proper = {name.casefold(): name for name in wording()["proper"]["names"]}
    words: list[str] = []
    spelling = wording()["spelling"]
    for word in _joined([*values]).replace("&", " and ").replace("_", " ").split():
        word = spelling.get(word.casefold(), word)
        if word.casefold() in proper:
            words.append(proper[word.casefold()])
        else:
            words.append(word if len(word) <= 3 and word.isupper() else word.lower())
    return " ".join(words)


def attributes_for_people(attributes: Iterable[Attribute], code: str) -> dict[str, list[str]]:
    """Attributes by the labels that people see; values that say nothing are left out."""
    labels = {field.name: field.label for field in marketplaces.load(code).fields}
    found: dict[str, list[str]] = {}
    for attribute in attributes:
        values = [value for value in attribute.values if value.strip()]
        if values:
            found.setdefault(labels.get(attribute.field, attribute.field), []).extend(values)
    return {label: list(dict.fromkeys(values)) for label, values in found.items()}
