"""Filled workbooks, opened by a spreadsheet program and saved again: every cell, list and mark is still there.

    make test-libreoffice

LibreOffice Calc must be installed (Debian: `apt-get install libreoffice-calc-nogui`). It opens a damaged package only
with a person's consent, which nobody gives here: what it converts needed no repair.
"""

from __future__ import annotations

import asyncio
import io
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import ModuleType

import pytest
import xlrd  # type: ignore[import-untyped]
from openpyxl import load_workbook
from openpyxl.utils.escape import unescape

import marketplaces
from exporter_service import review
from exporter_service.adapters.runs import SqliteRuns
from exporter_service.exporting import Exporter, Order
from exporter_service.model import Copy, Finding, Product, SellerValue, Severity, Template
from exporter_service.profiles import Profiles
from exporter_service.settings import PROFILES
from exporter_service.templates import Templates, read_template
from objectstore import FolderStore, ObjectStoreSettings

SOFFICE = shutil.which("soffice")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(SOFFICE is None, reason="soffice is not installed: apt-get install libreoffice-calc-nogui"),
    pytest.mark.timeout(900),
    # The reader of these tests says that it would lose what the exporter keeps.
    pytest.mark.filterwarnings("ignore:Data Validation extension:UserWarning"),
]

CODES = marketplaces.CODES
# Built-in and in the marketplace's own layout; Amazon's unified one, Flipkart's old format and the tab-separated form.
NAMES = (*(f"{code}_{kind}" for code in CODES for kind in ("builtin", "own")), "ama_ear_unified", "fli_ear_old")
TEXT = "ama_ear_text"
TEXTS = (
    "=1+1", "+91 98290 00000", "-5", "@SUM(A1)", "0012", "1e5", "TRUE", "#N/A", "2026-01-31", "12.50",
    "1234567890123456", "_x0041_ and _x000D_", "<b>bold</b> & 'quoted' \"too\"", " blanks around ", "two\nlines",
    "a\ttab", "₹ 499 नमस्ते 💎", "\u202eright to left", "é" * 300, "]]>", "x" * 5000,
)  # fmt: skip


@dataclass(frozen=True)
class Filled:
    """A filled workbook and what it was made of."""

    template: Template
    products: Sequence[Product]
    content: bytes
    suffix: str


@pytest.fixture(scope="module")
def filled(
    tmp_path_factory: pytest.TempPathFactory,
    built_in_folder: Path,
    layouts: ModuleType,
    old_workbook: bytes,
    make_product: Callable[..., Product],
) -> Mapping[str, Filled]:
    """All workbooks, each with a product for every text."""
    folder = tmp_path_factory.mktemp("filled")

    async def run() -> dict[str, Filled]:
        store = FolderStore(ObjectStoreSettings(_env_file=None, data_dir=folder))  # type: ignore[call-arg]
        runs = SqliteRuns(folder / "runs.sqlite3")
        runs.prepare()
        templates = Templates(built_in_folder, store)
        exporter = Exporter(store, templates, Profiles.read(PROFILES), runs, renders=1)
        sources: dict[str, bytes] = {f"{code}_own": layouts.BY_CODE[code](code) for code in CODES}
        sources |= {"ama_ear_unified": layouts.amazon_unified(), "fli_ear_old": old_workbook}
        sources[TEXT] = layouts.amazon_text()
        done = {}
        for name in (*NAMES, TEXT):
            code = name[:7]
            template = await (
                templates.register(code, sources[name], f"{name}.xlsx", "")
                if name in sources
                else templates.choose(code, f"builtin-{code}")
            )
            products = [
                make_product(template.listing, f"SKU-{number:03}", copy=Copy(text[:100], (text,), text))
                for number, text in enumerate(TEXTS)
            ]
            own = [SellerValue(column.name, "0012") for column in template.columns if not column.field]
            dates = [SellerValue("restock_date", "2026-12-31")] if code.startswith("ama") else []
            exported = await exporter.export(Order(code, products, template.id, seller_values=[*own, *dates]))
            assert exported.rows == len(TEXTS)
            ref = store.parse_url(exported.url)
            assert ref is not None
            content = (await store.get(ref.bucket, ref.key)).data
            done[name] = Filled(template, products, content, Path(ref.key).suffix)
        await store.close()
        return done

    return asyncio.run(run())


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LibreOffice's own settings, apart from those of whoever runs the tests."""
    return tmp_path_factory.mktemp("profile")


