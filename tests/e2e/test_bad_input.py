"""Bad input, as a client sees it: a 4xx that says what to do, and nothing half-stored."""

from __future__ import annotations

import io

import httpx
import pytest
from PIL import Image

from tests.system import System, photo, upload

JPEG = photo("ALY-EAR-001").read_bytes()


def huge() -> bytes:
    out = io.BytesIO()
    Image.new("1", (10_000, 5_001)).save(out, "PNG")
    return out.getvalue()


BAD_FILES = {
    "empty": (b"", {400, 422}),
    "no image": (b"%PDF-1.4 not a picture", {400, 415}),
    "truncated": (JPEG[: len(JPEG) // 3], {400}),
    "over 20 MiB": (JPEG + b"\0" * (20 * 1024 * 1024), {413}),
    "over 50 megapixels": (huge(), {413, 422}),
}


def objects(system: System) -> set[str]:
    root = system.folder / "data" / "objects"
    return {str(path) for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.parametrize("path", ["/upload-and-index", "/generate_caption", "/image-search"])
def test_bad_files(system: System, client: httpx.Client, name: str, path: str) -> None:
    data, allowed = BAD_FILES[name]
    before = objects(system)
    answer = client.post(path, files={"file": ("x.jpg", data, "image/jpeg")})
    assert answer.status_code in allowed, answer.text
    problem(answer)
    assert objects(system) == before


def problem(answer: httpx.Response) -> dict[str, object]:
    assert answer.headers["content-type"].startswith("application/problem+json")
    body: dict[str, object] = answer.json()
    for field in ("type", "title", "status", "detail", "code", "request_id"):
        assert field in body, field
    assert body["status"] == answer.status_code
    assert body["request_id"] == answer.headers["x-request-id"]
    return body


CATALOGUE = {"image_urls": ["http://127.0.0.1/x.jpg"], "skuids": ["A"], "marketplace_type": "ama_ear"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"marketplace_type": "ebay_ear"}, ["ama_ear", "sho_ear"]),
        ({"skuids": ["A", "B"]}, ["1", "2"]),
        ({"skuids": []}, []),
        ({"image_urls": ["a.jpg", "b.jpg"], "skuids": ["A", "A"]}, ["A"]),
    ],
)
def test_bad_catalogue_requests(client: httpx.Client, change: dict[str, object], words: list[str]) -> None:
    answer = client.post("/catalog-ai", json={**CATALOGUE, **change})
    assert answer.status_code == 422, answer.text
    problem(answer)
    for word in words:
        assert word in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing-here", 404), ("GET", "/catalog-ai", 405), ("GET", "/files/alyaimg/images/none.jpg", 404)],
)
def test_the_frameworks_own_errors_are_problems_too(client: httpx.Client, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    problem(answer)


def test_broken_json(client: httpx.Client) -> None:
    answer = client.post("/catalog-ai", content=b'{"image_urls": [', headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    problem(answer)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x.jpg", "http://169.254.169.254/latest", "file:///etc/passwd"])
def test_forbidden_addresses(client: httpx.Client, url: str) -> None:
    answer = client.post("/image-search", json={"image_url": url})
    assert 400 <= answer.status_code < 500
    problem(answer)


def test_unknown_website(client: httpx.Client) -> None:
    answer = upload(client, JPEG, website="amazon")
    assert answer.status_code == 422
    assert "alya" in problem(answer)["detail"]  # type: ignore[operator]


def test_paths_do_not_leave_the_store(client: httpx.Client) -> None:
    for path in (
        "/files/alyaimg/../../copywriter.db",
        "/files/alyaimg/%2e%2e/%2e%2e/copywriter.db",
        "/files/etc/passwd",
    ):
        answer = client.get(path)
        assert answer.status_code in (400, 404, 422), path
