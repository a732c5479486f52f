"""What to scrape: a file of ids, an address, ids, or words to search for."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openpyxl import load_workbook

from scrapers.sites import SearchResult, Site

MAX_FILE_BYTES = 50 * 1024 * 1024
MAX_LINES = 200_000
MAX_QUERY = 200  # characters
_FILE_ENDINGS = (".txt", ".csv", ".tsv", ".xlsx")
# Headers of columns that hold ids or addresses, as sellers' files have them.
_ID_COLUMNS = ("asin", "asins", "product_id", "id", "ids", "fsn", "pid", "item_id", "itm_id", "style_id", "url", "link")


class BadInput(Exception):
    """What was given cannot be scraped; the sentence says what to give."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to scrape. Either `products` or `search` (the address of a results page) is filled.

    `name` is the same for the same wish: it tells one run from another. `refused` are lines that name no product.
    """

    name: str
    products: tuple[SearchResult, ...] = ()
    search: str = ""
    refused: tuple[str, ...] = ()


def understand(site: Site, given: str) -> Wanted:
    """What a word of the command line means for a site.

    Raises:
        BadInput: it means nothing; the sentence says what to give instead.
    """
    text = given.strip()
    path = Path(text)
    # A file without a known ending is meant only with a folder before it: "./rings" is a file, "rings" are words.
    named_like_a_file = path.suffix.lower() in _FILE_ENDINGS
    if (named_like_a_file or "/" in text) and _is_file(path):
        return _from_file(site, path)
    if named_like_a_file:
        raise BadInput(f"there is no file {text}")
    if text.startswith(("http://", "https://")):
        return _from_url(site, text)
    parts = [part for part in text.replace(",", " ").split() if part]
    if parts and all(site.is_id(part) for part in parts):
        return Wanted(f"{site.name} ids {' '.join(parts)[:500]}", tuple(_products(site, parts)))
    if not parts:
        raise BadInput(f"give an address of {site.data.title}, words to search for, ids, or a file of ids")
    if len(text) > MAX_QUERY:
        raise BadInput(f"a search has at most {MAX_QUERY} characters; put ids into a file")
    return Wanted(f"{site.name} search {' '.join(parts).lower()}", search=site.search_url(text))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # longer than a path may be
        return False


def _from_url(site: Site, url: str) -> Wanted:
    if not site.owns(url):
        raise BadInput(f"{url} is no address of {site.data.title} ({site.base_url})")
    product_id = site.id_in(url)
    if product_id:
        return Wanted(f"{site.name} product {product_id}", (SearchResult(product_id, site.tidy(url)),))
    return Wanted(f"{site.name} list {url}", search=url)


def _from_file(site: Site, path: Path) -> Wanted:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise BadInput(f"{path} is larger than {MAX_FILE_BYTES // 1024 // 1024} MiB")
    lines = [line for line in (text.strip() for text in _entries(path)) if line and not line.startswith("#")]
    products: dict[str, SearchResult] = {}
    refused: list[str] = []
    for line in lines[:MAX_LINES]:
        product = _product(site, line)
        if product is None:
            refused.append(line)
        else:
            products.setdefault(product.product_id, product)
    if not products:
        raise BadInput(f"{path} names no product of {site.data.title}: one id or address per line, or a column of them")
    return Wanted(f"{site.name} file {path.resolve()}", tuple(products.values()), refused=tuple(refused))


def _products(site: Site, parts: Iterable[str]) -> Iterator[SearchResult]:
    for part in dict.fromkeys(parts):
        yield SearchResult(part, site.product_url(part))


def _product(site: Site, line: str) -> SearchResult | None:
    if site.is_id(line):
        return SearchResult(line, site.product_url(line))
    if line.startswith(("http://", "https://")) and site.owns(line) and site.id_in(line):
        return SearchResult(site.id_in(line), site.tidy(line))
    return None


def _entries(path: Path) -> Iterator[str]:
    """Cells of the column of ids, or lines."""
    ending = path.suffix.lower()
    try:
        if ending == ".xlsx":
            yield from _column(_workbook_rows(path))
        elif ending in (".csv", ".tsv"):
            with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
                yield from _column(csv.reader(file, delimiter="\t" if ending == ".tsv" else ","))
        else:
            yield from path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except csv.Error as error:
        raise BadInput(f"{path} is no readable table: {error}") from error


def _workbook_rows(path: Path) -> Iterator[list[Any]]:
    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # openpyxl raises many kinds on what is no workbook
        raise BadInput(f"{path} is no readable workbook") from error
    try:
        for row in book.worksheets[0].iter_rows(values_only=True):
            yield list(row)
    finally:
        book.close()


def _column(rows: Iterable[list[Any]]) -> Iterator[str]:
    """The column whose header is known, else the first one, its own first cell included."""
    place = 0
    for number, row in enumerate(rows):
        if number > MAX_LINES:
            return
        cells = ["" if cell is None else str(cell).strip() for cell in row]
        if number == 0:
            named = [index for index, cell in enumerate(cells) if cell.lower().replace(" ", "_") in _ID_COLUMNS]
            if named:
                place = named[0]
                continue
        if place < len(cells):
            yield cells[place]
