"""Screens in states that are slow to reach: services that start or are down, jobs under way, answers that fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from streamlit.testing.v1 import AppTest

from services.studio.tests.conftest import URL, Gateway
from studio_service import settings

PHOTO = (Path(__file__).parents[3] / "samples" / "photos" / "ALY-EAR-001.jpg").read_bytes()
Screen = Callable[[str], AppTest]
JOB = "0123456789abcdef0123456789abcdef"
KEYLESS = {
    "services": {
        "analyzer": {
            "status": "ready",
            "adapters": [
                {"role": "vision", "name": "local", "embedded": True},
                {"role": "image_variations", "name": "none", "embedded": False},
            ],
        },
        "copywriter": {"status": "ready", "adapters": [{"role": "copy", "name": "openai", "embedded": False}]},
    }
}


def texts(app: AppTest) -> str:
    """Everything that is said."""
    kinds = (app.markdown, app.caption, app.error, app.warning, app.info, app.success, app.title, app.subheader)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def job(**more: Any) -> dict[str, Any]:
    return {
        "id": JOB,
        "kind": "catalogue",
        "status": "running",
        "marketplace_type": "ama_ear",
        "total": 3,
        "done": 1,
        "succeeded": 1,
        "failed": 0,
        "attempt": 1,
        "cost": {"inr": 1.5},
        "seconds_left": 130,
        "created": "2026-11-22T10:35:00+00:00",
        "excel_file_url": "",
        "template_id": "",
        "products": [
            {"sku": "A-1", "name": "Gold hoops", "status": "success"},
            {"sku": "A-2", "name": "A-2", "status": "running"},
            {"sku": "A-3", "name": "A-3", "status": "queued"},
        ],
        **more,
    }


def test_a_gateway_that_is_down(app: AppTest, studio: Gateway) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("broken pipe", request=request)

    studio.does("GET", "/readyz", refuse)
    app.run()
    assert not app.exception
    assert "No gateway" in texts(app)
    assert "Start the system with `make up`" in app.error[0].value


def test_services_that_start(app: AppTest, studio: Gateway) -> None:
    studio.says("GET", "/readyz", {"services": {"embedding": {"status": "down", "adapters": []}}}, status=503)
    app.run()
    assert not app.exception
    assert "Starting" in texts(app)


def test_first_use_without_a_key(app: AppTest, studio: Gateway) -> None:
    studio.says("GET", "/readyz", KEYLESS)
    app.run()
    assert app.expander[0].label.startswith("You are working without provider keys")
    assert "**Reading photos** — colours" in texts(app)
    assert "**Variations of pictures** — needs a Google key." in texts(app)
    assert "OpenAI" not in texts(app)
    assert app.code[0].value == "GOOGLE_API_KEY="
    app.button(key="notice.dismiss").click().run()
    assert not app.expander


def test_the_language_of_the_address(app: AppTest) -> None:
    app.query_params["lang"] = "hi"
    app.run()
    assert app.title[0].value == "विवरण"
    assert app.segmented_control(key="language_choice").value == "hi"


def test_the_password(studio: Gateway, app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_PASSWORD", "öffne dich")
    settings.load.cache_clear()
    app.run()
    assert not app.file_uploader
    app.text_input[0].set_value("guess")
    app.button[0].click().run()
    assert "That is not the password" in app.error[0].value
    assert not app.file_uploader
    app.text_input[0].set_value("öffne dich")
    app.button[0].click().run()
    assert app.title[0].value == "Describe"


def test_a_provider_that_is_busy(screen: Screen, studio: Gateway) -> None:
    app = screen("describe").run()
    detail = "every key is parked until tomorrow *really*"
    answer = {"Retry-After": "3600"}
    body = {"detail": detail, "code": "QUOTA", "request_id": "id-9"}
    studio.does("POST", "/generate_caption", lambda _: httpx.Response(429, json=body, headers=answer))
    app.file_uploader(key="describe.files").set_value([("a.jpg", PHOTO, "image/jpeg")])
    app.button[0].click().run()
    assert not app.exception
    said = app.error[0].value
    assert "Every key is parked until tomorrow \\*really\\*." in said
    assert "Try again in 3600 s." in said
    assert "id-9" in said


def test_a_job_under_way(screen: Screen, studio: Gateway) -> None:
    studio.says("GET", f"/jobs/{JOB}", job())
    studio.says("POST", f"/jobs/{JOB}/cancel", job(status="cancelled"))
    app = screen("catalogue")
    app.query_params["job"] = JOB
    app.run()
    assert not app.exception
    assert "about 2 min left" in texts(app)
    assert "₹ 1.50 so far" in texts(app)
    assert "**A\\-2** :gray[being worked on]" in texts(app)
    app.button(key="job.cancel").click().run()
    assert ("POST", f"/jobs/{JOB}/cancel", {}) in studio.asked


def test_a_job_that_failed_as_a_whole(screen: Screen, studio: Gateway) -> None:
    failed = [{"sku": "A-1", "name": "A-1", "status": "failed", "error": "the picture cannot be used"}]
    state = job(status="failed", done=1, total=1, succeeded=0, failed=1, products=failed, error="the exporter is down")
    studio.says("GET", f"/jobs/{JOB}", state)
    app = screen("catalogue")
    app.query_params["job"] = JOB
    app.run()
    assert not app.exception
    assert "the exporter is down" in app.error[0].value
    assert "the picture cannot be used" in texts(app)
    assert "no product succeeded" in texts(app)
    studio.says("POST", f"/jobs/{JOB}/resume", job())
    studio.says("GET", f"/jobs/{JOB}", job())
    app.button(key="job.resume").click().run()
    assert ("POST", f"/jobs/{JOB}/resume", {}) in studio.asked


def test_the_review_by_keyboard_and_in_bulk(screen: Screen, studio: Gateway) -> None:
    columns = [
        {"field": "metal", "label": "Metal", "required": True, "allowed_values": ["Brass", "Alloy"]},
        {"field": "color", "label": "Color"},
    ]
    issues = [{"field": "metal", "severity": "error", "rule": "required", "message": "Metal is wanted", "cell": "B4"}]

    def result(sku: str, **fields: str) -> dict[str, Any]:
        values = {"metal": "", "color": "Gold", **fields}
        return {
            "sku": sku,
            "name": f"Hoops {sku}",
            "status": "success",
            "image_urls": [f"{URL}/files/alyaimg/images/{sku}.jpg"],
            "fields": [
                {"field": name, "values": [value] if value else [], "confidence": 0.3, "evidence": "30% yellow",
                 "source": "person" if name in fields else "image"}
                for name, value in values.items()
            ],
            "issues": [] if "metal" in fields else issues,
            "copy": {"title": "T", "bullet_points": [], "description": "D"},
        }  # fmt: skip

    def patched(request: httpx.Request) -> httpx.Response:
        sent = studio.asked[-1][2]["fields"]
        sku = request.url.path.rpartition("/")[2]
        return httpx.Response(200, json=result(sku, **{name: value[0] for name, value in sent.items()}))

    done = job(status="succeeded", done=2, total=2, succeeded=2, template_id="mine", results=[result("A"), result("B")])
    studio.says("GET", f"/jobs/{JOB}", done)
    studio.says("GET", f"/jobs/{JOB}/review", {"confidence": 0.5, "items": []})
    studio.says("GET", "/templates/mine", {"columns": columns})
    studio.does("PATCH", f"/jobs/{JOB}/items/A", patched)
    studio.does("PATCH", f"/jobs/{JOB}/items/B", patched)
    for sku in ("A", "B"):
        studio.does("GET", f"/files/alyaimg/images/{sku}.jpg", lambda _: httpx.Response(200, content=PHOTO))
    app = screen("catalogue")
    app.query_params["job"] = JOB
    app.run()
    assert not app.exception
    assert "2 would be refused" in texts(app)
    assert app.selectbox(key="review.sku").value == "A"
    metal = app.selectbox(key="cell.A.metal.0")
    assert metal.options == ["Brass", "Alloy"]
    assert "Metal is wanted" in texts(app)
    assert "**Seen:** 30% yellow" in app.text_input(key="cell.A.color.0").help
    metal.select("Alloy")
    app.button(key="review.accept").click().run()
    # What was chosen, and what was accepted as it stood; then the next product.
    assert studio.asked_last("PATCH") == {"fields": {"metal": ["Alloy"], "color": ["Gold"]}}
    assert app.selectbox(key="review.sku").value == "B"
    assert "1 would be refused" in texts(app)
    app.segmented_control(key="review.view").set_value("table").run()
    app.selectbox(key="bulk.field").select("metal").run()
    app.selectbox(key="bulk.value.metal").select("Brass").run()
    app.button(key="bulk.go").click().run()
    assert not app.exception
    bodies = [body for method, _, body in studio.asked if method == "PATCH"]
    assert bodies[1:] == [{"fields": {"metal": ["Brass"]}}] * 2
    assert "corrections that are not in the workbook yet" in texts(app)


def test_no_jobs_yet(screen: Screen, studio: Gateway) -> None:
    studio.says("GET", "/jobs", {"jobs": []})
    app = screen("catalogue")
    studio.says("GET", "/templates", {"templates": []})
    app.run()
    assert "The gateway names no marketplace yet" in app.warning[0].value
    app.segmented_control(key="catalogue.view").set_value("jobs").run()
    assert "No jobs yet" in app.info[0].value
