"""How long it takes, and how much memory, to fill 267 columns of a styled template with drop-downs.

    make bench-export                                         1,000 and 10,000 rows
    python services/exporter/bench/bench_export.py 2000       another number of rows

Each line is a process of its own: CPU seconds of the work (imports, and making the template, left out) and the peak of
its resident memory (everything in). "Export" is the whole path of the service behind its wire: merging, checking,
keeping the rows in SQLite, writing workbook and provenance, storing both. "writer" only writes rows into the template.
The alternatives get the same cells. Sequence and values are the same in each run. Prints a table in Markdown.
"""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import marketplaces
from exporter_service.xlsx.filling import Batch

Told = tuple[float, float, bytes]
"""CPU seconds of the work, peak of resident memory in MB when it was done, and the workbook."""
CODE = "ama_ear"
SHEET = "xl/worksheets/sheet1.xml"
SECONDS, MEGABYTES = 6.0, 150.0
"""Targets at 10,000 rows for filling the template."""
SIZES = (1_000, 10_000)
_TIMEOUT = 1800.0
_EXTENSION = (
    '<extLst><ext xmlns:x14="http://schemas.microsoft.com/office/spreadsheetml/2009/9/main" '
    'uri="{CCE6A557-97BC-4b89-ADB6-D9C93CAAB3DF}"><x14:dataValidations '
    'xmlns:xm="http://schemas.microsoft.com/office/excel/2006/main" count="1"><x14:dataValidation type="list" '
    "allowBlank=\"1\"><x14:formula1><xm:f>'Valid Values'!$A$3:$A$5</xm:f></x14:formula1><xm:sqref>A4:A1000</xm:sqref>"
    "</x14:dataValidation></x14:dataValidations></ext></extLst></worksheet>"
)


def build_template() -> bytes:
    """The marketplace's workbook: styled, with drop-downs, an extension validation and a part of custom XML."""
    from exporter_service import builtin

    plain = builtin.build(marketplaces.load(CODE))
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(plain)) as source, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            data = source.read(name)
            if name == SHEET:
                data = data.replace(b"</worksheet>", _EXTENSION.encode())
            target.writestr(name, data)
        target.writestr("customXml/item1.xml", "<seller>kept</seller>")
    return buffer.getvalue()


def pattern(field: marketplaces.Field) -> list[str]:
    """Values that the field takes, one row after the other; `%d` stands for the row's number."""
    listing = marketplaces.load(CODE)
    if field.name == listing.sku:
        return ["ALY-EAR-%06d"]
    # Fields of one label have one list in the workbook.
    options = next((each.options for each in listing.fields if each.label == field.label and each.options), ())
    if options:
        return list(options)
    if field.kind in ("number", "integer"):
        return [str(100 + number) for number in range(0, 900, 7)]
    if field.kind == "url":
        return [f"https://cdn.example.com/{field.name}/%d.jpg"]
    if field.kind == "date":
        return [f"2026-{month:02}-15" for month in range(1, 13)]
    if field.group == "copy":
        return [f"{field.label} of product %d: round stud earrings with a polished finish"]
    return [field.default] if field.default else [f"{field.label} {number}" for number in range(50)]


def text_of(field: marketplaces.Field, row: int) -> str:
    """The value of a field in a row."""
    values = _patterns()[field.name]
    text = values[row % len(values)]
    return text % row if "%" in text else text


@cache
def _patterns() -> dict[str, list[str]]:
    return {field.name: pattern(field) for field in marketplaces.load(CODE).fields}


def cells(count: int) -> Iterator[list[str]]:
    """Rows of texts in the order of the columns, all of them filled."""
    patterns = list(_patterns().values())
    same = [(place, values, len(values)) for place, values in enumerate(patterns) if "%" not in values[0]]
    numbered = [(place, values[0]) for place, values in enumerate(patterns) if "%" in values[0]]
    for row in range(count):
        texts = [""] * len(patterns)
        for place, values, length in same:
            texts[place] = values[row % length]
        for place, text in numbered:
            texts[place] = text % row
        yield texts


