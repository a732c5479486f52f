"""What is known to be refused before the marketplace does: taxes, families, dates, addresses, orders of values."""

from __future__ import annotations

import io
from collections.abc import Callable
from types import ModuleType

import pytest
from openpyxl import Workbook, load_workbook
from openpyxl.worksheet.datavalidation import DataValidation

from exporter_service import dates, preparing
from exporter_service.addresses import encoded, url_problem
from exporter_service.exporting import Exporter, Order
from exporter_service.model import (
    Copy,
    Finding,
    Product,
    Role,
    SellerValue,
    Severity,
    Source,
    Value,
    Variation,
)
from exporter_service.templates import Templates

Opened = Callable[[str], Workbook]


async def findings(exporter: Exporter, code: str, *products: Product, **seller: str) -> dict[tuple[str, str], Finding]:
    """Findings by field and rule."""
    values = [SellerValue(name, text) for name, text in seller.items()]
    found = await exporter.validate(Order(code, products or [Product("A")], seller_values=values))
    return {(finding.field, finding.rule): finding for finding in found}


@pytest.mark.parametrize(
    ("code", "hsn_field", "rate_field", "wrong", "right"),
    [
        ("fli_ear", "HSN", "Tax Code", "GST_5", "GST_3"),
        ("mee_ear", "HSN ID", "GST %", "18", "3"),
        ("ama_ear", "external_product_information", "product_tax_code", "A_GEN_STANDARD", "A_GEN_JEWELLERY"),
    ],
)
async def test_the_tax_rate_against_the_hsn_code(
    exporter: Exporter, code: str, hsn_field: str, rate_field: str, wrong: str, right: str
) -> None:
    found = await findings(exporter, code, **{rate_field: wrong})
    told = found[rate_field, "gst_hsn"]
    assert (told.severity, told.suggestion) == (Severity.ERROR, right)
    assert "71171900" in told.message
    assert (rate_field, "gst_hsn") not in await findings(exporter, code, **{rate_field: right})
    unknown = await findings(exporter, code, hsn="99999999", **{rate_field: wrong})
    assert unknown[rate_field, "gst_hsn"].severity is Severity.INFO
    assert (hsn_field, "hsn") in await findings(exporter, code, hsn="7117-19")


@pytest.mark.parametrize("hsn", ["7117", "711719", "71171900"])
async def test_forms_of_hsn_codes(exporter: Exporter, hsn: str) -> None:
    assert ("HSN", "hsn") not in await findings(exporter, "fli_ear", hsn=hsn)


async def test_orders_of_prices(exporter: Exporter) -> None:
    found = await findings(exporter, "mee_ear", return_price="449", price="449", mrp="599")
    assert found["Wrong/Defective Returns Price", "price_order"].severity is Severity.WARNING
    found = await findings(exporter, "ama_ear", sale_price="500", price="449", mrp="599")
    assert found["sale_price", "price_order"].severity is Severity.ERROR


@pytest.mark.parametrize(
    ("text", "iso", "doubtful"),
    [
        ("2026-01-31", "2026-01-31", False),
        ("2026-1-3", "2026-01-03", False),
        ("2026-01-31T10:00:00+05:30", "2026-01-31", False),
        ("31/01/2026", "2026-01-31", False),
        ("31.01.2026", "2026-01-31", False),
        ("02/03/2026", "2026-03-02", True),
        ("02-02-2026", "2026-02-02", False),
        ("5 Mar 2026", "2026-03-05", False),
        ("March 5, 2026", "2026-03-05", False),
    ],
)
def test_dates_as_people_write_them(text: str, iso: str, doubtful: bool) -> None:
    read = dates.parsed(text)
    assert read is not None
    assert (read[0].isoformat(), read[1]) == (iso, doubtful)


@pytest.mark.parametrize(
    "text", ["", "soon", "2026-02-30", "31/13/2026", "1850-01-01", "9999-01-01", "20260131", "1/2/26"]
)
def test_what_is_no_date(text: str) -> None:
    assert dates.parsed(text) is None


def test_days_as_spreadsheets_count_them() -> None:
    assert dates.serial("1900-03-01", epoch_1904=False) == "61"
    assert dates.serial("2026-01-31", epoch_1904=False) == "46053"
    assert dates.serial("2026-01-31", epoch_1904=True) == "44591"
    assert dates.serial("tomorrow", epoch_1904=False) is None


async def test_dates_and_their_order(exporter: Exporter) -> None:
    found = await findings(exporter, "ama_ear", sale_from_date="2026-12-31", sale_end_date="2026-12-01")
    assert "2026-12-31 is after" in found["sale_from_date", "date_order"].message
    found = await findings(exporter, "ama_ear", sale_from_date="02/03/2026", restock_date="soon")
    assert found["sale_from_date", "date"].severity is Severity.WARNING
    assert found["restock_date", "date"].severity is Severity.ERROR


def child(sku: str, parent: str, color: str = "", size: str = "", theme: str = "color") -> Product:
    return Product(sku, variation=Variation(Role.CHILD, parent, theme, "", size, color))


