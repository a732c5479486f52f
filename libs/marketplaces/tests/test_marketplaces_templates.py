"""Names that workbooks have for fields, and what else is known of the workbooks."""

from __future__ import annotations

import re

import pytest

import marketplaces
from marketplaces import Alias, Names, bare, folded

CODES = marketplaces.CODES


@pytest.mark.parametrize("code", CODES)
def test_every_field_is_found_by_its_own_name_and_label(code: str) -> None:
    listing = marketplaces.load(code)
    for field in (*listing.fields, *listing.extras):
        assert listing.names.by_name(field.name) == field.name
        assert field.name in listing.names.by_label(field.label)


@pytest.mark.parametrize("code", CODES)
def test_aliases_name_fields_that_there_are(code: str) -> None:
    listing = marketplaces.load(code)
    marketplace = [
        field.name
        for other in CODES
        if (each := marketplaces.load(other)).marketplace == listing.marketplace
        for field in (*each.fields, *each.extras)
    ]
    for alias in listing.aliases:
        assert alias.source, alias
        if "{" not in alias.field:
            assert alias.field in marketplace, alias
            found = listing.names.by_name(alias.alias)
            # A category that lacks the field does not find it under another name either.
            assert found in (alias.field, "") or alias.field not in {field.name for field in listing.fields}, alias


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("item_name[marketplace_id=A21TJRUUN4KGV][language_tag=en_IN]#1.value", "item_name"),
        ("bullet_point[marketplace_id=X][language_tag=en_IN]#7.value", "bullet_point7"),
        ("stones[marketplace_id=X]#1.creation_method.value", "stones_creation_method"),
        ("metals#1.metal_weight.unit", "metals_metal_weight_unit_of_measure"),
        ("unit_count[marketplace_id=X]#1.type[language_tag=en_IN].value", "unit_count_type"),
        ("purchasable_offer[marketplace_id=X][audience=ALL]#1.our_price#1.schedule#1.value_with_tax", "standard_price"),
        ("purchasable_offer[marketplace_id=X][audience=B2B]#1.our_price#1.schedule#1.value_with_tax", "business_price"),
        ("other_product_image_locator_8[marketplace_id=X]#1.media_location", "other_image_url8"),
        ("other_product_image_locator_9[marketplace_id=X]#1.media_location", ""),
        ("item_name#2.value", ""),
        ("ITEM_SKU", "item_sku"),
        ("Item SKU", "item_sku"),
        ("", ""),
        ("#1.value", ""),
    ],
)
def test_attribute_names_of_unified_templates(text: str, field: str) -> None:
    assert marketplaces.load("ama_ear").names.by_name(text) == field


@pytest.mark.parametrize(
    ("code", "text", "field"),
    [
        ("mee_ear", "\n\nImage 1 (Front)\n\nA clear picture", "Image 1 (Front)"),
        ("mee_ear", "image 1", "Image 1 (Front)"),
        ("mee_bra", "HSN Code", "HSN ID"),
        ("fli_ear", "* Seller SKU ID ", "Seller SKU ID"),
        ("fli_nec", "MRP", "MRP (INR)"),
        ("fli_bra", "Other Image URL3", "Other Image URL 3"),
        ("sho_ear", "Fulfilment by", "Fullfilment by"),
        ("fli_ear", "Brand Colour of Box", ""),
    ],
)
def test_labels_with_other_spellings(code: str, text: str, field: str) -> None:
    assert marketplaces.load(code).names.by_name(text) == field


def test_fields_that_share_a_label_come_in_order() -> None:
    names = marketplaces.load("ama_ear").names
    assert names.by_label("Bullet Point") == tuple(f"bullet_point{number}" for number in range(1, 11))
    assert names.by_label("occasion") == tuple(f"occasion_type{number}" for number in range(1, 6))


def test_a_name_that_could_be_two_is_none() -> None:
    names = Names({"a_b": "One", "a-b": "Two"}, [Alias(field="a_b", alias="{name} x")], ())
    assert (names.by_name("a_b"), names.by_name("a-b"), names.by_name("a b")) == ("a_b", "a-b", "")


def test_how_names_are_compared() -> None:
    assert folded("\n \n* Seller  SKU: \nhelp") == "seller sku"
    assert bare("Net Quantity (N)") == "net quantity n"


@pytest.mark.parametrize("code", CODES)
def test_what_is_known_of_workbooks(code: str) -> None:
    listing = marketplaces.load(code)
    rules = listing.template
    own = listing.layout.sheet
    assert any(re.fullmatch(pattern, own, re.IGNORECASE) for pattern in rules.sheets)
    assert not any(re.fullmatch(pattern, own, re.IGNORECASE) for pattern in rules.other_sheets)
    for pattern in (*rules.sheets, *rules.other_sheets, *rules.lists, *rules.markers.values(), rules.column_lists):
        re.compile(pattern)
    for field, values in listing.spellings.items():
        assert all(value and others for value, others in values.items()), field


@pytest.mark.parametrize("code", CODES)
def test_taxes(code: str) -> None:
    """The constants that are written unasked pass the check."""
    listing = marketplaces.load(code)
    default = listing.field(listing.tax.rate_field).default
    rate = listing.tax.rates[default]
    hsn = listing.field(listing.tax.hsn_field).default
    rates = [each.rates for each in listing.tax_rates if hsn.startswith(each.hsn)]
    assert rates == [(rate,)]
    options = listing.field(listing.tax.rate_field).options
    assert set(listing.tax.rates) <= set(options)
