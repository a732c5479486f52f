"""Tables: every format holds the records, and no cell is a formula."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow.parquet as pq
import pytest

from scrapers import output
from scrapers.outcome import Failure, Picture, Upload
from scrapers.output import excel, tables
from scrapers.output.parquet import SCHEMA
from scrapers.record import Record, Specification, Variant

FORMULAS = ("=1+1", "+1", "-1+2", "@SUM(A1)", '=HYPERLINK("http://x","y")', "\t=1", "#N/A", "=cmd|' /C calc'!A0")


def records() -> list[Record]:
    plain = Record(
        site="flipkart",
        product_id="JWLTESTFSN000001",
        alternate_id="itm0000000000001",
        url="https://www.flipkart.com/x/p/itm1?pid=JWLTESTFSN000001",
        title="Jhumka स्वर्ण ₹",
        brand="Alya",
        price=Decimal("1234.50"),
        price_to=Decimal(2000),
        mrp=Decimal(2999),
        currency="INR",
        rating=4.25,
        ratings_count=1200,
        availability="in_stock",
        seller="RetailNet",
        bullets=("one", "two"),
        description="a\nb",
        specifications=(Specification(group="General", name="Metal", value="Brass"),),
        category_path=("Jewellery", "Earrings"),
        images=("https://i/1.jpg", "https://i/2.jpg"),
        videos=("https://v/1.mp4",),
        variants=(Variant(product_id="P", options=(("Colour", "Gold"), ("Size", "M")), available=False),),
        scraped_at=datetime(2026, 11, 22, 9, 30, 1, 999, tzinfo=UTC),
    )
    hostile = [
        Record(
            site="amazon",
            product_id=f"B0TEST000{number}",
            url="https://x",
            title=text,
            brand=text,
            bullets=(text,),
            specifications=(Specification(name=text, value=text),),
            variants=(Variant(options=((text, text),)),),
        )
        for number, text in enumerate(FORMULAS)
    ]
    return [plain, *hostile]


def results() -> output.Results:
    picture = Picture("JWLTESTFSN000001", "https://i/1.jpg", "pics/1.jpg", "image/jpeg", 800, 600, 12345)
    refused = Picture("JWLTESTFSN000001", "https://i/2.jpg", reason="answers 404")
    upload = Upload("JWLTESTFSN000001", "https://i/1.jpg", "stored", "similar", "https://s3/1.jpg", 3)
    return output.Results(
        records,
        {(kept.product_id, kept.url): kept for kept in (picture, refused)},
        {(upload.product_id, upload.url): upload},
        [Failure("product", "B0GONE", "https://x/dp/B0GONE", "gone", "answers 404")],
    )


def sheet(book: openpyxl.Workbook, name: str) -> list[dict[str, Any]]:
    header, *rows = book[name].iter_rows(values_only=True)
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_excel_one_row_per_product_and_sheets_for_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "new" / "products.xlsx"
    output.write(path, results())
    book = openpyxl.load_workbook(path)
    assert book.sheetnames == ["Products", "Images", "Specifications", "Variants", "Catalogue", "Failures"]
    products = sheet(book, "Products")
    assert len(products) == len(records())
    first = products[0]
    assert first["price"] == 1234.5
    assert first["ratings_count"] == 1200
    assert first["scraped_at"] == datetime(2026, 11, 22, 9, 30, 1)
    assert first["category_path"] == "Jewellery > Earrings"
    assert first["bullets"] == "one\ntwo"
    assert (first["image"], first["image_count"]) == ("https://i/1.jpg", 2)
    assert first["variants"] == "Colour: Gold, Size: M"
    assert products[1]["price"] is None
    images = sheet(book, "Images")
    assert [row["kind"] for row in images] == ["image", "image", "video"]
    assert (images[0]["file"], images[0]["width"], images[1]["problem"]) == ("pics/1.jpg", 800, "answers 404")
    assert sheet(book, "Specifications")[0]["value"] == "Brass"
    assert sheet(book, "Variants")[0]["available"] is False
    assert sheet(book, "Catalogue")[0]["verdict"] == "similar"
    assert sheet(book, "Failures")[0]["key"] == "B0GONE"
    assert not list(path.parent.glob(".*partial"))


def test_excel_holds_no_formula_and_no_link(tmp_path: Path) -> None:
    path = tmp_path / "products.xlsx"
    output.write(path, results())
    book = openpyxl.load_workbook(path)
    for name in book.sheetnames:
        for row in book[name].iter_rows():
            for cell in row:
                assert cell.data_type in ("s", "n", "d", "b"), (name, cell.coordinate, cell.value)
                assert cell.hyperlink is None
                assert isinstance(cell.value, str) == (cell.data_type == "s")
    assert [row["title"] for row in sheet(book, "Products")][1:] == list(FORMULAS)


def test_excel_cuts_what_a_cell_cannot_hold_and_drops_what_xml_cannot(tmp_path: Path) -> None:
    long = Record(site="amazon", product_id="B0TEST0001", url="u", title="t\x0b\x1f", description="x" * 40_000)
    path = tmp_path / "p.xlsx"
    output.write(path, output.Results(lambda: [long]))
    row = sheet(openpyxl.load_workbook(path), "Products")[0]
    assert len(row["description"]) == excel.MAX_CELL
    assert row["description"].endswith("[…]")
    assert row["title"] == "t"


def test_csv_is_safe_and_readable(tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    output.write(path, results())
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(records())
    assert rows[0]["price"] == "1234.50"
    assert rows[0]["images"] == "https://i/1.jpg | https://i/2.jpg"
    assert rows[0]["scraped_at"] == "2026-11-22T09:30:01+00:00"
    for row in rows:
        for value in row.values():
            assert not value.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_parquet_and_json_lines_hold_the_whole_record(tmp_path: Path) -> None:
    for name in ("p.parquet", "p.jsonl", "p.ndjson"):
        output.write(tmp_path / name, results())
    for name in ("p.jsonl", "p.ndjson"):
        lines = (tmp_path / name).read_text().splitlines()
        assert [Record.model_validate_json(line) for line in lines] == records()
    table = pq.read_table(tmp_path / "p.parquet").to_pylist()
    first = table[0]
    assert first["price"] == Decimal("1234.50")
    assert first["scraped_at"] == records()[0].scraped_at
    assert first["variants"][0]["options"] == [{"name": "Colour", "value": "Gold"}, {"name": "Size", "value": "M"}]
    assert first["specifications"] == [{"group": "General", "name": "Metal", "value": "Brass"}]
    assert [row["title"] for row in table] == [record.title for record in records()]


def test_every_field_of_a_record_is_a_column_everywhere() -> None:
    assert set(Record.model_fields) == set(SCHEMA.names)
    assert set(Record.model_fields) <= set(tables.PRODUCT_COLUMNS)


def test_no_products_are_tables_too(tmp_path: Path) -> None:
    for ending in output.FORMATS:
        output.write(tmp_path / f"none{ending}", output.Results(list))
        assert (tmp_path / f"none{ending}").exists()


def test_an_unknown_ending_is_refused_and_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    with pytest.raises(output.UnknownFormat, match="must be one of"):
        output.write(tmp_path / "products.pdf", results())
    path = tmp_path / "p.jsonl"
    path.write_text("old")

    def broken() -> list[Record]:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        output.write(path, output.Results(broken))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
