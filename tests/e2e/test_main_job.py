"""The main job over REST, embedded: photos in, workbooks out."""

from __future__ import annotations

import io
from typing import Any

import httpx
import openpyxl
import pytest
from PIL import Image

from tests.system import photo, upload

CODES = {
    "ALY-EAR-002": ("ama_ear", "fli_ear", "mee_ear", "sho_ear"),
    "ALY-NEC-001": ("ama_nec", "fli_nec", "mee_nec"),
    "ALY-BRA-010": ("ama_bra", "fli_bra", "mee_bra"),
}
CASES = [(sku, code) for sku, codes in CODES.items() for code in codes]


def stored(client: httpx.Client, sku: str) -> str:
    answer = upload(client, photo(sku).read_bytes(), f"{sku}.jpg", website="alya")
    assert answer.status_code == 200, answer.text
    url: str = answer.json()["s3_url"]
    return url


def test_upload_then_the_same_again_is_a_duplicate(client: httpx.Client) -> None:
    first = upload(client, photo("ALY-RNG-003").read_bytes(), "ring.jpg").json()
    assert first["verdict"] in ("new", "similar")
    assert first["indexed"] is True
    again = upload(client, photo("ALY-RNG-003").read_bytes(), "other name.jpg").json()
    assert again["verdict"] == "exact"
    assert again["s3_url"] == first["s3_url"]
    out = io.BytesIO()
    Image.open(photo("ALY-RNG-003")).resize((600, 600)).save(out, "JPEG", quality=60)
    smaller = upload(client, out.getvalue(), "smaller.jpg").json()
    assert smaller["verdict"] == "duplicate"
    assert smaller["s3_url"] == first["s3_url"]


def test_a_stored_picture_is_served_as_it_was(client: httpx.Client) -> None:
    data = photo("ALY-EAR-002").read_bytes()
    answer = client.get(stored(client, "ALY-EAR-002"))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content == data


@pytest.mark.parametrize("path", ["/image-search", "/image_similarity_search", "/image-search/"])
def test_search_finds_the_stored_picture_and_stores_nothing(client: httpx.Client, path: str) -> None:
    url = stored(client, "ALY-EAR-004")
    files = {"file": ("query.jpg", photo("ALY-EAR-004").read_bytes(), "image/jpeg")}
    body = client.post(path, files=files, data={"top_k": "3"}).json()
    assert body["duplicate_found"] is True
    assert body["similar_images"][0]["s3_url"] == url
    assert body["similar_images"][0]["distance"] == pytest.approx(0, abs=1e-3)
    by_url = client.post(path, json={"image_url": url, "top_k": 1}).json()
    assert by_url["similar_images"][0]["s3_url"] == url


def test_caption(client: httpx.Client) -> None:
    files = {"file": ("drop.jpg", photo("ALY-EAR-007").read_bytes(), "image/jpeg")}
    form = {"type": "earrings", "website": "blysk", "sku": "ALY-EAR-007"}
    answer = client.post("/generate_caption", files=files, data=form)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    for name in ("s3_url", "name", "display_name", "generated_name", "description", "attributes", "color", "quality"):
        assert body[name], name
    assert body["quality"] in ("A", "B", "C")
    assert "blyskimg" in body["s3_url"]
    repeated = client.post("/generate_caption", files=files, data=form).json()
    assert repeated["duplicate"] == "duplicate found"
    assert repeated["s3_url"] == body["s3_url"]


@pytest.mark.parametrize(("sku", "code"), CASES)
def test_a_photo_becomes_a_workbook(client: httpx.Client, sku: str, code: str) -> None:
    url = stored(client, sku)
    request = {"image_urls": url, "skuids": sku, "marketplace_type": code}
    answer = client.post("/catalog-ai", json=request)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    (result,) = body["results"]
    assert result["sku"] == sku
    assert result["status"] == "success"
    assert any(result["attributes"].values()), "the local analyzer sees a colour at least"
    assert result["provenance"]["vision"]
    assert body["excel_file_url"] == body["excel_url"] == body["excel_file"]
    sheet_values = workbook_values(client.get(body["excel_file_url"]).content)
    assert sku in sheet_values
    assert url in sheet_values


def workbook_values(data: bytes) -> set[Any]:
    book = openpyxl.load_workbook(io.BytesIO(data))
    return {cell for sheet in book.worksheets for row in sheet.iter_rows(values_only=True) for cell in row}


def test_one_bad_product_leaves_its_neighbours_alone(client: httpx.Client) -> None:
    url = stored(client, "ALY-EAR-002")
    missing = url.rsplit("/", 1)[0] + "/no-such-picture.jpg"
    body = client.post(
        "/catalog-ai",
        json={"image_url": f"{url},{missing}", "sku": "GOOD-1,BAD-1", "marketplace": "meesho", "type": "earrings"},
    ).json()
    good, bad = body["results"]
    assert (good["sku"], good["status"]) == ("GOOD-1", "success")
    assert (bad["sku"], bad["status"]) == ("BAD-1", "failed")
    assert bad["issues"], "the failed one says why"
    values = workbook_values(client.get(body["excel_file_url"]).content)
    assert "GOOD-1" in values
    assert "BAD-1" not in values


def test_a_sku_that_looks_like_a_formula_stays_text(client: httpx.Client) -> None:
    url = stored(client, "ALY-EAR-002")
    sku = '=HYPERLINK("http://x";"y")'
    body = client.post("/catalog-ai", json={"image_urls": [url], "skuids": [sku], "marketplace_type": "ama_ear"}).json()
    book = openpyxl.load_workbook(io.BytesIO(client.get(body["excel_file_url"]).content))
    cells = [cell for sheet in book.worksheets for row in sheet.iter_rows() for cell in row if cell.value == sku]
    assert cells
    assert all(cell.data_type == "s" for cell in cells)