def parent(sku: str, theme: str = "color") -> Product:
    return Product(sku, variation=Variation(Role.PARENT, sku, theme))


async def test_a_family_that_fits(exporter: Exporter, opened: Opened) -> None:
    family = [parent("P"), child("C1", "P", "Gold"), child("C2", "P", "Silver")]
    done = await exporter.export(Order("ama_ear", family))
    rules = {f.rule for f in done.findings}
    assert not rules & {
        "parent_missing",
        "parent_childless",
        "variation_theme",
        "variation_repeated",
        "variation_value",
    }
    sheet = opened(done.url)["Template"]
    names = {sheet.cell(3, column).value: column for column in range(1, 268)}
    rows = [
        [
            sheet.cell(row, names[name]).value
            for name in ("parent_child", "parent_sku", "relationship_type", "variation_theme")
        ]
        for row in (4, 5, 6)
    ]
    assert rows == [["Parent", None, None, "ColorName"], *[["Child", "P", "Variation", "ColorName"]] * 2]
    assert sheet.cell(4, names["standard_price"]).value is None
    assert sheet.cell(5, names["standard_price"]).value == 449


@pytest.mark.parametrize(
    ("products", "field", "rule", "severity"),
    [
        ([parent("P")], "parent_child", "parent_childless", Severity.WARNING),
        ([child("C", "P", "Gold")], "parent_sku", "parent_missing", Severity.WARNING),
        ([child("C", "", "Gold")], "parent_sku", "parent_missing", Severity.ERROR),
        ([child("C", "C", "Gold")], "parent_sku", "parent_missing", Severity.ERROR),
        (
            [Product("X"), child("P", "Q", "Gold"), child("C", "P", "Tan")],
            "parent_sku",
            "parent_missing",
            Severity.ERROR,
        ),
        ([parent("P", "size"), child("C", "P", "Gold")], "variation_theme", "variation_theme", Severity.ERROR),
        ([parent("P", ""), child("C", "P", "Gold")], "variation_theme", "variation_theme", Severity.ERROR),
        (
            [parent("P"), child("C", "P", "Gold"), child("D", "P", "gold")],
            "color_name",
            "variation_repeated",
            Severity.ERROR,
        ),
        ([parent("P"), child("C", "P")], "color_name", "variation_value", Severity.ERROR),
    ],
)
async def test_families_that_do_not(
    exporter: Exporter, products: list[Product], field: str, rule: str, severity: Severity
) -> None:
    found = await findings(exporter, "ama_ear", *products)
    assert found[field, rule].severity is severity


async def test_what_was_read_counts_as_what_a_child_varies_in(exporter: Exporter) -> None:
    read = Value("color_name", ("Rose",), Source.IMAGE, 0.9)
    one = Product("C1", fields=(read,), variation=Variation(Role.CHILD, "P", "color"))
    two = Product("C2", fields=(read,), variation=Variation(Role.CHILD, "P", "color"))
    found = await findings(exporter, "ama_ear", parent("P"), one, two)
    assert ("color_name", "variation_value") not in found
    assert ("color_name", "variation_repeated") in found


async def test_families_reach_over_the_requests_of_a_run(exporter: Exporter, opened: Opened) -> None:
    run = await exporter.start_run("ama_ear", "", "")
    first = await exporter.export(Order("ama_ear", [child("C1", "P", "Gold")], run_id=run.id))
    assert "parent_missing" in {f.rule for f in first.findings}
    second = await exporter.export(
        Order("ama_ear", [parent("P"), child("C2", "P", "Gold")], run_id=run.id, review_copy=True)
    )
    told = [(f.sku, f.rule) for f in second.findings if f.rule.startswith(("parent_", "variation_"))]
    assert told == [("C2", "variation_repeated")]
    reviewed = {(row[0], row[4]) for row in opened(second.review_url)["Review"].iter_rows(min_row=2, values_only=True)}
    assert ("C1", "parent_missing") not in reviewed
    assert {("C1", "variation_repeated"), ("C2", "variation_repeated")} <= reviewed


async def test_groups_have_the_ids_that_the_marketplace_has(exporter: Exporter, opened: Opened) -> None:
    run = await exporter.start_run("mee_ear", "", "")
    families = [child("A1", "earring-a", "Gold"), child("B1", "earring-b", "Gold"), child("A2", "earring-a", "Silver")]
    await exporter.export(Order("mee_ear", families, run_id=run.id))
    more = [child("B2", "earring-b", "Silver"), child("C1", "earring-c", "Gold")]
    named = Product("D1", variation=Variation(group_id="Group 07"))
    done = await exporter.export(Order("mee_ear", [*more, named], run_id=run.id))
    sheet = opened(done.url)["Earrings & Studs-Fill this"]
    column = next(c for c in range(1, 60) if "Group ID" in str(sheet.cell(3, c).value))
    ids = [sheet.cell(row, column).value for row in range(4, 10)]
    assert ids == ["Group 01", "Group 02", "Group 01", "Group 02", "Group 03", "Group 07"]
    assert [(f.sku, f.rule) for f in done.findings if f.rule == "group_of_one"] == [
        ("C1", "group_of_one"),
        ("D1", "group_of_one"),
    ]


