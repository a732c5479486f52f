"""The exporter on a real socket."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from google.protobuf.message import Message
from jewelry.exporter.v1 import exporter_pb2 as pb
from jewelry.exporter.v1 import exporter_pb2_grpc
from jewelry.type.v1 import type_pb2
from openpyxl import load_workbook

import marketplaces
from exporter_service.__main__ import build_service
from exporter_service.settings import Settings
from servicekit import client, errors
from servicekit.testing import serve_locally

if TYPE_CHECKING:
    from jewelry.exporter.v1.exporter_pb2_grpc import ExporterServiceAsyncStub as AsyncStub


@pytest.fixture
async def stub(tmp_path: Path) -> AsyncIterator[AsyncStub]:
    settings = Settings(_env_file=None, data_dir=tmp_path, aws_access_key_id=None)  # type: ignore[call-arg]
    async with serve_locally(build_service(settings)) as channel:
        yield exporter_pb2_grpc.ExporterServiceStub(channel)


def product(sku: str) -> pb.Product:
    return pb.Product(
        sku=sku,
        image_urls=["https://alyaimg.s3.amazonaws.com/images/a.jpg"],
        fields=[
            type_pb2.FieldValue(
                field="Color", values=["Gold"], source=type_pb2.VALUE_SOURCE_IMAGE, confidence=0.9, model_id="m"
            ),
            type_pb2.FieldValue(field="Occasion", values=["Moon Landing"], confidence=0.9),
            type_pb2.FieldValue(field="Nothing", values=["x"], confidence=0.9),
        ],
        copy=pb.ListingCopy(title="Title", bullet_points=["One"], description="Words"),
    )


async def test_export_over_the_wire(stub: AsyncStub, tmp_path: Path) -> None:
    request = pb.ExportRequest(
        marketplace_code="fli_ear",
        products=[product("S-1"), product("S-2"), product("S-1")],
        seller_values=[pb.SellerValue(name="mrp", value="999"), pb.SellerValue(name="mrp", value="1099", sku="S-2")],
        review_copy=True,
    )
    done = await client.call(stub.Export, request, timeout=30.0)
    assert (done.rows, done.template_id, list(done.dropped_fields)) == (2, "builtin-fli_ear", ["Nothing"])
    assert done.url.startswith("http://127.0.0.1:8000/files/alyaimg/excel_files/")
    assert done.url.endswith(f"_fli_ear_{done.run_id}.xlsx")
    assert done.provenance_url.endswith(".provenance.json")
    assert done.review_url.endswith(".review.xlsx")
    path = tmp_path / "objects" / done.url.split("/files/")[1]
    sheet = load_workbook(io.BytesIO(path.read_bytes()))["earring"]
    assert [sheet[cell].value for cell in ("G5", "AH5", "I5", "I6")] == ["S-1", "Gold", 999, 1099]
    found = {(f.sku, f.field, f.rule, f.severity, f.cell) for f in done.findings}
    assert ("S-1", "Occasion", "allowed_values", pb.SEVERITY_ERROR, "BB5") in found
    assert ("S-1", "Seller SKU ID", "duplicate_sku", pb.SEVERITY_ERROR, "") in found


async def test_validate_writes_nothing(stub: AsyncStub, tmp_path: Path) -> None:
    request = pb.ValidateRowsRequest(marketplace_code="mee_nec", products=[pb.Product(sku="S-1")])
    found = (await client.call(stub.ValidateRows, request, timeout=30.0)).findings
    assert ("Product Name", "required", "D4") in {(f.field, f.rule, f.cell) for f in found}
    assert not list((tmp_path / "objects").rglob("*.*"))


async def test_templates(stub: AsyncStub) -> None:
    listed = (await client.call(stub.ListTemplates, pb.ListTemplatesRequest(), timeout=30.0)).templates
    assert [template.marketplace_code for template in listed] == list(marketplaces.CODES)
    assert all(template.built_in and not template.columns for template in listed)
    one = pb.DescribeTemplateRequest(template_id="builtin-ama_ear")
    told = (await client.call(stub.DescribeTemplate, one, timeout=30.0)).template
    by_code = pb.DescribeTemplateRequest(marketplace_code="ama_ear", website="blysk")
    assert (await client.call(stub.DescribeTemplate, by_code, timeout=30.0)).template == told
    assert (told.sheet, told.data_row, len(told.columns)) == ("Template", 4, 267)
    column = told.columns[32]
    assert (column.letters, column.name, column.field, column.label) == (
        "AG",
        "stone_color",
        "stone_color",
        "Stone Colour",
    )
    assert "Rose" not in column.allowed_values
    assert "Pink" in column.allowed_values


async def test_registering_and_filling_a_sellers_own_workbook(
    stub: AsyncStub, layouts: ModuleType, tmp_path: Path
) -> None:
    request = pb.RegisterTemplateRequest(
        marketplace_code="fli_ear", content=layouts.flipkart(), original_name="earring.xlsx", website="blysk"
    )
    template = (await client.call(stub.RegisterTemplate, request, timeout=30.0)).template
    assert (template.id, template.version, template.built_in) == ("blysk-fli_ear-1", 1, False)
    assert (template.sheet, template.data_row, template.original_name) == ("earring", 5, "earring.xlsx")
    assert template.create_time.seconds > 0
    by_field = {column.field: column for column in template.columns}
    assert by_field["Color"].required
    assert "Gold" in by_field["Color"].allowed_values
    assert "'Bead Count'" in template.warnings[0]
    assert [column.name for column in template.columns if not column.field] == ["Bead Count"]
    listed = (await client.call(stub.ListTemplates, pb.ListTemplatesRequest(website="blysk"), timeout=30.0)).templates
    assert (listed[0].id, len(listed[0].columns), len(listed)) == (template.id, 0, 11)
    asked = pb.DescribeTemplateRequest(marketplace_code="fli_ear", website="blysk")
    assert (await client.call(stub.DescribeTemplate, asked, timeout=30.0)).template == template
    export = pb.ExportRequest(
        marketplace_code="fli_ear",
        website="blysk",
        products=[product("S-1")],
        seller_values=[pb.SellerValue(name="Bead Count", value="12")],
    )
    done = await client.call(stub.Export, export, timeout=30.0)
    assert (done.template_id, list(done.dropped_fields)) == (template.id, ["Nothing"])
    path = tmp_path / "objects" / done.url.split("/files/")[1]
    sheet = load_workbook(io.BytesIO(path.read_bytes()))["earring"]
    cell = next(column.letters for column in template.columns if column.name == "Bead Count")
    assert sheet[f"{cell}5"].value == 12
    elsewhere = pb.ExportRequest(marketplace_code="fli_ear", products=[product("S-1")])
    assert (await client.call(stub.Export, elsewhere, timeout=30.0)).template_id == "builtin-fli_ear"


async def test_a_workbook_of_200_mb_is_refused_before_it_is_read(stub: AsyncStub, tmp_path: Path) -> None:
    for size, error in ((21, errors.InvalidArgument), (200, errors.ResourceExhausted)):
        request = pb.RegisterTemplateRequest(marketplace_code="fli_ear", content=bytes(size * 1024 * 1024))
        with pytest.raises(error) as caught:
            await client.call(stub.RegisterTemplate, request, timeout=60.0)
        assert caught.value.message
    assert not list((tmp_path / "objects").rglob("*.*"))


async def test_runs(stub: AsyncStub) -> None:
    run = await client.call(stub.StartRun, pb.StartRunRequest(marketplace_code="fli_ear"), timeout=30.0)
    for sku in ("S-1", "S-2"):
        request = pb.ExportRequest(marketplace_code="fli_ear", products=[product(sku)], run_id=run.run_id)
        done = await client.call(stub.Export, request, timeout=30.0)
    assert (done.rows, done.run_id) == (2, run.run_id)
    closed = await client.call(stub.CloseRun, pb.CloseRunRequest(marketplace_code="fli_ear"), timeout=30.0)
    assert closed.closed_run_id == run.run_id
    assert closed.run_id not in ("", run.run_id)


async def test_providers(stub: AsyncStub) -> None:
    told = await client.call(stub.GetProviders, pb.GetProvidersRequest(), timeout=30.0)
    assert [(a.role, a.name, a.embedded) for a in told.adapters] == [("objects", "folder", True)]


@pytest.mark.parametrize(
    ("method", "request_", "error", "reason"),
    [
        (
            "Export",
            pb.ExportRequest(marketplace_code="x", products=[pb.Product(sku="a")]),
            errors.InvalidArgument,
            "UNKNOWN_MARKETPLACE",
        ),
        ("Export", pb.ExportRequest(marketplace_code="ama_ear"), errors.InvalidArgument, "NO_PRODUCTS"),
        ("ValidateRows", pb.ValidateRowsRequest(), errors.InvalidArgument, "UNKNOWN_MARKETPLACE"),
        (
            "ValidateRows",
            pb.ValidateRowsRequest(marketplace_code="ama_ear", template_id="t"),
            errors.NotFound,
            "TEMPLATE_NOT_FOUND",
        ),
        ("ListTemplates", pb.ListTemplatesRequest(marketplace_code="x"), errors.InvalidArgument, "UNKNOWN_MARKETPLACE"),
        ("ListTemplates", pb.ListTemplatesRequest(website="x"), errors.InvalidArgument, "WEBSITE_UNKNOWN"),
        ("DescribeTemplate", pb.DescribeTemplateRequest(), errors.InvalidArgument, "UNKNOWN_MARKETPLACE"),
        (
            "DescribeTemplate",
            pb.DescribeTemplateRequest(template_id="builtin-x"),
            errors.NotFound,
            "TEMPLATE_NOT_FOUND",
        ),
        (
            "DescribeTemplate",
            pb.DescribeTemplateRequest(template_id="builtin-ama_ear", marketplace_code="ama_nec"),
            errors.InvalidArgument,
            "TEMPLATE_MISMATCH",
        ),
        ("StartRun", pb.StartRunRequest(marketplace_code="x"), errors.InvalidArgument, "UNKNOWN_MARKETPLACE"),
        (
            "StartRun",
            pb.StartRunRequest(marketplace_code="ama_ear", website="x"),
            errors.InvalidArgument,
            "WEBSITE_UNKNOWN",
        ),
        ("CloseRun", pb.CloseRunRequest(run_id="x"), errors.NotFound, "RUN_NOT_FOUND"),
        ("CloseRun", pb.CloseRunRequest(), errors.InvalidArgument, "UNKNOWN_MARKETPLACE"),
        ("RegisterTemplate", pb.RegisterTemplateRequest(), errors.InvalidArgument, "UNKNOWN_MARKETPLACE"),
        (
            "RegisterTemplate",
            pb.RegisterTemplateRequest(marketplace_code="ama_ear"),
            errors.InvalidArgument,
            "TEMPLATE_EMPTY",
        ),
        (
            "RegisterTemplate",
            pb.RegisterTemplateRequest(marketplace_code="ama_ear", content=b"x", website="nobody"),
            errors.InvalidArgument,
            "WEBSITE_UNKNOWN",
        ),
        (
            "DescribeTemplate",
            pb.DescribeTemplateRequest(template_id="alya-ama_ear-1"),
            errors.NotFound,
            "TEMPLATE_NOT_FOUND",
        ),
    ],
)
async def test_bad_requests(
    stub: AsyncStub,
    method: str,
    request_: Message,
    error: type[errors.ServiceError],
    reason: str,
) -> None:
    with pytest.raises(error) as caught:
        await client.call(getattr(stub, method), request_, timeout=30.0)
    assert caught.value.reason == reason
    if reason == "UNKNOWN_MARKETPLACE":
        assert all(code in caught.value.message for code in marketplaces.CODES)
