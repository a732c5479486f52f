"""What the exporter's tests share: a store in a folder, an exporter, and products."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from openpyxl import Workbook, load_workbook
from openpyxl.worksheet.worksheet import Worksheet

import marketplaces
from exporter_service.adapters.runs import SqliteRuns
from exporter_service.exporting import Exporter
from exporter_service.model import Copy, Product, Source, Value
from exporter_service.profiles import Profiles
from exporter_service.settings import PROFILES
from exporter_service.templates import Templates
from objectstore import FolderStore, ObjectStoreSettings

PICTURES = ("https://alyaimg.s3.amazonaws.com/images/front.jpg", "https://alyaimg.s3.amazonaws.com/images/side.jpg")

ReadBack = Callable[[str], Workbook]


@pytest.fixture(scope="session")
def built_in_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built-in templates are made once for all tests."""
    return tmp_path_factory.mktemp("templates")


@pytest.fixture
def templates(built_in_folder: Path, store: FolderStore) -> Templates:
    return Templates(built_in_folder, store)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FolderStore]:
    store = FolderStore(ObjectStoreSettings(_env_file=None, data_dir=tmp_path))  # type: ignore[call-arg]
    yield store
    await store.close()


@pytest.fixture(scope="session")
def layouts() -> ModuleType:
    """Makers of workbooks in the marketplaces' own layouts: the module `layouts.py` beside this one."""
    spec = spec_from_file_location("exporter_layouts", Path(__file__).with_name("layouts.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def old_workbook() -> bytes:
    """The Flipkart layout as an .xls: `layouts.py`'s, saved by LibreOffice as "MS Excel 97"."""
    return (Path(__file__).parent / "data" / "flipkart_earring.xls").read_bytes()


@pytest.fixture
def runs(tmp_path: Path) -> SqliteRuns:
    runs = SqliteRuns(tmp_path / "exporter" / "runs.sqlite3")
    runs.prepare()
    return runs


@pytest.fixture
def exporter(store: FolderStore, templates: Templates, runs: SqliteRuns) -> Exporter:
    return Exporter(store, templates, Profiles.read(PROFILES), runs, renders=2)


@pytest.fixture
def stored(store: FolderStore, tmp_path: Path) -> Callable[[str], bytes]:
    """The bytes behind an address that was given out."""

    def read(url: str) -> bytes:
        ref = store.parse_url(url)
        assert ref is not None, url
        return (tmp_path / "objects" / ref.bucket / ref.key).read_bytes()

    return read


@pytest.fixture
def opened(stored: Callable[[str], bytes]) -> ReadBack:
    """The workbook behind an address, opened by openpyxl."""
    return lambda url: load_workbook(io.BytesIO(stored(url)))


@pytest.fixture(scope="session")
def make_product() -> Callable[..., Product]:
    """Makes a product with every vision field that has options answered, two pictures and copy."""

    def make(listing: marketplaces.Listing, sku: str, **changes: object) -> Product:
        values = tuple(
            Value(
                field.name, (field.options[len(sku) % len(field.options)],), Source.IMAGE, 0.9, "seen", "model-1", "v1"
            )
            for field in listing.vision_fields
            if field.options
        )
        copy = Copy(
            "Silver Tone Round Stud Earrings",
            tuple(f"Point {number} about the design" for number in range(1, 11)),
            "A light pair for every day.",
        )
        whole = {"image_urls": PICTURES, "fields": values, "copy": copy} | changes
        return Product(sku, **whole)  # type: ignore[arg-type]

    return make


@pytest.fixture
def drop_downs() -> Callable[[Workbook, Worksheet], list[tuple[str, list[str]]]]:
    """Gives the ranges of a sheet's drop-downs and their values."""
    return lambda book, sheet: list(_drop_downs(book, sheet))


def _drop_downs(book: Workbook, sheet: Worksheet) -> Iterator[tuple[str, list[str]]]:
    for rule in sheet.data_validations.dataValidation:
        formula = rule.formula1
        if formula.startswith('"'):
            values = formula.strip('"').split(",")
        else:
            name, _, reference = formula.rpartition("!")
            cells = book[name.strip("'")][reference.replace("$", "")]
            values = [row[0].value for row in cells]
        yield str(rule.sqref), values