@pytest.fixture(scope="module")
def saved_again(
    filled: Mapping[str, Filled], profile: Path, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, bytes]:
    """The workbooks after LibreOffice opened and saved them."""
    folder = tmp_path_factory.mktemp("opened")
    paths = []
    for name in NAMES:
        path = folder / f"{name}{filled[name].suffix}"
        path.write_bytes(filled[name].content)
        paths.append(path)
    told = convert(profile, paths, "xlsx", folder / "saved")
    found = {path.stem: path.read_bytes() for path in (folder / "saved").glob("*.xlsx")}
    assert set(found) == set(NAMES), told
    return found


def convert(profile: Path, paths: Sequence[Path], form: str, target: Path, *options: str) -> str:
    """Lets LibreOffice open files and save them in another form; gives what it said."""
    assert SOFFICE is not None
    command = [SOFFICE, f"-env:UserInstallation={profile.as_uri()}", "--headless", *options, "--convert-to", form]
    done = subprocess.run(
        [*command, "--outdir", str(target), *map(str, paths)], capture_output=True, text=True, timeout=600, check=False
    )
    return done.stdout + done.stderr


Cells = dict[tuple[str, int, int], object]


def cells(content: bytes, suffix: str) -> Cells:
    """Every cell of a workbook that holds something, by sheet, row and column, as people see it."""
    if suffix == ".xls":
        sheets = xlrd.open_workbook(file_contents=content).sheets()
        return _numbered({sheet.name: [sheet.row_values(row) for row in range(sheet.nrows)] for sheet in sheets})
    book = load_workbook(io.BytesIO(content))
    found = _numbered({sheet.title: sheet.iter_rows(values_only=True) for sheet in book.worksheets})
    return {place: unescape(value) if isinstance(value, str) else value for place, value in found.items()}


def cells_saved_again(content: bytes) -> Cells:
    """The same of a workbook that LibreOffice saved: it writes a literal `_x0041_` without Excel's escape."""
    book = load_workbook(io.BytesIO(content))
    return _numbered({sheet.title: sheet.iter_rows(values_only=True) for sheet in book.worksheets})


def _numbered(sheets: Mapping[str, Iterable[Iterable[object]]]) -> Cells:
    """Numbers are alike whether they were written as whole ones or not."""
    return {
        (title, row, column): float(value) if isinstance(value, int) else value
        for title, rows in sheets.items()
        for row, values in enumerate(rows, start=1)
        for column, value in enumerate(values, start=1)
        if value not in (None, "")
    }


@pytest.mark.parametrize("name", NAMES)
def test_it_opens_without_repair_and_every_cell_is_the_same(
    name: str, filled: Mapping[str, Filled], saved_again: Mapping[str, bytes]
) -> None:
    before = cells(filled[name].content, filled[name].suffix)
    after = cells_saved_again(saved_again[name])
    both = {place: (before.get(place), after.get(place)) for place in before.keys() | after.keys()}
    differing = {place: each for place, each in both.items() if each[0] != each[1]}
    assert not differing, str(list(differing.items())[:5])[:2000]
    template = filled[name].template
    skus = [column.number for column in template.columns if column.key == template.listing.sku]
    rows = range(template.data_row, template.data_row + len(TEXTS))
    read = [after[template.sheet, row, skus[0]] for row in rows]
    assert read == [product.sku for product in filled[name].products]


@pytest.mark.parametrize("name", NAMES)
def test_texts_are_texts_and_dates_are_dates(
    name: str, filled: Mapping[str, Filled], saved_again: Mapping[str, bytes]
) -> None:
    template = filled[name].template
    after = cells_saved_again(saved_again[name])
    columns = {column.key: column for column in template.columns if column.key}
    description = columns[template.listing.copy.description_field or ""].number
    read = [after[template.sheet, template.data_row + number, description] for number in range(len(TEXTS))]
    assert read == list(TEXTS)
    own = [column for column in template.columns if column.key and not column.field and column.kind == "text"]
    assert all(after[template.sheet, template.data_row, column.number] == "0012" for column in own)
    restock = columns.get("restock_date")
    if restock is not None:
        wanted = datetime(2026, 12, 31) if restock.serial else "2026-12-31"
        assert after[template.sheet, template.data_row, restock.number] == wanted


