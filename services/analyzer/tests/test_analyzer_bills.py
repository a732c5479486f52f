"""Bills: values, arithmetic, refinement, and the service without keys over a real socket."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
import pytest_asyncio
from jewelry.analyzer.v1 import analyzer_pb2 as pb
from jewelry.analyzer.v1.analyzer_pb2_grpc import AnalyzerServiceStub
from jewelry.type.v1 import type_pb2
from PIL import Image, ImageDraw

from analyzer_service import eval_bills, extras
from analyzer_service.__main__ import service
from analyzer_service.bills import checks, refine, values
from analyzer_service.bills.model import Bill, Cell, Named, Row, Table
from analyzer_service.settings import Settings
from analyzer_service.wiring import wire
from servicekit import client, errors
from servicekit.testing import serve_locally

SAMPLES = Path(__file__).resolve().parents[3] / "samples"
BILLS = SAMPLES / "bills"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AnalyzerServiceStub]:
    settings = Settings(
        _env_file=None, google_api_key=None, google_api_keys=None, data_dir=tmp_path_factory.mktemp("data")
    )
    async with serve_locally(service(wire(settings))) as channel:
        yield AnalyzerServiceStub(channel)


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("text", "number"),
    [("1,24,980.00", 124980.0), ("54/-", 54.0), ("-0.38", -0.38), ("1.5%", 1.5), ("60 PCS", 60.0), ("100SET", 100.0),
     ("Rs. 12.50", 12.5), ("", None), ("PCS", None), ("12/06/2025", None), ("4C", 4.0)],
)  # fmt: skip
async def test_numbers(text: str, number: float | None) -> None:
    assert values.number(text) == number


async def test_dates_and_words_and_gstins() -> None:
    assert values.iso_date("Date 12/06/2025") == "2025-06-12"
    assert values.iso_date("05-Jul-2025") == "2025-07-05"
    assert values.iso_date("17 0ct 2025") == "2025-10-17"
    assert values.iso_date("21-8-25") == "2025-08-21"
    assert values.iso_date("31/31/2025") is None
    assert values.from_words("Rupees one lakh eightythreethousand nine hundred two only.") == 183902
    assert values.from_words("Rupees ferty four") is None
    assert values.gstin_valid("08AQYXA0204K1ZF")
    assert not values.gstin_valid("08AQYXA0204K1ZE")
    # The format settles O and 0; a check character that still fails is left as it was read.
    assert values.gstins("GSTIN08AQYXAO204K1ZF State code 08") == ["08AQYXA0204K1ZF"]
    assert values.gstins("GSTIN 08AQYXA0204K1ZE") == ["08AQYXA0204K1ZE"]


def bill(total: str = "103.00", amount: float = 50.0) -> Bill:
    columns = ("description", "qty", "rate", "amount")
    rows = tuple(
        Row((Cell(name, None, 1.0), Cell("2", 2.0, 1.0), Cell("25.00", 25.0, 1.0), Cell(str(value), value, 1.0)))
        for name, value in (("Stud", 50.0), ("Hoop", amount))
    )
    fields = (
        Named("taxable", "100.00", 1.0), Named("gst_rate", "3", 1.0), Named("gst", "3.00", 1.0),
        Named("total", total, 1.0), Named("total_in_words", "Rupees one hundred three only", 0.9),
    )  # fmt: skip
    return Bill(Table(columns, rows), fields)


async def test_arithmetic() -> None:
    _, found = checks.checked(bill())
    assert {check.rule for check in found} == {"line_amount", "taxable", "gst", "total", "total_in_words"}
    assert all(check.passed for check in found)
    wrong, found = checks.checked(bill(total="130.00", amount=60.0))
    failed = {(check.rule, check.row): check for check in found if not check.passed}
    assert set(failed) == {("line_amount", 2), ("taxable", 0), ("total", 0), ("total_in_words", 0)}
    assert failed["line_amount", 2].detail == "2 x 25 = 50.00, found 60"
    assert "expected 103.00, found 130.00" in failed["total", 0].detail
    # A total that a test contradicts is not given with confidence.
    assert next(item.confidence for item in wrong.fields if item.name == "total") < 0.6


@pytest.mark.parametrize(
    ("wish", "kept", "understood"),
    [
        ("Amount > 1000", [2, 3], "rows with amount > 1000"),
        ("only rows above 500", [1, 2, 3], "rows with amount > 500"),
        ("Qty <= 2 and Item = Stud", [1], "rows with qty <= 2 and description = Stud"),
        ("description contains hoop or amount at most 400", [0, 2], "description contains hoop or amount <= 400"),
        ("top 2 by amount", [3, 2], "sorted by amount, largest first; the first 2"),
        ("", [0, 1, 2, 3], "everything"),
    ],
)
async def test_plain_refinements(stub: AnalyzerServiceStub, wish: str, kept: list[int], understood: str) -> None:
    table = pb.Table(columns=["description", "qty", "amount"])
    for name, quantity, amount in (("Ring", 5, 300), ("Stud", 2, 600), ("Gold hoop", 3, 1200), ("Mala", 9, 5000)):
        cells = [pb.Cell(text=name, confidence=0.9), pb.Cell(text=str(quantity)), pb.Cell(text=f"{amount}.00")]
        table.rows.append(pb.Row(cells=cells, page=1))
    reply = await client.call(stub.RefineTable, pb.RefineTableRequest(table=table, refinement=wish), timeout=10)
    assert list(reply.table.rows) == [table.rows[index] for index in kept]
    assert understood in reply.understood


async def test_columns_and_wishes_that_need_a_model(stub: AnalyzerServiceStub) -> None:
    table = pb.Table(columns=["Item", "Amount"])
    table.rows.append(pb.Row(cells=[pb.Cell(text="Stud"), pb.Cell(text="5")]))
    request = pb.RefineTableRequest(table=table, columns=["amount"])
    reply = await client.call(stub.RefineTable, request, timeout=10)
    assert [cell.text for cell in reply.table.rows[0].cells] == ["5"]
    assert list(reply.table.columns) == ["Amount"]
    with pytest.raises(errors.InvalidArgument, match="Item, Amount"):
        await client.call(stub.RefineTable, pb.RefineTableRequest(table=table, columns=["colour"]), timeout=10)
    with pytest.raises(errors.FailedPrecondition, match="GOOGLE_API_KEY"):
        request = pb.RefineTableRequest(table=table, refinement="leave out what looks too expensive")
        await client.call(stub.RefineTable, request, timeout=10)
    table.rows.append(pb.Row(cells=[pb.Cell(text="short")]))
    with pytest.raises(errors.InvalidArgument, match="one cell per column"):
        await client.call(stub.RefineTable, pb.RefineTableRequest(table=table), timeout=10)


async def test_a_plan_takes_no_row_from_elsewhere() -> None:
    table = bill().table
    plan = refine.Plan(rows=frozenset({2, 7}), limit=5)
    assert refine.apply(table, plan).rows == (table.rows[1],)


def pdf(pages: int) -> bytes:
    document = pypdfium2.PdfDocument.new()
    for _ in range(pages):
        document.new_page(300, 300)
    buffer = io.BytesIO()
    document.save(buffer)
    document.close()
    return buffer.getvalue()


def locked_pdf() -> bytes:
    """A PDF whose content is encrypted with a password that nobody gives (its handler's values are arbitrary)."""
    secret = "<" + "00" * 32 + ">"
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]>>",
        f"<</Filter/Standard/V 1/R 2/O{secret}/U{secret}/P -4>>",
    ]
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n".encode()
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    trailer = "<</Size 5/Root 1 0 R/Encrypt 4 0 R/ID[<00><00>]>>"
    return body + f"xref\n0 5\n0000000000 65535 f \n{table}trailer\n{trailer}\nstartxref\n{len(body)}\n%%EOF".encode()


