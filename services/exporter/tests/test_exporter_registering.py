"""Workbooks in the marketplaces' own layouts: understood, filled, and otherwise left as they are."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from datetime import datetime
from types import ModuleType

import pytest
from openpyxl import Workbook, load_workbook
from openpyxl.worksheet.worksheet import Worksheet

import marketplaces
from exporter_service.exporting import Exporter, Order
from exporter_service.model import Product, SellerValue, Severity, Source, Template, Value
from exporter_service.templates import Templates, read_template

# The reader of these tests says that it would lose what the exporter keeps.
pytestmark = pytest.mark.filterwarnings("ignore:Data Validation extension:UserWarning")

CODES = marketplaces.CODES
OWN = {"ama": "Metal Finish Note", "fli": "Bead Count", "sho": "Bead Count", "mee": "Warranty Months"}


@pytest.fixture
async def registered(templates: Templates, layouts: ModuleType) -> Callable[..., object]:
    async def register(code: str, content: bytes | None = None, name: str = "seller.xlsx") -> Template:
        return await templates.register(code, content or layouts.BY_CODE[code](code), name, "")

    return register


def read(code: str, content: bytes) -> Template:
    return read_template(marketplaces.load(code), content, "seller.xlsx", "alya")


def by_field(template: Template) -> dict[str, int]:
    return {column.field: column.number for column in template.columns if column.field}


@pytest.mark.parametrize("code", CODES)
def test_every_column_is_matched_by_its_name(code: str, layouts: ModuleType) -> None:
    content = layouts.BY_CODE[code](code)
    template = read(code, content)
    listing = marketplaces.load(code)
    sheet = load_workbook(io.BytesIO(content))[template.sheet]
    if layouts.BY_CODE[code] is layouts.amazon_unified:
        wanted = {column: layouts.UNIFIED[sheet.cell(5, column).value] for column in range(1, sheet.max_column + 1)}
    else:
        fields = [field.name for field in layouts.shuffled(listing)]
        if code.startswith("ama"):
            fields.insert(5, "")
        wanted = dict(enumerate([*fields, *([""] if not code.startswith("ama") else [])], start=1))
    assert {column.number: column.field for column in template.columns} == wanted
    assert template.sheet in (listing.layout.sheet, listing.template.sheets[0])
    assert template.data_row == {"fli": 5, "sho": 5, "mee": 4, "ama": 7 if code == "ama_nec" else 4}[code[:3]]


@pytest.mark.parametrize("code", CODES)
def test_lists_and_marks_are_read_from_the_workbook(code: str, layouts: ModuleType) -> None:
    listing = marketplaces.load(code)
    unified = layouts.BY_CODE[code] is layouts.amazon_unified
    for column in read(code, layouts.BY_CODE[code](code)).columns:
        if not column.field or unified:
            continue
        field = listing.field(column.field)
        alike = [other.options for other in listing.fields if other.label == field.label and other.options]
        assert column.allowed_values == (field.options or (alike[0] if alike else ())), column.name
        if not field.fixed:
            assert column.required is bool(field.required), column.name
        assert column.sure
    if unified:
        column = next(c for c in read(code, layouts.BY_CODE[code](code)).columns if c.field == "update_delete")
        assert column.allowed_values == ("Create or Replace (Full Update)", "Edit (Partial Update)", "Delete")


@pytest.mark.parametrize("code", CODES)
def test_what_is_not_understood_is_said(code: str, layouts: ModuleType) -> None:
    template = read(code, layouts.BY_CODE[code](code))
    said = " ".join(template.warnings)
    if layouts.BY_CODE[code] is layouts.amazon_unified:
        assert "'Sustainability Note'" in said
        assert "Item Type Name" in said  # a wanted field without a column
    else:
        assert repr(OWN[code[:3]]) in said
        assert len(template.warnings) == 1


@pytest.mark.parametrize("code", CODES)
async def test_a_filled_workbook_has_the_values_and_all_its_other_parts(
    code: str,
    exporter: Exporter,
    registered: Callable[..., object],
    layouts: ModuleType,
    stored: Callable[[str], bytes],
    make_product: Callable[..., Product],
    drop_downs: Callable[[Workbook, Worksheet], list[tuple[str, list[str]]]],
) -> None:
    content = layouts.BY_CODE[code](code)
    template: Template = await registered(code, content)  # type: ignore[misc]
    listing = template.listing
    products = [make_product(listing, f"SKU-00{number}") for number in range(1, 4)]
    own = next(column for column in template.columns if not column.field)
    done = await exporter.export(
        Order(code, products, seller_values=[SellerValue("mrp", "899"), SellerValue(own.name, "7")])
    )
    assert (done.template_id, done.rows) == (template.id, 3)
    filled = stored(done.url)
    columns = by_field(template)
    sheet = load_workbook(io.BytesIO(filled))[template.sheet]
    for row, product in enumerate(products, start=template.data_row):
        assert sheet.cell(row, columns[listing.sku]).value == product.sku
        assert sheet.cell(row, columns[listing.mrp]).value == 899
        assert sheet.cell(row, columns[listing.images[0]]).value == product.image_urls[0]
        assert str(sheet.cell(row, own.number).value) == "7"
        for column in template.columns:
            text = sheet.cell(row, column.number).value
            if text is not None and column.allowed_values and not column.multi:
                assert str(text) in column.allowed_values, column.name
    assert sheet.cell(template.data_row + 3, columns[listing.sku]).value is None
    part = _only_change(content, filled)
    before, after = (zipfile.ZipFile(io.BytesIO(each)).read(part) for each in (content, filled))
    assert _outside_rows(before, template.data_row) == _outside_rows(after, template.data_row)
    assert done.url.endswith(".xlsm" if code.startswith("ama") else ".xlsx")
    assert [f.field for f in done.findings if f.severity is Severity.ERROR and f.rule == "allowed_values"] == []


def _only_change(before: bytes, after: bytes) -> str:
    """The one part that differs; all others lie in the archive as they did, compressed bytes included."""
    old, new = zipfile.ZipFile(io.BytesIO(before)), zipfile.ZipFile(io.BytesIO(after))
    assert old.namelist() == new.namelist()
    assert new.testzip() is None
    changed = [name for name in old.namelist() if old.read(name) != new.read(name)]
    assert len(changed) == 1
    for name in set(old.namelist()) - set(changed):
        assert _raw(before, old.getinfo(name)) == _raw(after, new.getinfo(name)), name
        assert old.getinfo(name).date_time == new.getinfo(name).date_time
    return changed[0]


def _raw(content: bytes, info: zipfile.ZipInfo) -> bytes:
    name_length, extra_length = content[info.header_offset + 26], content[info.header_offset + 28]
    start = info.header_offset + 30 + name_length + extra_length
    return content[start : start + info.compress_size]


def _outside_rows(xml: bytes, data_row: int) -> tuple[bytes, bytes]:
    """What stands before the first row of products, but for how far the sheet reaches, and after the last row."""
    head = re.sub(rb'<dimension ref="[^"]*"', b"<dimension", xml)
    match = re.search(rf'<row r="{data_row}"'.encode(), head)
    end = head.index(b"</sheetData>")
    return head[: match.start() if match else end], head[end:]


async def test_an_extension_drop_down_is_read_and_kept(
    exporter: Exporter, registered: Callable[..., object], layouts: ModuleType, stored: Callable[[str], bytes]
) -> None:
    content = layouts.amazon_legacy()
    area = re.search(rb"<xm:sqref>([A-Z]+)4:", zipfile.ZipFile(io.BytesIO(content)).read("xl/worksheets/sheet4.xml"))
    assert area is not None
    template: Template = await registered("ama_ear", content)  # type: ignore[misc]
    column = next(column for column in template.columns if column.letters == area[1].decode())
    assert column.allowed_values == marketplaces.load("ama_ear").field(column.field).options
    done = await exporter.export(
        Order("ama_ear", [Product("A", fields=(Value(column.field, ("Nonsense",), Source.PERSON),))])
    )
    assert ("allowed_values", column.field) in {(f.rule, f.field) for f in done.findings}
    assert b"x14:dataValidation" in zipfile.ZipFile(io.BytesIO(stored(done.url))).read("xl/worksheets/sheet4.xml")


async def test_values_are_spelled_as_the_workbook_spells_them(
    exporter: Exporter, registered: Callable[..., object], stored: Callable[[str], bytes]
) -> None:
    template: Template = await registered("ama_nec")  # type: ignore[misc]
    seller = [SellerValue("item_length_unit_of_measure", "Cm"), SellerValue("sale_from_date", "31/12/2026")]
    done = await exporter.export(Order("ama_nec", [Product("A")], seller_values=seller))
    sheet = load_workbook(io.BytesIO(stored(done.url)))["Template"]
    columns = by_field(template)
    read_back = {name: sheet.cell(7, columns[name]).value for name in columns}
    assert read_back["update_delete"] == "Create or Replace (Full Update)"
    assert read_back["feed_product_type"] == "NECKLACE"
    assert read_back["item_length_unit_of_measure"] == "Centimetres"
    assert read_back["external_product_information_entity"] == "HSN Code"
    # The column's format is that of dates: the cell holds one.
    assert read_back["sale_from_date"] == datetime(2026, 12, 31)
    assert sheet.cell(6, columns["item_sku"]).value == "ABC123"


async def test_pictures_and_bullets_take_the_columns_that_there_are(
    exporter: Exporter, registered: Callable[..., object], stored: Callable[[str], bytes]
) -> None:
    from exporter_service.model import Copy

    template: Template = await registered("ama_nec")  # type: ignore[misc]
    urls = tuple(f"https://cdn.example.com/{number}.jpg" for number in range(5))
    copy = Copy("A title", tuple(f"point {number}" for number in range(7)), "words")
    done = await exporter.export(Order("ama_nec", [Product("A", urls, copy=copy)]))
    sheet = load_workbook(io.BytesIO(stored(done.url)))["Template"]
    columns = by_field(template)
    assert [sheet.cell(7, columns[f"bullet_point{n}"]).value for n in range(1, 6)] == list(copy.bullet_points[:5])
    found = {f.rule: f.message for f in done.findings}
    assert "last 2 of 5 pictures" in found["image_count"]
    assert "last 2 bullet points" in found["bullet_count"]


def test_a_list_that_stands_at_the_wrong_column_is_not_believed(layouts: ModuleType) -> None:
    columns = {column.field: column for column in read("fli_ear", layouts.flipkart("fli_ear")).columns}
    assert columns["Description"].allowed_values == ()
    assert columns["Color"].allowed_values == marketplaces.load("fli_ear").field("Color").options


def test_without_lists_or_marks_the_tables_serve(layouts: ModuleType) -> None:
    book = Workbook()
    sheet = book.worksheets[0]
    sheet.title = "earring"
    for column, name in enumerate(("Seller SKU ID", "Color", "Brand", "MRP (INR)", "Main Image URL"), start=1):
        sheet.cell(1, column, name)
    template = read("fli_ear", layouts.saved(book))
    columns = {column.field: column for column in template.columns}
    assert template.data_row == 2
    assert "Rose Gold" in columns["Color"].allowed_values
    assert columns["Brand"].required
    assert any("no list of allowed values" in warning for warning in template.warnings)
    assert any("no column for" in warning and "Your selling price" in warning for warning in template.warnings)


def test_two_columns_of_one_field_and_columns_with_formulas_are_said_and_left_alone(layouts: ModuleType) -> None:
    book = Workbook()
    sheet = book.worksheets[0]
    sheet.title = "earring"
    names = ("Seller SKU ID", "Color", "Brand", "MRP (INR)", "Color", "Stock", "Main Image URL")
    for column, name in enumerate(names, start=1):
        sheet.cell(1, column, name)
    sheet["F2"] = "=1+1"
    template = read("fli_ear", layouts.saved(book))
    assert [column.key for column in template.columns] == [
        "Seller SKU ID", "Color", "Brand", "MRP (INR)", "", "", "Main Image URL",
    ]  # fmt: skip
    said = " ".join(template.warnings)
    assert "E 'Color' like 'Color'" in said
    assert "hold formulas and are left as they are: F 'Stock'" in said


async def test_products_that_the_workbook_came_with_stay_above(
    exporter: Exporter, registered: Callable[..., object], layouts: ModuleType, stored: Callable[[str], bytes]
) -> None:
    book = load_workbook(io.BytesIO(layouts.meesho()))
    sheet = book["Earrings & Studs-Fill this"]
    column = next(c for c in range(1, 60) if "SKU ID" in str(sheet.cell(3, c).value))
    sheet.cell(4, column, "OLD-1")
    sheet.cell(6, column, "OLD-2")
    template: Template = await registered("mee_ear", layouts.saved(book))  # type: ignore[misc]
    assert template.data_row == 7
    assert any("holds 2 products already" in warning for warning in template.warnings)
    assert template.skus == ("OLD-1", "OLD-2")
    done = await exporter.export(Order("mee_ear", [Product("OLD-1"), Product("NEW")]))
    kept_out = [(f.sku, f.rule, f.severity) for f in done.findings if f.row == 0]
    assert kept_out == [("OLD-1", "duplicate_sku", Severity.ERROR)]
    filled = load_workbook(io.BytesIO(stored(done.url)))["Earrings & Studs-Fill this"]
    assert [filled.cell(row, column).value for row in (4, 5, 6, 7)] == ["OLD-1", None, "OLD-2", "NEW"]


def test_limits_of_the_workbook_are_checked(layouts: ModuleType) -> None:
    columns = {column.field: column for column in read("mee_ear", layouts.meesho()).columns}
    assert columns["Product Name"].max_length == 70


def test_a_template_of_another_country_is_said(layouts: ModuleType) -> None:
    content = layouts.amazon_unified()
    book = load_workbook(io.BytesIO(content), keep_vba=False)
    for cell in book["Template"][5]:
        cell.value = str(cell.value).replace("A21TJRUUN4KGV", "ATVPDKIKX0DER")
    said = " ".join(read("ama_ear", layouts.saved(book)).warnings)
    assert "another country's marketplace (ATVPDKIKX0DER)" in said
    assert "check that it is meant for necklace" in " ".join(read("ama_nec", content).warnings)