class Rows:
    """Rows as the writer takes them; nothing is shared: it gets every cell."""

    def __init__(self, count: int) -> None:
        self.count = count

    def batches(self) -> Mapping[int, Batch]:
        """One batch with all columns."""
        return {1: Batch({}, list(_patterns()))}

    def texts(self) -> Iterator[tuple[int, list[str]]]:
        """All cells of every row."""
        return ((1, row) for row in cells(self.count))


def writer(content: bytes, count: int) -> Told:
    """Only the rows into the template."""
    from exporter_service import rendering
    from exporter_service.model import Format
    from exporter_service.templates import read_template

    template = read_template(marketplaces.load(CODE), content, "seller.xlsx", "alya")
    start = time.process_time()
    filled = rendering.workbook(template, Rows(count), Format.OWN)
    return *_since(start), filled


def export(content: bytes, count: int) -> Told:
    """The path of the service: the template registered, the products exported in one request."""
    from exporter_service.adapters.runs import SqliteRuns
    from exporter_service.exporting import Exporter, Order
    from exporter_service.profiles import Profiles
    from exporter_service.settings import PROFILES
    from exporter_service.templates import Templates
    from objectstore import FolderStore, ObjectStoreSettings

    async def run(folder: Path) -> Told:
        store = FolderStore(ObjectStoreSettings(_env_file=None, data_dir=folder))  # type: ignore[call-arg]
        runs = SqliteRuns(folder / "runs.sqlite3")
        runs.prepare()
        templates = Templates(folder / "templates", store)
        await templates.register(CODE, content, "seller.xlsx", "")
        exporter = Exporter(store, templates, Profiles.read(PROFILES), runs, renders=1)
        start = time.process_time()
        done = await exporter.export(Order(CODE, Products(count), seller_values=seller_values()))
        seconds, peak = _since(start)
        reference = store.parse_url(done.url)
        assert reference is not None
        assert done.rows == count
        filled = (await store.get(reference.bucket, reference.key)).data
        await store.close()
        return seconds, peak, filled

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(run(Path(folder)))


def _since(start: float) -> tuple[float, float]:
    """CPU seconds since a moment, and the peak of resident memory in MB.

    `getrusage` would not do: its peak is never below that of the process that started this one.
    """
    seconds = time.process_time() - start
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return seconds, int(peak.split()[1]) / 1000


def seller_values() -> list[Any]:
    """What the seller says for all products: every column that is neither read, written nor pictured."""
    from exporter_service.model import SellerValue

    listing = marketplaces.load(CODE)
    per_product = {listing.sku, *listing.images, *(f.name for f in (*listing.vision_fields, *listing.copy_fields))}
    return [
        SellerValue(field.name, text_of(field, 0))
        for field in listing.fields
        if field.name not in per_product and not field.default and not field.fixed
    ]


@cache
def _seen(variant: int) -> tuple[Any, ...]:
    from exporter_service.model import Source, Value

    return tuple(
        Value(field.name, (text_of(field, variant),), Source.IMAGE, 0.9, "seen in the first picture", "model-1", "v1")
        for field in marketplaces.load(CODE).vision_fields
    )