def encoded(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("pages", "reason"),
    [
        ([], "BILL_EMPTY"),
        ([b""], "BILL_EMPTY"),
        ([b"neither picture nor PDF"], "IMAGE_UNREADABLE"),
        ([pdf(2)[:300]], "PDF_UNREADABLE"),
        ([locked_pdf()], "PDF_ENCRYPTED"),
        ([pdf(100)], "BILL_TOO_MANY_PAGES"),
        ([b"x"] * 21, "BILL_TOO_MANY_PAGES"),
        ([(BILLS / "bill1_clean.png").read_bytes()[:30_000]], "IMAGE_TRUNCATED"),
        ([encoded(Image.new("1", (8000, 7000)))], "IMAGE_TOO_MANY_PIXELS"),
        ([encoded(Image.new("RGB", (300, 300), "white"))], "NOT_A_BILL"),
        ([pdf(1)], "NOT_A_BILL"),
    ],
    ids=["none", "zero bytes", "text", "truncated pdf", "password", "100 pages", "21 files", "truncated", "pixels",
         "white", "empty pdf"],
)  # fmt: skip
async def test_bad_bills(stub: AnalyzerServiceStub, pages: list[bytes], reason: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        await client.call(stub.ExtractTable, pb.ExtractTableRequest(pages=pages), timeout=100)
    assert caught.value.reason == reason


async def test_a_bill_with_a_stamp(stub: AnalyzerServiceStub) -> None:
    truth = json.loads((BILLS / "bill5_stamp.json").read_text())
    pages = [(BILLS / name).read_bytes() for name in truth["files"]]
    request = pb.ExtractTableRequest(pages=pages, prompt="transport")
    reply = await client.call(stub.ExtractTable, request, timeout=110)
    assert reply.adapter.embedded
    assert len(reply.table.rows) == len(truth["items"])
    column = {name: place for place, name in enumerate(reply.table.columns)}
    read = [(row.cells[column["qty"]].number, row.cells[column["amount"]].number) for row in reply.table.rows]
    assert read == [(item["qty"], item["amount"]) for item in truth["items"]]
    fields = {item.name: item.value for item in reply.fields}
    assert float(fields["total"]) == truth["total"]
    assert fields["seller_gstin"] == truth["seller"]["gstin"]
    assert all(check.passed for check in reply.checks)
    # Asked for and not there: told as empty.
    assert [(item.name, item.value) for item in reply.extras] == [("transport", "")]


async def test_sizes_beside_a_ruler(stub: AnalyzerServiceStub) -> None:
    scale = 10.0  # pixels per millimetre
    picture = Image.new("RGB", (1400, 1000), (245, 245, 245))
    draw = ImageDraw.Draw(picture)
    for tick in range(121):
        x = 100 + tick * scale
        length = 60 if tick % 10 == 0 else 44 if tick % 5 == 0 else 28
        draw.line((x, 980, x, 980 - length), fill=(20, 20, 20), width=3)
    draw.ellipse((400, 200, 800, 650), fill=(180, 140, 40))
    request = pb.MeasureDimensionsRequest(pictures=[type_pb2.Picture(content=encoded(picture))])
    reply = await client.call(stub.MeasureDimensions, request, timeout=60)
    sizes = {item.name: item for item in reply.measurements}
    for name, truth in (("width", 40.0), ("height", 45.0)):
        assert abs(sizes[name].millimetres - truth) <= sizes[name].error
        assert 0 < sizes[name].error < 0.1 * truth
        assert "ticks of a ruler in mm" in sizes[name].evidence


@pytest.mark.parametrize("kind", ["photo", "stripes", "noise"])
async def test_no_ruler_no_size(stub: AnalyzerServiceStub, kind: str) -> None:
    if kind == "photo":
        content = (SAMPLES / "photos" / "ALY-EAR-011.jpg").read_bytes()
    elif kind == "stripes":
        picture = Image.new("RGB", (1000, 800), "white")
        draw = ImageDraw.Draw(picture)
        for x in range(50, 950, 10):
            draw.line((x, 100, x, 140), fill="black", width=2)
        content = encoded(picture)
    else:
        noise = np.random.default_rng(3).integers(0, 255, (500, 700, 3), np.uint8)
        content = encoded(Image.fromarray(noise))
    request = pb.MeasureDimensionsRequest(pictures=[type_pb2.Picture(content=content)])
    reply = await client.call(stub.MeasureDimensions, request, timeout=60)
    assert not reply.measurements
    assert "put one beside the product" in reply.warnings[0]


async def test_variations_need_a_key(stub: AnalyzerServiceStub) -> None:
    content = (SAMPLES / "photos" / "ALY-EAR-011.jpg").read_bytes()
    request = pb.GenerateVariationsRequest(pictures=[type_pb2.Picture(content=content)], product_type="ear", count=1)
    with pytest.raises(errors.FailedPrecondition, match="GOOGLE_API_KEY") as caught:
        await client.call(stub.GenerateVariations, request, timeout=10)
    assert caught.value.reason == "NO_PROVIDER"


@pytest.mark.slow
@pytest.mark.timeout(480)
async def test_every_sample_reaches_its_target() -> None:
    settings = Settings(_env_file=None, google_api_key=None, google_api_keys=None)
    local = extras.local(settings)
    results = await eval_bills.evaluate(local.bills, BILLS)
    await local.close()
    assert len(results) == 6
    for truth, found, _ in results:
        assert found.right >= eval_bills.target(truth["layout"]) * found.cells, found.wrong
        assert not found.silent_totals, found.wrong
