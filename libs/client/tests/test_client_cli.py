"""The command line against a gateway on a real socket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from client_gateway import Gateway, events
from jewelry_client.cli import app
from typer.testing import CliRunner, Result


def run(api: Gateway, *arguments: object, as_json: bool = False) -> Result:
    options = ["--url", api.url, *(["--json"] if as_json else [])]
    return CliRunner().invoke(app, [*options, *(str(argument) for argument in arguments)])


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "A-1.jpg"
    path.write_bytes(b"\xff\xd8")
    return path


def finished(status: str = "succeeded", **more: Any) -> dict[str, Any]:
    return {"id": "j1", "status": status, "done": 1, "total": 1, "failed": 0, "cost": {"inr": 2.5}, **more}


def test_caption(api: Gateway, photo: Path) -> None:
    api.script["POST /generate_caption"] = {"name": "Hoop [x]", "color": "gold", "s3_url": "u"}
    result = run(api, "caption", photo, "--type", "earrings", "--website", "alya")
    assert result.exit_code == 0, result.output
    assert "name: Hoop [x]" in result.output
    assert b"earrings" in api.asked[0].body
    answer = json.loads(run(api, "caption", photo.parent, as_json=True).stdout)
    assert (answer["file"], answer["name"]) == (str(photo), "Hoop [x]")
    api.script["POST /generate_caption"] = {"duplicate": "duplicate found", "s3_url": "u"}
    assert "duplicate found: u" in run(api, "caption", photo).output


def test_one_bad_picture_leaves_the_others_alone(api: Gateway, photo: Path) -> None:
    (photo.parent / "B.jpg").write_bytes(b"bad")
    api.script["POST /generate_caption"] = lambda asked: (
        (400, {"code": "IMAGE_UNREADABLE", "detail": "no picture"}, {}) if b"bad" in asked.body else {"name": "Hoop"}
    )
    result = run(api, "caption", photo.parent)
    assert result.exit_code == 1
    assert "name: Hoop" in result.output
    assert "B.jpg: no picture" in result.output


def test_search(api: Gateway, photo: Path) -> None:
    match = {"verdict": "similar", "distance": 17.5, "cosine": 0.91, "s3_url": "http://x/old.jpg"}
    api.script["POST /image-search"] = {"similar_images": [match]}
    for picture in (photo, "https://shop.example/a.jpg"):
        result = run(api, "search", picture, "--top-k", 3)
        assert result.exit_code == 0, result.output
        assert "similar" in result.output
        assert "http://x/old.jpg" in result.output
    assert run(api, "search", photo.parent / "none.jpg").exit_code == 1


def test_a_catalogue_from_a_folder(api: Gateway, photo: Path, tmp_path: Path) -> None:
    api.script["POST /upload-and-index"] = {"s3_url": "http://x/a.jpg"}
    api.script["POST /catalog-ai"] = (202, {"id": "j1", "status": "queued"}, {"Location": "/jobs/j1"})
    api.script["GET /jobs/j1"] = [
        {"id": "j1", "status": "running", "done": 0, "total": 1, "failed": 0},
        finished(excel_file_url=f"{api.url}/files/b/book.xlsx"),
    ]
    api.script["GET /jobs/j1/events"] = events((1, "item", {"sku": "A-1"}), (2, "end", {}))
    api.script["GET /files/b/book.xlsx"] = (200, b"PK", {})
    out = tmp_path / "mine.xlsx"
    result = run(api, "catalogue", photo.parent, "-m", "ama_ear", "--set", "brand=Alya", "--max-cost", 50, "-o", out)
    assert result.exit_code == 0, result.output
    assert "job j1: succeeded, 1 of 1 done, 0 failed, ₹2.50" in result.output
    assert out.read_bytes() == b"PK"
    sent = next(asked.json for asked in api.asked if asked.path == "/catalog-ai")
    assert sent == {
        "image_urls": [["http://x/a.jpg"]],
        "skuids": ["A-1"],
        "marketplace_type": "ama_ear",
        "seller": {"brand": "Alya"},
        "max_cost": 50,
    }


def test_a_catalogue_from_a_csv_with_a_failure(api: Gateway, photo: Path, tmp_path: Path) -> None:
    table = tmp_path / "p.csv"
    table.write_text("sku,image,mrp\nA-1,A-1.jpg,499\nB,https://shop.example/b.jpg,599\n")
    api.script["POST /upload-and-index"] = {"s3_url": "http://x/a.jpg"}
    results = [{"sku": "A-1", "status": "success"}, {"sku": "B", "status": "failed", "error": "the picture is gone"}]
    api.script["POST /catalog-ai"] = {"results": results, "excel_file_url": "", "job_id": "r"}
    result = run(api, "catalogue", table, "-m", "ama_ear")
    assert result.exit_code == 2
    assert "B: the picture is gone" in result.output
    sent = next(asked.json for asked in api.asked if asked.path == "/catalog-ai")
    assert sent["image_urls"] == [["http://x/a.jpg"], ["https://shop.example/b.jpg"]]
    assert sent["seller"] == {"by_sku": {"A-1": {"mrp": "499"}, "B": {"mrp": "599"}}}


def test_a_dry_run_only_tells(api: Gateway, photo: Path) -> None:
    api.script["POST /catalog-ai"] = {"dry_run": True, "calls": 2, "inr": 1.25, "minutes": 0.5}
    result = run(api, "catalogue", photo.parent, "-m", "ama_ear", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "inr" in result.output
    assert "1.25" in result.output
    assert api.paths() == ["POST /catalog-ai"]
    assert api.asked[0].json["image_urls"] == [["https://dry-run.invalid/A-1.jpg"]]


def test_jobs(api: Gateway, tmp_path: Path) -> None:
    api.script["GET /jobs"] = {"jobs": [finished()]}
    api.script["GET /jobs/j1"] = finished()
    api.script["POST /jobs/j1/cancel"] = finished("cancelled")
    api.script["POST /jobs/j1/resume"] = finished("queued")
    field = {"field": "color", "values": ["gold"], "reason": "two answers"}
    api.script["GET /jobs/j1/review"] = {"items": [{"sku": "A", "fields": [field]}]}
    api.script["PATCH /jobs/j1/items/A"] = {"sku": "A"}
    api.script["POST /jobs/j1/export"] = {"excel_file_url": f"{api.url}/files/b/x.xlsx"}
    api.script["GET /files/b/x.xlsx"] = (200, b"PK", {})
    for arguments, words in (
        (("list",), "succeeded"),
        (("show", "j1"), "job j1: succeeded"),
        (("follow", "j1"), "job j1: succeeded"),
        (("cancel", "j1"), "cancelled"),
        (("resume", "j1"), "queued"),
        (("review", "j1"), "two answers"),
        (("set", "j1", "A", "color=gold"), "A: color set"),
        (("export", "j1", "-o", tmp_path / "x.xlsx"), "x.xlsx"),
    ):
        result = run(api, "jobs", *arguments)
        assert result.exit_code == 0, result.output
        assert words in result.output
    assert (tmp_path / "x.xlsx").read_bytes() == b"PK"
    assert json.loads(run(api, "jobs", "list", as_json=True).stdout)[0]["id"] == "j1"
    assert run(api, "jobs", "set", "j1", "A", "color").exit_code == 2
    assert run(api, "jobs", "show", "j9").exit_code == 1


def test_templates(api: Gateway, tmp_path: Path) -> None:
    column = {"letters": "A", "name": "sku", "field": "", "required": True, "allowed_values": ["x"]}
    one = {
        "template_id": "t1",
        "marketplace_type": "ama_ear",
        "built_in": False,
        "original_name": "m.xlsx",
        "created": "",
    }
    api.script["GET /templates"] = {"templates": [one]}
    api.script["POST /templates"] = {**one, "columns": [column], "warnings": ["Gift wrap was not understood"]}
    api.script["GET /templates/t1"] = {**one, "columns": [column], "warnings": []}
    book = tmp_path / "m.xlsx"
    book.write_bytes(b"PK")
    assert "m.xlsx" in run(api, "templates", "list", "-m", "ama_ear").output
    added = run(api, "templates", "add", book, "-m", "ama_ear")
    assert "Gift wrap" in added.output
    assert "(not understood)" in run(api, "templates", "show", "t1").output


def test_ready(api: Gateway) -> None:
    adapter = {"role": "vision", "name": "gemini", "shutdown_date": "2026-12-01"}
    service = {"status": "ready", "model": "m", "adapters": [adapter], "detail": ""}
    api.script["GET /readyz"] = {"status": "ready", "services": {"analyzer": service}}
    result = run(api, "ready")
    assert result.exit_code == 0
    assert "vision: gemini (ends 2026-12-01)" in result.output
    api.script["GET /readyz"] = (503, {"status": "not_ready", "services": {}}, {})
    assert run(api, "ready").exit_code == 1


def test_errors_are_sentences(api: Gateway, photo: Path) -> None:
    refused = {"code": "UNAUTHENTICATED", "detail": "this path needs a key", "request_id": "r1"}
    api.script["POST /image-search"] = (401, refused, {})
    result = run(api, "search", photo)
    assert result.exit_code == 1
    assert "this path needs a key" in result.output
    assert "401 UNAUTHENTICATED, request r1" in result.output
    assert "Traceback" not in result.output