class Products(Sequence[Any]):
    """Products made when they are asked for, as the wire's decoder makes them: vision values with evidence, copy,
    nine pictures."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: Any) -> Any:
        from exporter_service.model import Copy, Product

        if place >= self._count:
            raise IndexError(place)
        listing = marketplaces.load(CODE)
        texts = [text_of(field, place) for field in listing.copy_fields]
        urls = tuple(text_of(field, place) for field in listing.image_fields)
        copy = Copy(texts[0], tuple(texts[1:-1]), texts[-1])
        return Product(text_of(listing.sku_field, place), urls, _seen(place % 60), copy)


def openpyxl(content: bytes, count: int) -> Told:
    """The usual way: load the template, set the cells, save it."""
    import warnings

    from openpyxl import load_workbook

    warnings.simplefilter("ignore")
    start = time.process_time()
    book = load_workbook(io.BytesIO(content))
    sheet = book["Template"]
    for number, row in enumerate(cells(count), start=4):
        for column, text in enumerate(row, start=1):
            sheet.cell(number, column, text)
    buffer = io.BytesIO()
    book.save(buffer)
    return *_since(start), buffer.getvalue()


def xlsxwriter(content: bytes, count: int) -> Told:
    """A workbook from nothing, row by row: no template is kept."""
    import xlsxwriter as library  # type: ignore[import-untyped]

    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.xlsx"
        book = library.Workbook(str(path), {"constant_memory": True, "strings_to_formulas": False})
        sheet = book.add_worksheet("Template")
        for number, row in enumerate(cells(count), start=3):
            for column, text in enumerate(row):
                sheet.write_string(number, column, text)
        book.close()
        return *_since(start), path.read_bytes()


WAYS: dict[str, Callable[[bytes, int], Told]] = {
    "writer": writer,
    "Export": export,
    "openpyxl": openpyxl,
    "XlsxWriter": xlsxwriter,
}


def kept(content: bytes, filled: bytes) -> str:
    """How much of the template is left in a filled workbook."""
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(io.BytesIO(filled)) as after:
        names = set(after.namelist())
        others = [name for name in before.namelist() if name != SHEET]
        same = sum(name in names and before.read(name) == after.read(name) for name in others)
        sheet = after.read(SHEET)
    lists = sheet.count(b"<dataValidation ")
    extension = "kept" if b"x14:dataValidation" in sheet else "lost"
    return f"{same} of {len(others)} other parts identical, {lists} drop-downs, extension drop-down {extension}"


def measured(way: str, template: Path, count: int) -> dict[str, Any]:
    """Runs one way in a process of its own."""
    filled = template.with_name(f"{way}.xlsx")
    command = [sys.executable, __file__, "--one", way, str(template), str(filled), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)  # noqa: S603
    if done.returncode:
        raise SystemExit(f"{way} failed:\n{done.stderr}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    content = filled.read_bytes()
    return {**told, "size": len(content) / 1e6, "kept": kept(template.read_bytes(), content)}


def one(way: str, template: Path, filled: Path, count: int) -> None:
    """Runs one way here and prints what it took."""
    seconds, peak, content = WAYS[way](template.read_bytes(), count)
    filled.write_bytes(content)
    print(json.dumps({"cpu": seconds, "peak": peak}))


def main(sizes: Sequence[int]) -> None:
    """Prints a line for each way and size."""
    print("| rows | way | CPU s | peak MB | file MB | times faster than openpyxl | of the template |")
    print("|---:|---|---:|---:|---:|---:|---|")
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "template.xlsx"
        template.write_bytes(build_template())
        results = {}
        for count in sizes:
            results = {way: measured(way, template, count) for way in WAYS}
            report(count, results)
    if sizes[-1] == SIZES[-1]:
        print()
        for way in ("writer", "Export"):
            met = results[way]["cpu"] <= SECONDS and results[way]["peak"] <= MEGABYTES
            told = "met" if met else "not met"
            print(f"{way}: target of {SECONDS:g} s of CPU and {MEGABYTES:g} MB at {SIZES[-1]:,} rows: {told}")


def report(count: int, results: Mapping[str, Mapping[str, Any]]) -> None:
    """Prints what was measured at one size."""
    for way, told in results.items():
        ratio = results["openpyxl"]["cpu"] / told["cpu"]
        print(
            f"| {count:,} | {way} | {told['cpu']:.2f} | {told['peak']:.0f} | {told['size']:.1f} | {ratio:.1f}"
            f" | {told['kept']} |",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[5]))
    else:
        main([int(size) for size in sys.argv[1:]] or SIZES)
