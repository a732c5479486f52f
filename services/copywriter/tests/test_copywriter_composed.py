"""Composed copy: keeps every rule, says only what the attributes say, and differs as far as they do."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest

import marketplaces
from copywriter_service.adapters.composed import ComposedWriter, compose
from copywriter_service.adapters.writer import Ask
from copywriter_service.domain import Attribute, CopyText, Order, Part
from copywriter_service.facts import facts_of
from copywriter_service.rulebook import rules_for
from copywriter_service.rules import check
from servicekit import errors

SAMPLES = Path(__file__).parents[3] / "samples" / "products.csv"
CODES = {"earrings": "ama_ear", "necklaces": "ama_nec", "bracelets": "ama_bra"}


def composed(code: str, attributes: tuple[Attribute, ...] = (), **changes: object) -> CopyText:
    order = Order(code, attributes=attributes, **changes)  # type: ignore[arg-type]
    rules = rules_for(code, "en-IN")
    return compose(Ask(order, rules, rules.parts))


def some_attributes(code: str, seed: int) -> tuple[Attribute, ...]:
    """Every field that has options filled at random: claims, odd spellings and nonsense included."""
    chance = random.Random(seed)
    return tuple(
        Attribute(field.name, (chance.choice(field.options),))
        for field in marketplaces.load(code).vision_fields
        if field.options and chance.random() < 0.7
    )


@pytest.mark.parametrize("code", marketplaces.CODES)
@pytest.mark.parametrize("brand", ["Alya Jewels", "", "Best Seller Real Gold!"])
def test_composed_copy_has_no_findings(code: str, brand: str) -> None:
    rules = rules_for(code, "en-IN")
    for seed in range(25):
        copy = composed(code, some_attributes(code, seed), brand=brand)
        assert check(copy, rules) == []
        assert set(copy.parts()) == set(rules.parts)
    bare = composed(code, brand=brand)
    assert check(bare, rules) == []
    assert set(bare.parts()) == set(rules.parts)
    assert rules.category.removesuffix("s") in bare.description.casefold()


def test_it_says_what_the_attributes_say_and_nothing_else() -> None:
    copy = composed(
        "fli_ear",
        (
            Attribute("Type", ("Stud Earring",)), Attribute("Metal Color", ("Gold",)), Attribute("Gemstone", ("Ruby",)),
            Attribute("Number of Gemstones", ("12",)), Attribute("Earring Shape", ("Floral",)),
            Attribute("Height (mm)", ("17",)), Attribute("Pearl Type", ("NA",)), Attribute("Finish", ("matte",), 0.2),
        ),
        brand="Alya Jewels",
    )  # fmt: skip
    assert copy.description == (
        "These stud earrings from Alya Jewels come in gold tone. They are set with 12 ruby-look stones. "
        "The motif is floral. One piece is 17 mm high."
    )


def test_precious_materials_are_named_only_where_the_seller_vouches_for_them() -> None:
    attributes = (Attribute("Base Metal", ("Pure 925 Sterling Silver",)), Attribute("Stone Type", ("Ruby",)))
    silent = composed("mee_ear", attributes).description.casefold()
    assert "silver" not in silent
    assert "ruby-look" in silent
    spoken = composed("mee_ear", attributes, seller_claims=("pure 925 sterling silver", "natural ruby")).description
    assert "925 sterling silver" in spoken
    assert "ruby stones" in spoken
    rules = rules_for("mee_ear", "en-IN")
    assert check(CopyText(description=spoken), rules, ("925 sterling silver", "natural ruby")) == []


def test_meanings_are_understood_beside_field_names() -> None:
    order = Order("ama_bra", attributes=(Attribute("metal_color", ("Rose Gold",)), Attribute("closure", ("Lobster",))))
    facts = facts_of(order, rules_for("ama_bra", "en-IN"))
    assert facts["look"] == "rose gold tone"
    assert facts["closure"] == "lobster"


def test_the_sample_products_get_different_texts() -> None:
    with SAMPLES.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["category"] in CODES]
    texts: dict[tuple[str, ...], set[str]] = {}
    for row in rows:
        names = ("product_type", "metal_color", "stone_type", "stone_color", "stone_shape", "stone_count", "motif")
        concepts = ("jewelry_type", "metal_color", "stone_type", "stone_color", "stone_shape", "stone_count", "theme")
        attributes = tuple(Attribute(concept, (row[name],)) for name, concept in zip(names, concepts, strict=True))
        copy = composed(CODES[row["category"]], attributes, brand="Alya Jewels")
        assert check(copy, rules_for(CODES[row["category"]], "en-IN")) == []
        texts.setdefault((row["category"], *(row[name] for name in names)), set()).add(copy.title + copy.description)
    assert len(rows) > 20
    assert all(len(found) == 1 for found in texts.values())
    assert len({next(iter(found)) for found in texts.values()}) >= 0.9 * len(texts)


async def test_other_languages_need_a_model(make_order: object) -> None:
    rules = rules_for("mee_ear", "hi-IN")
    with pytest.raises(errors.FailedPrecondition) as caught:
        await ComposedWriter("no key").write(Ask(Order("mee_ear"), rules, (Part.TITLE,)), lambda: 1.0)
    assert caught.value.reason == "COPY_NEEDS_MODEL"
