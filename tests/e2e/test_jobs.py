"""Jobs over REST, embedded: estimated, repeated, resumed, varied. Their rows of the contract are in test_rest_rows."""

from __future__ import annotations

import io
import time
from typing import Any

import httpx
import openpyxl
import pytest

from tests.system import photo, upload

SKUS = ("ALY-EAR-002", "ALY-EAR-004", "ALY-EAR-007")


@pytest.fixture
def order(client: httpx.Client) -> dict[str, Any]:
    urls = [upload(client, photo(sku).read_bytes(), f"{sku}.jpg").json()["s3_url"] for sku in SKUS]
    return {"image_urls": urls, "skuids": list(SKUS), "marketplace_type": "ama_ear"}


def ended(client: httpx.Client, job_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 90
    while "finished" not in (job := client.get(f"/jobs/{job_id}").json()):
        assert time.monotonic() < deadline, job
        time.sleep(0.1)
    return dict(job)


def cells(client: httpx.Client, url: str) -> list[list[Any]]:
    book = openpyxl.load_workbook(io.BytesIO(client.get(url).content))
    return [list(row) for sheet in book.worksheets for row in sheet.iter_rows(values_only=True)]


def test_a_dry_run_costs_nothing_here(client: httpx.Client, order: dict[str, Any]) -> None:
    told = client.post("/catalog-ai", json=order | {"dry_run": True}).json()
    assert (told["products"], told["calls"], told["inr"], told["basis"]) == (3, 0, 0.0, "embedded")


def test_a_repeated_request_is_one_job(client: httpx.Client, order: dict[str, Any]) -> None:
    key = {"Idempotency-Key": f"e2e-{time.time()}"}
    first = client.post("/catalog-ai", json=order, headers=key)
    again = client.post("/catalog-ai", json=order, headers=key)
    assert first.json() == again.json()
    assert client.post("/catalog-ai", json=order | {"skuids": "a,b,c"}, headers=key).status_code == 409


def test_resume_does_only_what_failed(client: httpx.Client, order: dict[str, Any]) -> None:
    missing = order["image_urls"][0].rsplit("/", 1)[0] + "/later.jpg"
    body = client.post("/catalog-ai", json=order | {"image_urls": [*order["image_urls"][:2], missing]}).json()
    assert (body["status"], body["succeeded"], body["failed"]) == ("partial", 2, 1)
    client.post(f"/jobs/{body['job_id']}/resume")
    job = ended(client, body["job_id"])
    assert (job["attempt"], job["status"], job["succeeded"]) == (2, "partial", 2)


@pytest.mark.parametrize("code", ["ama_bra", "fli_bra", "mee_bra"])
def test_variations(client: httpx.Client, code: str) -> None:
    url = upload(client, photo("ALY-BRA-010").read_bytes(), "bangle.jpg").json()["s3_url"]
    body = {
        "image_urls": [url] * 3,
        "skuids": ["BNG-GOLD", "BNG-SILVER", "CUFF-1"],
        "marketplace_type": code,
        "number_of_grps": 2,
        "group_sizes": [2, 1],
        "variations_category": ["color", "colorsize"],
        "size_available": ["", "2.4,2.6"],
    }
    answer = client.post("/catalog_ai_variations", json=body)
    assert answer.status_code == 200, answer.text
    rows = cells(client, answer.json()["excel_file_url"])
    skus = [cell for row in rows for cell in row if isinstance(cell, str) and cell.startswith(("BNG-", "CUFF-"))]
    children = {"BNG-GOLD", "BNG-SILVER", "CUFF-1-2.4", "CUFF-1-2.6"}
    assert children <= set(skus)
    parents = {sku for sku in skus if "-P-" in sku}
    if code == "ama_bra":
        assert {sku.split("-P-")[0] for sku in parents} == {"BNG", "CUFF-1"}
        family = next(row for row in rows if "CUFF-1-2.4" in row)
        assert "Child" in family
        assert any("Parent" in row for row in rows)
    else:
        # Without rows for parents, a group's id ties the products together.
        assert not [row for row in rows if row and any(cell in parents for cell in row[:2])]
