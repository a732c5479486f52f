"""Registered templates: versions, restarts, replicas, and what differs from the version before."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from openpyxl import Workbook, load_workbook

from exporter_service.adapters.runs import SqliteRuns
from exporter_service.exporting import Exporter, Order
from exporter_service.model import Product
from exporter_service.profiles import Profiles
from exporter_service.settings import PROFILES
from exporter_service.templates import Templates
from objectstore import FolderStore
from servicekit import errors

# The reader of these tests says that it would lose what the exporter keeps.
pytestmark = pytest.mark.filterwarnings("ignore:Data Validation extension:UserWarning")

Opened = Callable[[str], Workbook]


def with_column(layouts: ModuleType, content: bytes, name: str) -> bytes:
    """The Meesho layout with one more column, second in the sheet."""
    book = load_workbook(io.BytesIO(content))
    sheet = book["Earrings & Studs-Fill this"]
    sheet.insert_cols(5)
    sheet.cell(2, 5, "Optional Field")
    sheet.cell(3, 5, f"\n\n{name}\n\nhelp")
    return layouts.saved(book)  # type: ignore[no-any-return]


async def test_versions_are_kept_and_the_newest_serves(
    templates: Templates, exporter: Exporter, layouts: ModuleType, tmp_path: Path, opened: Opened
) -> None:
    before = layouts.meesho()
    first = await templates.register("mee_ear", before, "C:\\Downloads\\meesho.xlsx", "")
    assert (first.id, first.version, first.original_name) == ("alya-mee_ear-1", 1, "meesho.xlsx")
    second = await templates.register("mee_ear", with_column(layouts, before, "Box Colour"), "new.xlsx", "")
    assert (second.id, second.version) == ("alya-mee_ear-2", 2)
    assert second.warnings[0].startswith("the header differs from that of version 1: added 'Box Colour'; 41 in another")
    files = sorted(path.name for path in (tmp_path / "objects/alyaimg/templates/mee_ear").iterdir())
    assert [name for name in files if name.endswith(".json")] == ["000001.json", "000002.json"]
    assert len(files) == 4
    done = await exporter.export(Order("mee_ear", [Product("A")]))
    assert done.template_id == second.id
    older = await exporter.export(Order("mee_ear", [Product("A")], template_id=first.id))
    assert older.template_id == first.id
    names = [
        [str(cell.value).strip().split("\n")[0] for cell in opened(url)[first.sheet][3]]
        for url in (done.url, older.url)
    ]
    assert ["Box Colour" in each for each in names] == [True, False]


async def test_the_same_file_is_the_same_version(templates: Templates, layouts: ModuleType, tmp_path: Path) -> None:
    first = await templates.register("mee_ear", layouts.meesho(), "a.xlsx", "")
    again = await templates.register("mee_ear", (await templates.choose("mee_ear")).content, "b.xlsx", "")
    assert again.id == first.id
    assert len(list((tmp_path / "objects/alyaimg/templates/mee_ear").iterdir())) == 2


async def test_another_replica_and_a_restart_see_the_same(
    templates: Templates, store: FolderStore, layouts: ModuleType, tmp_path: Path
) -> None:
    for code, content in (
        ("mee_ear", layouts.meesho()),
        ("ama_ear", layouts.amazon_text()),
        ("fli_ear", layouts.flipkart()),
    ):
        known = await templates.register(code, content, "seller", "")
        other = Templates(tmp_path / "elsewhere", store)
        seen = await other.choose(code)
        assert seen is not known
        for name in (
            "id",
            "code",
            "version",
            "sheet",
            "data_row",
            "columns",
            "content",
            "warnings",
            "medium",
            "created",
        ):
            assert getattr(seen, name) == getattr(known, name), name
        assert [template.id for template in await other.list(code)] == [known.id, f"builtin-{code}"]


async def test_registering_at_once_gives_each_a_version_of_its_own(
    templates: Templates, store: FolderStore, layouts: ModuleType, tmp_path: Path
) -> None:
    """Two `Templates` stand for two replicas."""
    other = Templates(tmp_path / "elsewhere", store)
    contents = [with_column(layouts, layouts.meesho(), f"Note {number}") for number in range(6)]
    done = await asyncio.gather(
        *((templates, other)[n % 2].register("mee_ear", content, "", "") for n, content in enumerate(contents))
    )
    assert sorted(template.version for template in done) == [1, 2, 3, 4, 5, 6]
    for template, content in zip(done, contents, strict=True):
        fresh = await Templates(tmp_path / "third", store).choose("", template.id)
        assert fresh.content == content


async def test_websites_have_their_own(templates: Templates, layouts: ModuleType) -> None:
    mine = await templates.register("mee_ear", layouts.meesho(), "a.xlsx", "blysk")
    assert mine.id == "blysk-mee_ear-1"
    assert (await templates.choose("mee_ear", "", "blysk")).id == mine.id
    assert (await templates.choose("mee_ear", "", "alya")).id == "builtin-mee_ear"
    assert (await templates.choose("", mine.id)).id == mine.id
    with pytest.raises(errors.InvalidArgument) as caught:
        await templates.choose("mee_ear", mine.id, "alya")
    assert caught.value.reason == "TEMPLATE_MISMATCH"
    assert [t.id for t in await templates.list("mee_ear", "alya")] == ["builtin-mee_ear"]
    assert [t.id for t in await templates.list("mee_ear")] == [mine.id, "builtin-mee_ear"]


@pytest.mark.parametrize(
    "id_", ["alya-mee_ear-9", "alya-mee_ear-", "nobody-mee_ear-1", "alya-x-1", "1", "", "../../etc-mee_ear-1"]
)
async def test_ids_that_are_none(templates: Templates, id_: str) -> None:
    if not id_:
        with pytest.raises(errors.InvalidArgument):
            await templates.choose("", id_)
        return
    with pytest.raises(errors.NotFound) as caught:
        await templates.choose("", id_)
    assert caught.value.reason == "TEMPLATE_NOT_FOUND"


async def test_a_run_keeps_the_template_that_it_began_with(
    templates: Templates, exporter: Exporter, layouts: ModuleType, opened: Opened
) -> None:
    first = await templates.register("mee_ear", layouts.meesho(), "a.xlsx", "")
    run = await exporter.start_run("mee_ear", "", "")
    await templates.register("mee_ear", with_column(layouts, layouts.meesho(), "Box Colour"), "b.xlsx", "")
    done = await exporter.export(Order("mee_ear", [Product("A")], run_id=run.id))
    assert done.template_id == first.id


async def test_a_template_that_lost_its_file_is_told(
    templates: Templates, store: FolderStore, layouts: ModuleType, tmp_path: Path
) -> None:
    await templates.register("mee_ear", layouts.meesho(), "a.xlsx", "")
    folder = tmp_path / "objects/alyaimg/templates/mee_ear"
    next(path for path in folder.iterdir() if path.suffix == ".xlsx").unlink()
    with pytest.raises(errors.DataLoss) as caught:
        await Templates(tmp_path / "elsewhere", store).choose("mee_ear")
    assert caught.value.reason == "TEMPLATE_DAMAGED"


async def test_what_was_understood_is_kept_in_the_open(
    templates: Templates, layouts: ModuleType, tmp_path: Path
) -> None:
    await templates.register("mee_ear", layouts.meesho(), "a.xlsx", "")
    told = json.loads((tmp_path / "objects/alyaimg/templates/mee_ear/000001.json").read_text())
    assert (told["sheet"], told["data_row"], told["medium"]) == ("Earrings & Studs-Fill this", 4, "xlsx")
    color = next(column for column in told["columns"] if column["name"] == "Color")
    assert color["field"] == "Color"
    assert "Gold" in color["allowed_values"]


async def test_twenty_exports_at_once_into_a_registered_template(
    templates: Templates, store: FolderStore, runs: SqliteRuns, layouts: ModuleType, opened: Opened
) -> None:
    template = await templates.register("ama_ear", layouts.amazon_legacy(macros=False), "a.xlsx", "")
    exporter = Exporter(store, templates, Profiles.read(PROFILES), runs, renders=2)
    done = await asyncio.gather(
        *(
            exporter.export(Order("ama_ear", [Product(f"S-{number}-{n}") for n in range(number + 1)]))
            for number in range(20)
        )
    )
    assert len({each.url for each in done}) == 20
    sku = next(column.number for column in template.columns if column.field == "item_sku")
    for number, each in enumerate(done):
        sheet = opened(each.url)["Template"]
        read = [sheet.cell(row, sku).value for row in range(4, sheet.max_row + 1)]
        assert read == [f"S-{number}-{n}" for n in range(number + 1)]
