"""Merging and checking: which value wins, and what is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import pytest

import marketplaces
from exporter_service.addresses import url_problem
from exporter_service.checking import Checker
from exporter_service.merging import PRECEDENCE, Merger
from exporter_service.model import (
    Copy,
    Finding,
    Product,
    Role,
    Row,
    SellerValue,
    Severity,
    Source,
    Value,
    Variation,
)
from exporter_service.profiles import Profiles, by_field
from exporter_service.settings import PROFILES
from exporter_service.settling import rules_of
from exporter_service.suggesting import nearest, number_within
from exporter_service.templates import Templates
from servicekit import errors

FLIPKART = marketplaces.load("fli_ear")
AMAZON = marketplaces.load("ama_ear")
MEESHO = marketplaces.load("mee_bra")

Check = Callable[..., "Checked"]


@dataclass(frozen=True)
class Checked:
    """A row, and all its cells: text and step of the precedence that won."""

    row: Row
    cells: Mapping[str, Cell]

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self.row.findings

    @property
    def dropped(self) -> tuple[str, ...]:
        return self.row.dropped


class Cell(NamedTuple):
    text: str
    rank: str


@pytest.fixture
async def check(templates: Templates) -> Check:
    columns = {listing.code: (await templates.choose(listing.code)).by_key for listing in (FLIPKART, AMAZON, MEESHO)}
    columns["mee_ear"] = (await templates.choose("mee_ear")).by_key

    def run(
        listing: marketplaces.Listing,
        *values: Value,
        seller: tuple[SellerValue, ...] = (),
        profile: Mapping[str, str] | None = None,
        **product: object,
    ) -> Checked:
        whole = Product("S-1", fields=values, **product)  # type: ignore[arg-type]
        merger = Merger(listing, seller, by_field(listing, profile or {}))
        checker = Checker(listing, columns[listing.code], merger, rules_of(listing, columns[listing.code]))
        row = checker.check(whole, merger.merge(whole))
        origins = checker.shared_origins | dict(row.origins)
        texts = checker.whole(row)
        return Checked(row, {name: Cell(text, origins[name][0]) for name, text in texts.items()})

    return run


def rules(row: Checked, field: str) -> list[str]:
    return [finding.rule for finding in row.findings if finding.field == field]


def finding(row: Checked, field: str, rule: str) -> Finding:
    return next(each for each in row.findings if (each.field, each.rule) == (field, rule))


def test_the_declared_order(check: Check) -> None:
    """Each step of the precedence takes the cell from all that come after it."""
    said = {
        "person": {"values": [Value("Color", ("Aqua",), Source.PERSON, 0.0)]},
        "request_sku": {"seller": [SellerValue("Color", "Beige", "S-1"), SellerValue("Color", "Grey", "S-2")]},
        "request": {"seller": [SellerValue("Color", "Black")]},
        "profile": {"profile": {"Color": "Blue"}},
        "copy": {"values": [Value("Color", ("Bronze",), Source.COPY)]},
        "vision": {"values": [Value("Color", ("Brown",), Source.IMAGE, 0.5)]},
        "constant": {"values": [Value("Color", ("Copper",), Source.CONSTANT)]},
        "doubtful": {"values": [Value("Color", ("Gold",), Source.IMAGE, 0.49)]},
    }
    assert list(said) == [rank for rank in PRECEDENCE if rank in said]
    ranks = list(said)
    winners = []
    for number in range(len(ranks)):
        left = [said[rank] for rank in ranks[number:]]
        row = check(
            FLIPKART,
            *(value for each in left for value in each.get("values", [])),  # type: ignore[attr-defined]
            seller=tuple(value for each in left for value in each.get("seller", [])),  # type: ignore[attr-defined]
            profile={k: v for each in left for k, v in each.get("profile", {}).items()},  # type: ignore[attr-defined]
        )
        winners.append((row.cells["Color"].text, row.cells["Color"].rank))
    texts = ["Aqua", "Beige", "Black", "Blue", "Bronze", "Brown", "Copper", "Gold"]
    assert winners == list(zip(texts, ranks, strict=True))


def test_a_constant_never_overwrites_what_was_seen_with_confidence(check: Check) -> None:
    seen = check(FLIPKART, Value("Plating", ("Rhodium",), Source.IMAGE, 0.8))
    guessed = check(FLIPKART, Value("Plating", ("Rhodium",), Source.IMAGE, 0.2))
    assert (seen.cells["Plating"].text, guessed.cells["Plating"].text) == ("Rhodium", "NA")


def test_a_declared_fixed_value_wins_over_everybody(check: Check) -> None:
    row = check(
        AMAZON,
        Value("feed_product_type", ("necklace",), Source.PERSON),
        seller=(SellerValue("feed_product_type", "bracelet"),),
    )
    assert row.cells["feed_product_type"].text == "earrings"
    row = check(FLIPKART, Value("Catalog QC Status", ("Passed",), Source.PERSON))
    assert "Catalog QC Status" not in row.cells


def test_a_value_outside_its_list_is_never_written(check: Check) -> None:
    row = check(FLIPKART, Value("Color", ("Goldish",), Source.IMAGE, 0.9))
    assert "Color" not in row.cells
    found = finding(row, "Color", "allowed_values")
    assert (found.severity, found.suggestion) == (Severity.ERROR, "Gold")
    assert "required" in rules(row, "Color")


def test_a_refused_value_is_not_replaced_by_the_constant(check: Check) -> None:
    row = check(FLIPKART, Value("Plating", ("Unobtainium",), Source.IMAGE, 0.9))
    assert "Plating" not in row.cells


def test_the_suggestion_of_whoever_answered_comes_first(check: Check) -> None:
    row = check(FLIPKART, Value("Color", ("Goldish",), Source.IMAGE, 0.9, suggestions=("Tin", "Rose Gold")))
    assert finding(row, "Color", "allowed_values").suggestion == "Rose Gold"


def test_spelling_follows_the_list(check: Check) -> None:
    row = check(FLIPKART, Value("Color", (" rose  GOLD ",), Source.IMAGE, 0.9))
    assert row.cells["Color"].text == "Rose Gold"


def test_several_values_are_joined_or_cut(check: Check) -> None:
    many = tuple(f"feature {number}" for number in range(7))
    row = check(
        FLIPKART, Value("Key Features", many, Source.IMAGE, 0.9), Value("Color", ("Gold", "Silver"), confidence=0.9)
    )
    assert row.cells["Key Features"].text == "::".join(many[:5])
    assert row.cells["Color"].text == "Gold"
    assert rules(row, "Key Features") == rules(row, "Color") == ["max_values"]
    row = check(FLIPKART, seller=(SellerValue("Ideal For", "women::Girls"),))
    assert row.cells["Ideal For"].text == "Women::Girls"


@pytest.mark.parametrize(
    ("text", "suggestion"), [("₹ 1,299.00", "1299"), ("about 5", "5"), ("many", ""), ("1-2", ""), ("007", "7")]
)
def test_a_price_is_a_number(check: Check, text: str, suggestion: str) -> None:
    row = check(FLIPKART, seller=(SellerValue("price", text),))
    found = finding(row, "Your selling price (INR)", "number")
    assert found.suggestion == suggestion
    assert "Your selling price (INR)" not in row.cells


def test_a_count_is_a_whole_number(check: Check) -> None:
    row = check(FLIPKART, seller=(SellerValue("stock", "2.5"), SellerValue("mrp", "0")))
    assert rules(row, "Stock")[0] == "number"
    assert "number" in rules(row, "MRP (INR)")


@pytest.mark.parametrize(
    ("code", "price", "mrp", "found"),
    [
        ("fli_ear", "600", "599", True),
        ("fli_ear", "599", "599", False),
        ("mee_ear", "599", "599", True),
        ("mee_ear", "5", "9", False),
    ],
)
def test_the_price_against_the_mrp(check: Check, code: str, price: str, mrp: str, found: bool) -> None:
    listing = marketplaces.load(code)
    row = check(listing, seller=(SellerValue("price", price), SellerValue("mrp", mrp)))
    assert ("price_above_mrp" in rules(row, listing.price)) is found


def test_required_cells_and_how_sure_that_is(check: Check) -> None:
    row = check(AMAZON)
    assert finding(row, "brand_name", "required").severity is Severity.ERROR
    assert finding(row, "standard_price", "required").severity is Severity.WARNING  # the fact is inferred
    assert "image_url" in rules(row, "main_image_url")


def test_a_rule_makes_a_field_optional(check: Check) -> None:
    exempt = check(AMAZON, seller=(SellerValue("product_id_type", "GTIN Exempt"),))
    assert "required" in rules(check(AMAZON), "external_product_id")
    assert rules(exempt, "external_product_id") == []


def test_no_stones_fills_what_follows(check: Check) -> None:
    row = check(AMAZON, Value("stones_number_of_stones", ("0",), Source.IMAGE, 0.9))
    assert (row.cells["stones_type"].text, row.cells["stones_type"].rank) == ("No Gemstone", "rule")
    row = check(
        AMAZON,
        Value("stones_number_of_stones", ("0",), Source.IMAGE, 0.9),
        Value("stones_type", ("Glass",), Source.PERSON),
    )
    assert row.cells["stones_type"].text == "Glass"


def test_lengths_in_the_marketplaces_unit(check: Check) -> None:
    row = check(AMAZON, Value("generic_keywords", ("é" * 120,), Source.IMAGE, 0.9), copy=Copy("word " * 36))
    assert finding(row, "generic_keywords", "max_length").severity is Severity.ERROR
    title = finding(row, "item_name", "max_length")
    assert title.severity is Severity.WARNING  # within the marketplace's own 200
    assert len(title.suggestion) <= 160
    assert row.cells["item_name"].text == "word " * 36


def test_control_characters_and_the_cell_limit(check: Check) -> None:
    row = check(FLIPKART, copy=Copy(description="a\x00b\r\nc"), seller=(SellerValue("Other Dimensions", "x" * 32_768),))
    assert row.cells["Description"].text == "ab\nc"
    assert finding(row, "Description", "control_characters").severity is Severity.WARNING
    assert rules(row, "Other Dimensions") == ["cell_limit"]
    assert "Other Dimensions" not in row.cells


def test_pictures(check: Check) -> None:
    urls = tuple(f"https://cdn.example.com/{number}.jpg" for number in range(6))
    row = check(FLIPKART, image_urls=urls)
    assert [row.cells[name].text for name in FLIPKART.images] == list(urls[:5])
    assert "image_count" in rules(row, "Main Image URL")
    drive = check(MEESHO, image_urls=("https://drive.google.com/file/d/1",))
    assert "image_host" in rules(drive, "Image 1 (Front)")
    assert "Image 1 (Front)" not in drive.cells


@pytest.mark.parametrize(
    "url", ["ftp://a.com/b.jpg", "a.jpg", "https://", "https://a.com/b c.jpg", "http://[", "javascript:alert(1)"]
)
def test_addresses_that_no_marketplace_could_read(url: str) -> None:
    problem = url_problem(url, ())
    assert problem is not None
    assert problem[2] is Severity.ERROR


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000/files/a/b.jpg", "http://minio:9000/a.jpg", "http://10.1.2.3/a.jpg"]
)
def test_addresses_that_only_we_can_read_are_written_with_a_warning(url: str) -> None:
    problem = url_problem(url, ())
    assert problem is not None
    assert problem[2] is Severity.WARNING


def test_copy_goes_where_the_marketplace_takes_it(check: Check) -> None:
    copy = Copy("A Title!", tuple(f"point {number}" for number in range(12)), "Text")
    amazon, flipkart, meesho = (check(listing, copy=copy) for listing in (AMAZON, FLIPKART, MEESHO))
    assert amazon.cells["bullet_point10"].text == "point 9"
    assert rules(amazon, "bullet_point10") == ["bullet_count"]
    assert "forbidden_characters" in rules(amazon, "item_name")
    assert flipkart.cells["Description"].text == "Text"
    assert (meesho.cells["Product Name"].text, meesho.cells["Product Description"].text) == ("A Title!", "Text")


def test_names_that_nobody_has_are_told(check: Check) -> None:
    row = check(
        FLIPKART,
        Value("colour", ("Gold",)),
        Value("empty", ()),
        seller=(SellerValue("prize", "5"), SellerValue("gst_percent", "3")),
    )
    assert set(row.dropped) == {"colour", "prize"}


def test_families(check: Check) -> None:
    parent = check(AMAZON, variation=Variation(Role.PARENT, "S-1", "color"), seller=(SellerValue("price", "9"),))
    child = check(AMAZON, variation=Variation(Role.CHILD, "P-1", "color_size", size="S", color="Gold"))
    assert (parent.cells["parent_child"].text, parent.cells["variation_theme"].text) == ("Parent", "ColorName")
    assert "standard_price" not in parent.cells
    assert rules(parent, "standard_price") == []
    assert [
        child.cells[n].text for n in ("parent_child", "parent_sku", "relationship_type", "size_name", "color_name")
    ] == [
        "Child",
        "P-1",
        "Variation",
        "S",
        "Gold",
    ]
    grouped = check(FLIPKART, variation=Variation(Role.CHILD, "P-1", "color", color="Gold"))
    assert (grouped.cells["Group ID"].text, grouped.cells["Color"].text) == ("P-1", "Gold")


def test_nearest() -> None:
    options = ("Gold", "Rose Gold", "Silver")
    assert nearest("rose", options) == "Rose Gold"
    assert nearest("silvr", options) == "Silver"
    assert nearest("zzz", options) == ""


def test_number_within() -> None:
    assert number_within("Rs. 5,000/-", whole=True) == "5000"
    assert number_within("12.5 mm", whole=False) == "12.5"
    assert number_within("12.5 mm", whole=True) == ""


def test_the_sample_profiles_serve_both_websites() -> None:
    profiles = Profiles.read(PROFILES)
    for website in ("alya", "blysk"):
        for code in marketplaces.CODES:
            values = profiles.values(website, marketplaces.load(code))
            assert {"brand", "mrp", "price", "hsn"} <= {marketplaces.load(code).field(n).profile for n in values}
    assert profiles.values("nobody", FLIPKART) == {}


def test_the_more_specific_table_wins() -> None:
    table = {"a": {"mrp": 1, "flipkart": {"mrp": 2, "earrings": {"mrp": 4}}, "earrings": {"mrp": 3}}}
    assert Profiles(table).values("a", FLIPKART) == {"MRP (INR)": "4"}
    assert Profiles(table).values("a", AMAZON) == {"maximum_retail_price": "3"}


@pytest.mark.parametrize("text", ["mrp = 5", "[alya", ""])
def test_profiles_that_cannot_be_read(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("p") / "profiles.toml"
    if text:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(errors.FailedPrecondition):
        Profiles.read(path)
