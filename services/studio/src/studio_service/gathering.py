"""Products for a listing from files, an archive, a CSV file, or pasted lines; no Streamlit.

Every function raises Problem with a sentence that says what to do; nothing is taken by half.
"""

from __future__ import annotations

import io
import re
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from jewelry_client import sources
from jewelry_client.sources import SourceError

from studio_service.describing import MAX_PICTURE, Photo, sku_of
from studio_service.problems import Problem

# Of an archive: files, and bytes of all of them unpacked.
MAX_FILES = 4000
MAX_UNPACKED = 1024 * 1024 * 1024
MAX_LINES = 5000
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
# A comma may belong to an address, so that only one with a space or a scheme behind it separates.
_SEPARATOR = re.compile(r"[\t;]|,(?=\s|https?://)|,(?=[^,/?#]*$)|\s+(?=https?://)", re.IGNORECASE)


@dataclass(frozen=True)
class Draft:
    """A product before it is sent.

    Attributes:
        pictures: Photos that are still to be stored, or addresses; the main one first.
        values: Values for columns of the workbook.
    """

    sku: str
    pictures: tuple[Photo | str, ...] = field(repr=False)
    values: dict[str, str] = field(default_factory=dict)


def from_photos(photos: Sequence[Photo]) -> list[Draft]:
    """One product per photo; `A-1_2.jpg` and `A-1_back.jpg` are more views of `A-1.jpg`."""
    if not photos:
        return []
    return _read(photos, table=None)


def from_table(table: Photo, photos: Sequence[Photo]) -> list[Draft]:
    """Products of a CSV file with a column `sku`; pictures by address, by file name, or by SKU among `photos`."""
    return _read(photos, table=table)


def from_archive(archive: Photo) -> list[Draft]:
    """Products of a zip file: its photos by name, or its CSV file with its photos."""
    tables, photos = _unpacked(archive)
    if len(tables) > 1:
        raise Problem(f"{archive.name} holds {len(tables)} CSV files; leave one in it.")
    if not photos and not tables:
        raise Problem(f"{archive.name} holds no photos; put JPEG, PNG or WebP files into it.")
    return _read(photos, table=tables[0] if tables else None)


def from_lines(text: str) -> list[Draft]:
    """Products of pasted lines: a SKU and an address each, in either order; several addresses are separated by `|`.

    A line with an address alone gets its SKU from the address.
    """
    drafts = []
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(lines) > MAX_LINES:
        raise Problem(f"These are {len(lines)} lines; paste at most {MAX_LINES} at a time.")
    for number, line in lines:
        parts = [part.strip() for part in _SEPARATOR.split(line) if part and part.strip()]
        addresses = [one for part in parts if _ADDRESS.match(part) for one in _addresses(part)]
        names = [part for part in parts if not _ADDRESS.match(part)]
        if not addresses:
            raise Problem(f"Line {number} has no address that begins with http:// or https://: {line[:60]}")
        if len(names) > 1:
            raise Problem(f"Line {number} has more than one SKU: {', '.join(names)[:80]}")
        sku = names[0] if names else sku_of(addresses[0].partition("?")[0])
        if not sku:
            raise Problem(f"Line {number}: the SKU is missing; write it before the address.")
        drafts.append(Draft(sku, tuple(addresses)))
    return checked(drafts)


def checked(drafts: Iterable[Draft]) -> list[Draft]:
    """The drafts, if every SKU is there once."""
    found = list(drafts)
    counts: dict[str, int] = {}
    for draft in found:
        counts[draft.sku] = counts.get(draft.sku, 0) + 1
    twice = [sku for sku, count in counts.items() if count > 1]
    if twice:
        raise Problem(f"A SKU may come once only; change or remove one of: {', '.join(twice[:5])}")
    if any(not draft.sku.strip() for draft in found):
        raise Problem("A product has no SKU; write one, or take the product out.")
    return found


