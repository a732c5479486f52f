"""Products from a CSV file or a folder of photos."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jewelry_client.errors import JewelryError

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"})
_SKU_COLUMNS = ("sku", "skuid", "skuids", "skus")
_PICTURE_COLUMNS = ("image_urls", "image_url", "images", "image", "photos", "photo", "pictures", "picture")
# More views of a product: ALY-EAR-001_2.jpg beside ALY-EAR-001.jpg.
_VIEW = re.compile(r"(?P<sku>.+)_(?:[0-9]{1,2}|front|back|side|top|detail|model|worn)", re.IGNORECASE)


class SourceError(JewelryError):
    """What is wrong with a CSV file or a folder, in one sentence."""


@dataclass(frozen=True)
class Product:
    """A product to bring into a catalogue.

    Attributes:
        sku: Seller's SKU.
        pictures: Files, or addresses as text; the main one first.
        values: Values for columns of the workbook, such as brand or mrp.
    """

    sku: str
    pictures: tuple[Path | str, ...]
    values: Mapping[str, str] = field(default_factory=dict)


def read(source: Path, *, photos: Path | None = None) -> list[Product]:
    """The products of a CSV file or of a folder.

    Args:
        source: A folder: each picture's name is its SKU, `_2` or `_back` behind it is one more view. A CSV file: a
            column `sku`; one such as `image` with files or addresses, several separated by `|`; the others are values.
        photos: Where the pictures of a CSV file are; by default beside it, or in `photos` beside it.

    Raises:
        SourceError: There is no such source, or a product has no picture.
    """
    if source.is_dir():
        products = [Product(sku, views) for sku, views in sorted(_by_sku(source).items())]
        if not products:
            raise SourceError(f"{source} holds no pictures")
        return products
    if not source.is_file():
        raise SourceError(f"{source} is neither a CSV file nor a folder")
    folder = photos or next((one for one in (source.parent / "photos", source.parent) if one.is_dir()), source.parent)
    return _from_csv(source, folder)


def _from_csv(source: Path, folder: Path) -> list[Product]:
    try:
        with source.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            names = list(reader.fieldnames or ())
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{source} is no CSV in UTF-8") from error
    sku_column = _column(names, _SKU_COLUMNS)
    if sku_column is None:
        raise SourceError(f"{source} has no column `sku`; it has {', '.join(names) or 'none'}")
    picture_column = _column(names, _PICTURE_COLUMNS)
    known = None if picture_column else _by_sku(folder)
    products = []
    for number, row in enumerate(rows, 2):
        sku = (row.get(sku_column) or "").strip()
        if not sku:
            raise SourceError(f"{source}, line {number}: the SKU is missing")
        pictures: tuple[Path | str, ...]
        if known is None:
            pictures = _listed(row.get(picture_column or "") or "", source.parent, folder)
        else:
            pictures = known.get(sku, ())
        if not pictures:
            raise SourceError(f"{source}, line {number}: {sku} has no picture; {_hint(folder, known)}")
        missing = [str(one) for one in pictures if isinstance(one, Path) and not one.is_file()]
        if missing:
            raise SourceError(f"{source}, line {number}: there is no file {missing[0]}")
        values = {
            name: value.strip()
            for name, value in row.items()
            if name not in (sku_column, picture_column) and isinstance(value, str) and value.strip()
        }
        products.append(Product(sku, pictures, values))
    if not products:
        raise SourceError(f"{source} holds no products")
    return products


def _listed(text: str, *folders: Path) -> tuple[Path | str, ...]:
    """Files and addresses of a cell; a file is looked for in each folder."""
    found: list[Path | str] = []
    for entry in (part.strip() for part in text.split("|")):
        if re.match(r"https?://", entry, re.IGNORECASE):
            found.append(entry)
        elif entry:
            candidates = [folder / entry for folder in folders]
            found.append(next((one for one in candidates if one.is_file()), candidates[0]))
    return tuple(found)


def _by_sku(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Pictures of a folder by SKU, the one without a view first."""
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES and path.is_file())
    stems = {path.stem for path in files}
    grouped: dict[str, list[Path]] = {}
    for path in files:
        view = _VIEW.fullmatch(path.stem)
        # A name that ends like a view is one only beside the picture that it is a view of.
        sku = view["sku"] if view and view["sku"] in stems else path.stem
        grouped.setdefault(sku, []).append(path)
    return {sku: tuple(sorted(paths, key=lambda path: (path.stem != sku, path.name))) for sku, paths in grouped.items()}


def _column(names: Iterable[str], wanted: Sequence[str]) -> str | None:
    lower = {name.strip().lower(): name for name in names if name}
    return next((lower[name] for name in wanted if name in lower), None)


def _hint(folder: Path, known: object) -> str:
    return "its cell is empty" if known is None else f"{folder} has no picture of that name"
