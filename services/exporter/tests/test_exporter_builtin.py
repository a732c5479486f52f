"""A workbook of every code, filled and opened again."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from openpyxl import Workbook, load_workbook
from openpyxl.utils import range_boundaries
from openpyxl.worksheet.worksheet import Worksheet

import marketplaces
from exporter_service import generation
from exporter_service.exporting import Exporter, Order
from exporter_service.model import Product, SellerValue, Severity
from exporter_service.templates import Templates
from objectstore import FolderStore

# What the real templates have, by cell: gathered facts, not what the code happens to write.
HEADERS = {
    "ama_ear": (
        "Template",
        4,
        {"A1": "TemplateType=fptcustom", "B2": "Seller SKU", "B3": "item_sku", "AG3": "stone_color"},
    ),
    "ama_nec": ("Template", 4, {"A3": "feed_product_type", "G3": "item_name", "S3": "main_image_url"}),
    "ama_bra": ("Template", 4, {"A3": "feed_product_type", "B3": "item_sku", "BT3": "bullet_point1"}),
    "fli_ear": (
        "earring",
        5,
        {"A1": "Flipkart Serial Number", "G1": "Seller SKU ID", "AG1": "Type", "G2": "Single - Text"},
    ),
    "fli_nec": ("necklace_chain", 5, {"F1": "Disapproval Reason (if any)", "G1": "Seller SKU ID", "I1": "MRP (INR)"}),
    "fli_bra": ("bangle_bracelet_armlet", 5, {"G1": "Seller SKU ID", "AG1": "Type", "AH2": "Dropdown"}),
    "mee_ear": ("Earrings & Studs-Fill this", 4, {"D2": "* Compulsory Field", "B2": "Do not fill"}),
    "mee_nec": ("Necklaces & Chains-Fill this", 4, {"D2": "* Compulsory Field", "G2": "Optional Field"}),
    "mee_bra": ("Bracelet & Bangles-Fill this", 4, {"D2": "* Compulsory Field", "A2": "Do not fill"}),
    "sho_ear": ("earring", 5, {"G1": "Seller SKU ID", "AG1": "Type", "AV1": "Main Image URL"}),
}


def header_row(listing: marketplaces.Listing) -> int:
    layout = listing.layout
    return layout.row_of("name") or layout.row_of("name_and_help") or layout.row_of("label")


def columns_by_name(listing: marketplaces.Listing, book: Workbook) -> dict[str, int]:
    """Column of each field, found in the workbook as a seller would: by the name in its header."""
    names = [str(cell.value or "") for cell in book[listing.layout.sheet][header_row(listing)]]
    return {name.strip().split("\n")[0]: number for number, name in enumerate(names, start=1)}


@pytest.mark.parametrize("code", marketplaces.CODES)
async def test_a_filled_workbook_is_right(
    code: str, exporter: Exporter, opened: Callable[[str], Workbook], make_product: Callable[..., Product]
) -> None:
    listing = marketplaces.load(code)
    products = [make_product(listing, f"SKU-{'x' * number}-00{number}") for number in range(1, 4)]
    done = await exporter.export(Order(code, products, seller_values=[SellerValue("mrp", "899")]))
    book = opened(done.url)
    sheet_name, data_row, cells = HEADERS[code]
    sheet = book[sheet_name]

    assert book.active is sheet
    assert {address: sheet[address].value for address in cells} == cells
    columns = columns_by_name(listing, book)
    assert list(columns) == [field.name for field in listing.fields]
    assert sheet.max_row == data_row + len(products) - 1
    for row, product in enumerate(products, start=data_row):
        assert sheet.cell(row, columns[listing.sku]).value == product.sku
        assert [sheet.cell(row, columns[name]).value for name in listing.images[:2]] == list(product.image_urls)
        assert sheet.cell(row, columns[listing.mrp]).value == 899
        assert sheet.cell(row, columns[listing.copy_fields[-1].name]).value == "A light pair for every day."
        for field in listing.fields:
            if field.fixed and not field.default:
                assert sheet.cell(row, columns[field.name]).value is None
    assert done.rows == len(products)
    assert [f for f in done.findings if f.severity is Severity.ERROR] == []


@pytest.mark.parametrize("code", marketplaces.CODES)
async def test_no_value_outside_its_drop_down(
    code: str,
    exporter: Exporter,
    opened: Callable[[str], Workbook],
    make_product: Callable[..., Product],
    drop_downs: Callable[[Workbook, Worksheet], list[tuple[str, list[str]]]],
) -> None:
    listing = marketplaces.load(code)
    done = await exporter.export(Order(code, [make_product(listing, "SKU-1")]))
    book = opened(done.url)
    sheet = book[listing.layout.sheet]
    checked = 0
    for reference, values in drop_downs(book, sheet):
        first, top, last, bottom = range_boundaries(reference)
        assert first is not None
        assert top is not None
        assert first == last
        assert (top, bottom) == (listing.layout.data_row, listing.layout.last_list_row)
        filled = sheet.cell(top, first).value
        assert filled is None or str(filled) in values
        checked += filled is not None
    assert checked >= len([field for field in listing.vision_fields if field.options and not field.multi])
    with_options = [field for field in listing.fields if field.options and not field.multi]
    assert len(sheet.data_validations.dataValidation) == len(with_options)


@pytest.mark.parametrize("code", marketplaces.CODES)
async def test_all_other_parts_are_untouched(
    code: str,
    exporter: Exporter,
    templates: Templates,
    stored: Callable[[str], bytes],
    make_product: Callable[..., Product],
) -> None:
    listing = marketplaces.load(code)
    done = await exporter.export(Order(code, [make_product(listing, "SKU-1")]))
    before, after = (
        zipfile.ZipFile(io.BytesIO(content)) for content in ((await templates.choose(code)).content, stored(done.url))
    )
    assert before.namelist() == after.namelist()
    changed = [name for name in before.namelist() if before.read(name) != after.read(name)]
    assert len(changed) == 1
    assert changed[0].startswith("xl/worksheets/sheet")
    assert after.testzip() is None


async def test_flipkart_header_has_its_colours(templates: Templates) -> None:
    book = load_workbook(io.BytesIO((await templates.choose("fli_ear")).content))
    sheet = book["earring"]
    assert sheet["A1"].fill.start_color.rgb == "00C0C0C0"
    assert sheet["G1"].fill.start_color.rgb == "008DB4E2"
    assert book.sheetnames == ["Summary Sheet", "Index", "earring"]


async def test_meesho_lists_are_hidden_and_amazon_has_valid_values(templates: Templates) -> None:
    meesho = load_workbook(io.BytesIO((await templates.choose("mee_nec")).content))
    assert meesho["Validation Sheet"].sheet_state == "hidden"
    assert meesho.worksheets[1].title == "Necklaces & Chains-Fill this"
    amazon = load_workbook(io.BytesIO((await templates.choose("ama_ear")).content))
    assert amazon.sheetnames == ["Template", "Valid Values"]


def test_the_same_data_gives_the_same_fingerprint_and_other_data_another() -> None:
    codes = {generation.fingerprint(marketplaces.load(code)) for code in marketplaces.CODES}
    assert len(codes) == len(marketplaces.CODES)
    assert generation.fingerprint(marketplaces.load("ama_ear")) == generation.fingerprint(marketplaces.load("ama_ear"))


async def test_a_template_is_made_once_and_older_ones_go(tmp_path: Path, store: FolderStore) -> None:
    folder = tmp_path / "built-in"
    folder.mkdir()
    (folder / "mee_ear-0123456789abcdef.xlsx").write_bytes(b"made of older data")
    first = await Templates(folder, store).choose("mee_ear")
    files = list(folder.iterdir())
    assert len(files) == 1
    stamp = files[0].stat().st_mtime_ns
    assert (await Templates(folder, store).choose("mee_ear")).content == first.content
    assert files[0].stat().st_mtime_ns == stamp


def test_the_command_writes_templates(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "exporter_service.builtin", str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("columns") == len(marketplaces.CODES)
    assert {path.stem for path in tmp_path.iterdir()} == set(marketplaces.CODES)


async def test_provenance_tells_where_each_cell_came_from(
    exporter: Exporter, stored: Callable[[str], bytes], make_product: Callable[..., Product]
) -> None:
    listing = marketplaces.load("fli_ear")
    done = await exporter.export(Order("fli_ear", [make_product(listing, "SKU-1")]))
    record = json.loads(stored(done.provenance_url))
    assert record["run_id"] == done.run_id
    row = record["rows"][0]
    batch = record["batches"][row["batch"]]
    own = {name: number for name, number in zip(batch["fields"], row["cells"], strict=True) if number is not None}
    cells = {name: batch["origins"][number] for name, number in (batch["shared"] | own).items()}
    assert cells["Color"] == {
        "rank": "vision",
        "source": "image",
        "confidence": 0.9,
        "evidence": "seen",
        "model_id": "model-1",
        "prompt_version": "v1",
    }
    assert cells["Plating"] == {"rank": "constant", "source": "constant"}
    assert cells["Brand"] == {"rank": "profile", "source": "seller"}
    assert cells["Description"] == {"rank": "copy", "source": "copy"}
