"""Products from CSV files and folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from jewelry_client import sources
from jewelry_client.sources import Product, SourceError

SAMPLES = Path(__file__).parents[3] / "samples"


def photos(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


def test_a_folder(tmp_path: Path) -> None:
    photos(tmp_path, "A-1.jpg", "A-1_2.JPG", "A-1_back.png", "B_2.jpg", "notes.txt")
    assert sources.read(tmp_path) == [
        Product("A-1", (tmp_path / "A-1.jpg", tmp_path / "A-1_2.JPG", tmp_path / "A-1_back.png")),
        Product("B_2", (tmp_path / "B_2.jpg",)),
    ]


def test_a_csv_with_files_and_addresses(tmp_path: Path) -> None:
    photos(tmp_path / "photos", "a.jpg", "b.jpg")
    table = tmp_path / "p.csv"
    table.write_text('\ufeffSKU,Image,mrp,brand\nA,a.jpg|https://x.example/c,499,\n"B",photos/b.jpg, ,Alya\n')
    assert sources.read(table) == [
        Product("A", (tmp_path / "photos" / "a.jpg", "https://x.example/c"), {"mrp": "499"}),
        Product("B", (tmp_path / "photos" / "b.jpg",), {"brand": "Alya"}),
    ]


def test_a_csv_without_pictures_finds_them_by_name(tmp_path: Path) -> None:
    folder = photos(tmp_path / "shots", "A.jpg", "A_2.jpg")
    table = tmp_path / "p.csv"
    table.write_text("sku\nA\n")
    assert sources.read(table, photos=folder) == [Product("A", (folder / "A.jpg", folder / "A_2.jpg"))]


def test_the_samples() -> None:
    products = sources.read(SAMPLES / "products.csv")
    by_sku = {product.sku: product for product in products}
    assert len(by_sku) == len(products) >= 30
    assert [path.name for path in by_sku["ALY-EAR-001"].pictures if isinstance(path, Path)] == [
        "ALY-EAR-001.jpg",
        "ALY-EAR-001_2.jpg",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name\nx\n", "no column `sku`; it has name"),
        ("", "no column `sku`; it has none"),
        ("sku\n", "holds no products"),
        ("sku,image\nA,none.jpg\n", "line 2: there is no file"),
        ("sku,image\nA,\n", "line 2: A has no picture; its cell is empty"),
        ("sku,image\n,a.jpg\n", "line 2: the SKU is missing"),
        ("sku\nA\n", "has no picture of that name"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, words: str) -> None:
    table = tmp_path / "p.csv"
    table.write_text(text)
    with pytest.raises(SourceError, match=words):
        sources.read(table)


def test_what_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="neither"):
        sources.read(tmp_path / "none")
    with pytest.raises(SourceError, match="no pictures"):
        sources.read(tmp_path)
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SourceError, match="UTF-8"):
        sources.read(tmp_path / "b.csv")