@pytest.mark.parametrize("name", NAMES)
def test_lists_marks_and_hidden_sheets_are_still_there(
    name: str, filled: Mapping[str, Filled], saved_again: Mapping[str, bytes]
) -> None:
    """What LibreOffice saved, read as a template, has the same columns with the same lists of allowed values."""
    template = filled[name].template
    again = read_template(template.listing, saved_again[name], "a.xlsx", "alya")
    once = read_template(template.listing, filled[name].content, "a.xlsx", "alya")
    assert (again.sheet, again.data_row) == (template.sheet, template.data_row + len(TEXTS))
    for was, now in zip(once.columns, again.columns, strict=True):
        assert (was.name, was.field, was.allowed_values) == (now.name, now.field, now.allowed_values)
        assert (was.required, was.kind, was.serial) == (now.required, now.kind, now.serial), was.name
    if filled[name].suffix != ".xls":
        states = [
            [(sheet.title, sheet.sheet_state) for sheet in load_workbook(io.BytesIO(each)).worksheets]
            for each in (filled[name].content, saved_again[name])
        ]
        assert states[0] == states[1]


def test_the_tab_separated_form_is_read_as_a_table(filled: Mapping[str, Filled], profile: Path, tmp_path: Path) -> None:
    path = tmp_path / "amazon.txt"
    path.write_bytes(filled[TEXT].content)
    # Tabs between the cells, no quotes, UTF-8, from the first line, every column as text.
    form = "/".join(f"{number}/2" for number in range(1, 268))
    told = convert(
        profile, [path], "xlsx", tmp_path / "saved", f"--infilter=Text - txt - csv (StarCalc):9,,76,1,{form}"
    )
    sheet = load_workbook(tmp_path / "saved" / "amazon.xlsx").worksheets[0]
    names = [str(cell.value) for cell in sheet[3]]
    assert len(names) == 267, told
    read = [sheet.cell(row, names.index("item_sku") + 1).value for row in range(4, 4 + len(TEXTS))]
    assert read == [product.sku for product in filled[TEXT].products]


def test_a_review_copy_opens_too(profile: Path, filled: Mapping[str, Filled], tmp_path: Path) -> None:
    found = [Finding("=A", "Color", "allowed_values", Severity.ERROR, "not in the list", "Gold", 4, "AB4")]
    whole = filled["mee_ear_own"].content
    path = tmp_path / "review.xlsx"
    path.write_bytes(review.with_review(whole, found))
    convert(profile, [path], "xlsx", tmp_path / "saved")
    saved = tmp_path / "saved" / "review.xlsx"
    row = [cell.value for cell in load_workbook(saved)["Review"][2]]
    assert row == ["=A", "4", "AB4", "Color", "allowed_values", "error", "not in the list", "Gold"]
    before = {place: value for place, value in cells(whole, ".xlsx").items() if place[0] != "Review"}
    after = cells_saved_again(saved.read_bytes())
    assert {place: value for place, value in after.items() if place[0] != "Review"} == before


def test_a_damaged_workbook_is_noticed(filled: Mapping[str, Filled], profile: Path, tmp_path: Path) -> None:
    """The tests above would see a sheet that is no XML: it does not come back as it was."""
    whole = filled["mee_ear_own"]
    path = tmp_path / "broken.xlsx"
    with (
        zipfile.ZipFile(io.BytesIO(whole.content)) as source,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            data = source.read(name)
            target.writestr(name, data[: len(data) // 2] if name.endswith("sheet2.xml") else data)
    convert(profile, [path], "xlsx", tmp_path / "saved")
    saved = tmp_path / "saved" / "broken.xlsx"
    assert not saved.exists() or cells_saved_again(saved.read_bytes()) != cells(whole.content, ".xlsx")