async def test_flipkart_takes_the_group_as_it_is(exporter: Exporter, opened: Opened) -> None:
    done = await exporter.export(Order("fli_ear", [parent("P"), child("C1", "P", "Gold"), child("C2", "P", "Silver")]))
    sheet = opened(done.url)["earring"]
    column = next(c for c in range(1, 140) if sheet.cell(1, c).value == "Group ID")
    assert [sheet.cell(row, column).value for row in (5, 6, 7)] == ["P", "P", None]
    assert [(f.sku, f.rule) for f in done.findings if f.row == 0] == [("P", "parent_row")]


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("https://cdn.example.com/page.html", "image_url"),
        ("https://cdn.example.com/photo.HEIC", "image_url"),
        ("https://cdn.example.com/größe.jpg", "image_url"),
        ("https://intranet/a.jpg", "image_host"),
    ],
)
def test_addresses_that_may_be_refused(url: str, rule: str) -> None:
    problem = url_problem(url, ())
    assert problem is not None
    assert (problem[0], problem[2]) == (rule, Severity.WARNING)


@pytest.mark.parametrize(
    "url",
    [
        "https://cdn.example.com/a.jpg",
        "https://cdn.example.com/a.jpg?w=1&h=2",
        "http://cdn.example.com:8080/x/y",
        "https://cdn.example.com/%C3%BC.png",
    ],
)
def test_addresses_that_pass(url: str) -> None:
    assert url_problem(url, ()) is None


def test_an_address_is_offered_percent_encoded() -> None:
    assert encoded("https://cdn.example.com/größe.jpg?a=1") == "https://cdn.example.com/gr%C3%B6%C3%9Fe.jpg?a=1"


async def test_the_same_picture_twice(exporter: Exporter) -> None:
    url = "https://cdn.example.com/a.jpg"
    found = await findings(exporter, "fli_ear", Product("A", (url, url)))
    assert found["Main Image URL", "image_repeated"].severity is Severity.WARNING


@pytest.mark.parametrize(
    ("title", "clean"),
    [("Gold™ Studs!", "Gold Studs"), ("Studs 💎 for her", "Studs for her"), ("Star ★ Studs", "Star Studs")],
)
async def test_characters_that_titles_are_refused_for(exporter: Exporter, title: str, clean: str) -> None:
    found = await findings(exporter, "ama_ear", Product("A", copy=Copy(title)))
    assert found["item_name", "forbidden_characters"].suggestion == clean


async def test_markup_in_a_description(exporter: Exporter) -> None:
    found = await findings(exporter, "ama_ear", Product("A", copy=Copy(description="Nice <b>studs</b> for 5 < 6")))
    assert "<b>" in found["product_description", "forbidden_characters"].message
    plain = await findings(exporter, "ama_ear", Product("A", copy=Copy(description="smaller than 5 < 6 > 4")))
    assert ("product_description", "forbidden_characters") not in plain


async def test_bounds_of_numbers_that_the_workbook_has(
    exporter: Exporter, templates: Templates, layouts: ModuleType
) -> None:
    book = load_workbook(io.BytesIO(layouts.meesho()))
    sheet = book["Earrings & Studs-Fill this"]
    column = next(c for c in range(1, 60) if "Inventory" in str(sheet.cell(3, c).value))
    rule = DataValidation(type="whole", operator="between", formula1="1", formula2="100")
    rule.add(f"{sheet.cell(4, column).coordinate}:{sheet.cell(309, column).coordinate}")
    sheet.add_data_validation(rule)
    await templates.register("mee_ear", layouts.saved(book), "a.xlsx", "")
    found = await findings(exporter, "mee_ear", stock="500")
    assert found["Inventory", "number_range"].message == "Inventory must be at most 100"
    assert ("Inventory", "number_range") not in await findings(exporter, "mee_ear", stock="100")


async def test_a_wanted_column_that_nothing_fills_is_told(
    exporter: Exporter, templates: Templates, layouts: ModuleType
) -> None:
    book = load_workbook(io.BytesIO(layouts.meesho()))
    sheet = book["Earrings & Studs-Fill this"]
    column = next(c for c in range(1, 60) if "Warranty Months" in str(sheet.cell(3, c).value))
    sheet.cell(2, column, "* Compulsory Field")
    template = await templates.register("mee_ear", layouts.saved(book), "a.xlsx", "")
    assert "give their values under their own names" in template.warnings[0]
    assert (await findings(exporter, "mee_ear"))["Warranty Months", "required"].severity is Severity.ERROR
    given = [SellerValue("Warranty Months", "6")]
    found = await exporter.validate(Order("mee_ear", [Product("A")], seller_values=given))
    assert ("Warranty Months", "required") not in {(f.field, f.rule) for f in found}


async def test_an_answer_has_a_bound(exporter: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "MAX_FINDINGS", 25)
    found = await exporter.validate(Order("mee_ear", [Product(f"S-{number}") for number in range(20)]))
    assert len(found) == 26
    assert found[-1].rule == "more_findings"
