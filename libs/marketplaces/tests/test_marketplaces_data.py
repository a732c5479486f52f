"""The data that comes with the package."""

from __future__ import annotations

import re

import pytest

import marketplaces

COUNTS = {
    "ama_ear": (267, 44),
    "ama_nec": (270, 21),
    "ama_bra": (268, 30),
    "fli_ear": (139, 31),
    "fli_nec": (113, 36),
    "fli_bra": (98, 32),
    "mee_ear": (44, 8),
    "mee_nec": (47, 8),
    "mee_bra": (53, 9),
    "sho_ear": (139, 31),
}


def test_the_ten_codes() -> None:
    assert tuple(COUNTS) == marketplaces.CODES


@pytest.mark.parametrize("code", COUNTS)
def test_counts_and_roles(code: str) -> None:
    listing = marketplaces.load(code)
    assert (len(listing.fields), len(listing.vision_fields)) == COUNTS[code]
    assert listing.sku_field in listing.fields
    assert listing.copy_fields
    assert listing.image_fields[0].required


@pytest.mark.parametrize("code", COUNTS)
def test_vision_fields_can_be_asked(code: str) -> None:
    for field in marketplaces.load(code).vision_fields:
        assert field.concept, field.name
        assert field.question.endswith((".", "?")), field.name
        assert "{" not in field.question, field.name
        assert len(field.question) < 200, field.name


@pytest.mark.parametrize("code", COUNTS)
def test_every_field_tells_how_sure_it_is(code: str) -> None:
    for field in marketplaces.load(code).fields:
        assert field.confidence in {"seen", "inferred"}, field.name
        assert field.source, field.name


@pytest.mark.parametrize("code", COUNTS)
def test_constants_carry_no_placeholder_and_no_price(code: str) -> None:
    listing = marketplaces.load(code)
    for field in listing.fields:
        assert not field.default.startswith("<"), field.name
    for name in (listing.price, listing.mrp):
        assert listing.field(name).default == ""


@pytest.mark.parametrize("code", COUNTS)
def test_seller_questions_have_a_profile_name(code: str) -> None:
    """What only the seller knows has one name for all marketplaces."""
    listing = marketplaces.load(code)
    profiled = {field.profile for field in listing.fields if field.profile}
    assert {"brand", "mrp", "price", "stock", "hsn"} <= profiled
    by_name = {field.name: field for field in listing.fields}
    for name in profiled & set(by_name):
        assert by_name[name].profile == name, "a profile name must not be another field's technical name"
    for field in listing.fields:
        assert re.fullmatch(r"[a-z_]*", field.profile), field.name
        assert re.fullmatch(r"[a-z_]*", field.concept), field.name


def test_copy_rules() -> None:
    amazon = marketplaces.load("ama_ear").copy
    assert (amazon.title_max, amazon.title_limit, amazon.bullets_wanted) == (160, 200, 10)
    flipkart = marketplaces.load("fli_nec").copy
    assert flipkart.title_field is None
    assert (flipkart.bullet_fields, flipkart.description_field) == ((), "Description")
    meesho = marketplaces.load("mee_bra").copy
    assert (meesho.title_field, meesho.bullet_fields) == ("Product Name", ())
    assert {"real gold", "925", "hallmarked", "natural diamond"} <= set(amazon.claims)
    assert "free shipping" in amazon.promotional
    assert "!" in amazon.forbidden_characters


def test_shopsy_takes_flipkarts_fields() -> None:
    flipkart, shopsy = marketplaces.load("fli_ear"), marketplaces.load("sho_ear")
    assert [f.name for f in flipkart.fields] == [f.name for f in shopsy.fields]
    assert [f.question for f in flipkart.fields] == [f.question for f in shopsy.fields]
    assert {f.confidence for f in shopsy.fields} == {"inferred"}


def test_meesho_bracelet_has_closure_and_color_apart() -> None:
    listing = marketplaces.load("mee_bra")
    assert listing.field("Closure").concept == "closure"
    assert listing.field("Color").concept == "color"


def test_several_values() -> None:
    listing = marketplaces.load("fli_ear")
    assert listing.separator == "::"
    assert listing.field("Key Features").multi
    assert listing.field("Key Features").max_values == 5
    assert listing.field("Ideal For").default == "Girls::Women"
    assert not any(field.multi for field in marketplaces.load("ama_ear").fields)


@pytest.mark.parametrize("code", COUNTS)
def test_layout_has_room_for_its_header(code: str) -> None:
    layout = marketplaces.load(code).layout
    assert layout.data_row == max(row.row for row in layout.rows) + 1
    assert 0 < len(layout.sheet) <= 31
    assert layout.last_list_row > layout.data_row
