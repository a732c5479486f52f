"""Runs: one workbook each, through appends, restarts, crowds and failures."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook
from openpyxl.utils.escape import unescape

import marketplaces
from exporter_service.adapters.runs import SqliteRuns
from exporter_service.exporting import MAX_PRODUCTS, Exporter, Order
from exporter_service.model import Format, Product, SellerValue, Severity, Source, Value
from exporter_service.profiles import Profiles
from exporter_service.settings import PROFILES
from exporter_service.templates import Templates
from objectstore import FolderStore
from servicekit import errors

LISTING = marketplaces.load("mee_ear")
SKU_COLUMN = 35
DATA_ROW = LISTING.layout.data_row

Opened = Callable[[str], Workbook]


def skus(book: Workbook) -> list[str]:
    sheet = book[LISTING.layout.sheet]
    return [str(sheet.cell(row, SKU_COLUMN).value) for row in range(DATA_ROW, sheet.max_row + 1)]


def order(*names: str, **more: object) -> Order:
    return Order("mee_ear", [Product(name) for name in names], **more)  # type: ignore[arg-type]


async def test_products_are_appended_and_a_known_sku_keeps_its_row(exporter: Exporter, opened: Opened) -> None:
    run = await exporter.start_run("mee_ear", "", "")
    first = await exporter.export(order("A", "B", run_id=run.id))
    more = await exporter.export(order("C", run_id=run.id))
    again = await exporter.export(order("B", run_id=run.id, seller_values=[SellerValue("price", "321")]))
    assert first.url == more.url == again.url
    assert (first.rows, more.rows, again.rows) == (2, 3, 3)
    book = opened(again.url)
    assert skus(book) == ["A", "B", "C"]
    assert [book[LISTING.layout.sheet].cell(row, 6).value for row in (4, 5, 6)] == [449, 321, 449]
    assert {finding.row for finding in more.findings} == {DATA_ROW + 2}


async def test_a_run_survives_a_restart(
    exporter: Exporter, store: FolderStore, templates: Templates, runs: SqliteRuns, tmp_path: Path, opened: Opened
) -> None:
    run = await exporter.start_run("mee_ear", "blysk", "")
    before = await exporter.export(order("A", run_id=run.id))
    again = SqliteRuns(tmp_path / "exporter" / "runs.sqlite3")
    again.prepare()
    restarted = Exporter(store, templates, Profiles.read(PROFILES), again, 1)
    after = await restarted.export(order("B", run_id=run.id))
    assert after.url == before.url
    assert "blyskimg" in after.url
    assert skus(opened(after.url)) == ["A", "B"]
    assert opened(after.url)[LISTING.layout.sheet].cell(4, 36).value == "Blysk"


async def test_twenty_exports_at_once_are_twenty_workbooks(exporter: Exporter, opened: Opened) -> None:
    done = await asyncio.gather(*(exporter.export(order(f"S-{number}")) for number in range(20)))
    assert len({each.url for each in done}) == len({each.run_id for each in done}) == 20
    assert [skus(opened(each.url)) for each in done] == [[f"S-{number}"] for number in range(20)]


async def test_appends_at_once_lose_nothing(
    exporter: Exporter, store: FolderStore, templates: Templates, runs: SqliteRuns, opened: Opened
) -> None:
    """Two exporters stand for two processes that share the database and the store."""
    other = Exporter(store, templates, Profiles.read(PROFILES), runs, 1)
    run = await exporter.start_run("mee_ear", "", "")
    done = await asyncio.gather(
        *((exporter, other)[number % 2].export(order(f"S-{number}", run_id=run.id)) for number in range(12))
    )
    assert {each.url for each in done} == {done[0].url}
    assert sorted(skus(opened(done[0].url))) == sorted(f"S-{number}" for number in range(12))


async def test_a_closed_run_takes_nothing_and_keeps_its_workbook(exporter: Exporter, opened: Opened) -> None:
    run = await exporter.start_run("mee_ear", "", "")
    done = await exporter.export(order("A", run_id=run.id))
    closed, new = await exporter.close_run("", "mee_ear", "")
    assert closed == run.id
    with pytest.raises(errors.FailedPrecondition) as caught:
        await exporter.export(order("B", run_id=run.id))
    assert caught.value.reason == "RUN_CLOSED"
    following = await exporter.export(order("B", run_id=new.id))
    assert following.url != done.url
    assert skus(opened(done.url)) == ["A"]
    assert skus(opened(following.url)) == ["B"]


async def test_closing_when_nothing_is_open_opens_a_run(exporter: Exporter) -> None:
    own = await exporter.export(order("A"))
    closed, new = await exporter.close_run("", "mee_ear", "")
    assert closed == ""
    assert new.id != own.run_id
    assert (await exporter.close_run(new.id, "", ""))[0] == new.id
    assert (await exporter.close_run(new.id, "", ""))[0] == ""


async def test_a_run_of_its_own_can_be_written_again(exporter: Exporter, opened: Opened) -> None:
    done = await exporter.export(order("A", "B"))
    person = Value("Color", ("Gold",), Source.PERSON)
    again = await exporter.export(Order("mee_ear", [Product("A", fields=(person,))], run_id=done.run_id))
    assert (again.url, again.rows) == (done.url, 2)
    assert opened(again.url)[LISTING.layout.sheet].cell(4, 22).value == "Gold"


@pytest.mark.parametrize(
    ("changed", "error", "reason"),
    [
        ({"code": "mee_nec"}, errors.InvalidArgument, "RUN_MISMATCH"),
        ({"website": "blysk"}, errors.InvalidArgument, "RUN_MISMATCH"),
        ({"website": "nobody"}, errors.InvalidArgument, "WEBSITE_UNKNOWN"),
        ({"run_id": "nothing"}, errors.NotFound, "RUN_NOT_FOUND"),
        ({"code": "ama_rin"}, errors.InvalidArgument, "UNKNOWN_MARKETPLACE"),
    ],
)
async def test_what_does_not_fit_the_run(
    exporter: Exporter, changed: dict[str, str], error: type[errors.ServiceError], reason: str
) -> None:
    run = await exporter.start_run("mee_ear", "alya", "")
    fields = {"code": "mee_ear", "run_id": run.id, "website": "alya"} | changed
    with pytest.raises(error) as caught:
        await exporter.export(Order(products=[Product("A")], **fields))  # type: ignore[arg-type]
    assert caught.value.reason == reason


async def test_bad_products_are_kept_out_and_the_others_written(exporter: Exporter, opened: Opened) -> None:
    done = await exporter.export(order("A", "", "A", " B", "C\nD", "E"))
    assert skus(opened(done.url)) == ["A", "E"]
    kept_out = [f for f in done.findings if f.row == 0]
    assert [(f.sku, f.rule, f.severity) for f in kept_out] == [
        ("", "sku", Severity.ERROR),
        ("A", "duplicate_sku", Severity.ERROR),
        (" B", "sku", Severity.ERROR),
        ("C\nD", "sku", Severity.ERROR),
    ]


async def test_nothing_to_write(exporter: Exporter, tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidArgument, match="no products"):
        await exporter.export(order())
    done = await exporter.export(order(""))
    assert (done.url, done.run_id, done.rows, len(done.findings)) == ("", "", 0, 1)
    assert not list(tmp_path.rglob("*.xlsx"))


async def test_too_many_products(exporter: Exporter) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        await exporter.export(order(*map(str, range(MAX_PRODUCTS + 1))))
    assert caught.value.reason == "TOO_MANY_PRODUCTS"


async def test_a_store_that_fails_leaves_no_run_behind(
    exporter: Exporter, store: FolderStore, runs: SqliteRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    create = runs.create

    def remembered(*about: object) -> object:
        run = create(*about)  # type: ignore[arg-type]
        made.append(run.id)
        return run

    async def down(*_: object) -> bool:
        raise errors.Unavailable("the store is down")

    monkeypatch.setattr(runs, "create", remembered)
    monkeypatch.setattr(store, "put", down)
    with pytest.raises(errors.Unavailable):
        await exporter.export(order("A"))
    with pytest.raises(errors.NotFound):
        runs.get(made[0])


async def test_a_damaged_database_is_told(store: FolderStore, templates: Templates, tmp_path: Path) -> None:
    path = tmp_path / "broken.sqlite3"
    path.write_bytes(b"this is no database" * 100)
    exporter = Exporter(store, templates, Profiles.read(PROFILES), SqliteRuns(path), 1)
    with pytest.raises(errors.Unavailable) as caught:
        await exporter.start_run("mee_ear", "", "")
    assert caught.value.reason == "RUNS_UNAVAILABLE"


async def test_tab_separated_has_the_header_rows(exporter: Exporter, stored: Callable[[str], bytes]) -> None:
    product = Product("A", fields=(Value("subject_character", ("=1+1\ttab\nline",)),))
    done = await exporter.export(Order("ama_ear", [product], format=Format.TSV))
    lines = stored(done.url).decode().split("\r\n")
    assert done.url.endswith(".txt")
    assert len(lines) == 5
    names, values = lines[2].split("\t"), lines[3].split("\t")
    assert lines[0].startswith("TemplateType=fptcustom\t")
    assert len(names) == len(values) == 267
    assert values[names.index("item_sku")] == "A"
    assert values[names.index("subject_character")] == "'=1+1 tab line"


async def test_comma_separated_has_one_header_row(exporter: Exporter, stored: Callable[[str], bytes]) -> None:
    product = Product("A", fields=(Value("Product Description", ('-5 "quoted", two\nlines',), Source.PERSON),))
    done = await exporter.export(Order("mee_ear", [product], format=Format.CSV))
    rows = list(csv.DictReader(io.StringIO(stored(done.url).decode(), newline="")))
    assert len(rows) == 1
    assert rows[0]["SKU ID"] == "A"
    assert rows[0]["Product Description"] == '\'-5 "quoted", two\nlines'
    assert rows[0]["HSN ID"] == "71171900"
    told = [(f.rule, f.severity) for f in done.findings if f.field == "Product Description"]
    assert told == [("formula_start", Severity.WARNING)]


async def test_the_review_copy_lists_the_findings_of_the_whole_run(
    exporter: Exporter, opened: Opened, stored: Callable[[str], bytes]
) -> None:
    run = await exporter.start_run("mee_ear", "", "")
    await exporter.export(order("A", run_id=run.id))
    done = await exporter.export(order("=B", run_id=run.id, review_copy=True))
    book = opened(done.review_url)
    assert book.sheetnames[-1] == "Review"
    rows = list(book["Review"].iter_rows(values_only=True))
    assert rows[0][:4] == ("SKU", "Row", "Cell", "Field")
    assert {row[0] for row in rows[1:]} == {"A", "=B"}
    assert ("A", "4", "AD4", "Image 1 (Front)") in {row[:4] for row in rows}
    assert skus(book) == skus(opened(done.url)) == ["A", "=B"]


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60), min_size=1, max_size=20))
async def test_what_is_read_back_is_what_was_given_or_was_found(
    exporter: Exporter, opened: Opened, texts: list[str]
) -> None:
    products = [
        Product(f"S-{n}", fields=(Value("Generic Name", (text,), Source.PERSON),)) for n, text in enumerate(texts)
    ]
    done = await exporter.export(Order("mee_ear", products))
    sheet = opened(done.url)[LISTING.layout.sheet]
    told = {finding.row for finding in done.findings if finding.field == "Generic Name"}
    for row, text in enumerate(texts, start=DATA_ROW):
        read = unescape(str(sheet.cell(row, 23).value or ""))
        # A blank value is no value: the profile's takes its place.
        assert read == (text if text.strip() else "Imitation Jewellery") or row in told