def renamed(drafts: Sequence[Draft], skus: Sequence[str], kept: Sequence[bool]) -> list[Draft]:
    """The drafts that are kept, under the SKUs that a person gave them."""
    return checked(replace(draft, sku=sku.strip()) for draft, sku, keep in zip(drafts, skus, kept, strict=True) if keep)


def photo_count(drafts: Iterable[Draft]) -> int:
    """Photos that are still to be stored."""
    return sum(isinstance(picture, Photo) for draft in drafts for picture in draft.pictures)


def _read(photos: Sequence[Photo], *, table: Photo | None) -> list[Draft]:
    """Has the client's own reader look at the files, as the command line does."""
    by_name = _named(photos)
    with tempfile.TemporaryDirectory(prefix="studio-") as name:
        folder = Path(name)
        for file_name in by_name:
            # The reader goes by names; the content stays where it is.
            (folder / file_name).touch()
        source = folder
        if table is not None:
            source = folder / "products.csv"
            source.write_bytes(table.content)
        try:
            products = sources.read(source, photos=folder)
        except SourceError as error:
            raise Problem(_sentence(str(error), folder, table)) from error
    return checked(
        Draft(product.sku, tuple(_content(one, by_name) for one in product.pictures), dict(product.values))
        for product in products
    )


def _content(picture: Path | str, by_name: dict[str, Photo]) -> Photo | str:
    return by_name[picture.name] if isinstance(picture, Path) else picture


def _named(photos: Sequence[Photo]) -> dict[str, Photo]:
    by_name: dict[str, Photo] = {}
    for photo in photos:
        name = photo.name.replace("\\", "/").rpartition("/")[2]
        if name in by_name and by_name[name].content != photo.content:
            raise Problem(f"Two different files are called {name}; rename one of them.")
        if not photo.content:
            raise Problem(f"{name} is an empty file; choose another one.")
        if len(photo.content) > MAX_PICTURE:
            raise Problem(f"{name} is larger than 20 MiB; save it smaller.")
        by_name[name] = Photo(name, photo.content)
    return by_name


def _sentence(text: str, folder: Path, table: Photo | None) -> str:
    """The reader's sentence without the places that only it knows."""
    text = text.replace(str(folder / "products.csv"), table.name if table else "")
    text = text.replace(f"{folder}/", "").replace(str(folder), "the upload")
    named = table is not None and text.startswith(table.name)
    return f"{text}." if named else f"{text[:1].upper()}{text[1:]}."


def _unpacked(archive: Photo) -> tuple[list[Photo], list[Photo]]:
    """CSV files and photos of a zip file, by their names alone: its folders are of no meaning."""
    tables, photos = [], []
    try:
        with zipfile.ZipFile(io.BytesIO(archive.content)) as opened:
            entries = [entry for entry in opened.infolist() if not entry.is_dir()]
            if len(entries) > MAX_FILES:
                raise Problem(f"{archive.name} holds {len(entries)} files; at most {MAX_FILES} are taken.")
            # What an entry says about its size binds the reader: it gives no byte more.
            if sum(entry.file_size for entry in entries) > MAX_UNPACKED:
                raise Problem(f"{archive.name} is larger than 1 GiB when unpacked; split it.")
            for entry in entries:
                path = Path(entry.filename.replace("\\", "/"))
                if path.name.startswith(".") or "__MACOSX" in path.parts:
                    continue
                if path.suffix.lower() == ".csv":
                    tables.append(Photo(path.name, opened.read(entry)))
                elif path.suffix.lower() in sources.PICTURES:
                    if entry.file_size > MAX_PICTURE:
                        raise Problem(f"{path.name} is larger than 20 MiB; save it smaller.")
                    photos.append(Photo(path.name, opened.read(entry)))
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, OSError) as error:
        raise Problem(f"{archive.name} is no zip file that can be read; pack it again.") from error
    except RuntimeError as error:
        raise Problem(f"{archive.name} has a password; pack it without one.") from error
    return tables, photos


def _addresses(part: str) -> list[str]:
    return [one.strip() for one in part.split("|") if one.strip()]
