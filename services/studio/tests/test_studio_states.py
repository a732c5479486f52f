"""The screens behind the first two in states that are slow to reach: keys at rest, models that end, pictures made."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from streamlit.testing.v1 import AppTest

from services.studio.tests.conftest import URL, Gateway

PHOTO = (Path(__file__).parents[3] / "samples" / "photos" / "ALY-EAR-001.jpg").read_bytes()
Screen = Callable[[str], AppTest]
STORED = f"{URL}/files/alyaimg/images/a.jpg"


def texts(app: AppTest) -> str:
    """Everything that is said."""
    kinds = (app.markdown, app.caption, app.error, app.warning, app.info, app.title, app.subheader, app.metric)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def small_picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 40), "gold").save(out, "JPEG")
    return out.getvalue()


def test_the_system_with_keys_models_and_costs(screen: Screen, studio: Gateway) -> None:
    gemini = {"role": "vision", "name": "gemini", "embedded": False, "model_id": "gemini-x", "detail": ""}
    cost = {"calls": 6, "input_tokens": 9000, "output_tokens": 900, "inr": 12.5}
    studio.says(
        "GET",
        "/system",
        {
            "status": "not_ready",
            "services": {
                "analyzer": {"status": "ready", "model": "gemini-x", "adapters": [gemini], "detail": ""},
                "exporter": {"status": "down", "model": "", "adapters": [], "detail": "it cannot be reached"},
            },
            "shutdowns": [
                {"role": "vision", "model_id": "old", "shutdown_date": "2026-11-01", "days_left": -21},
                {"role": "vision", "model_id": "soon", "shutdown_date": "2026-12-02", "days_left": 10},
                {"role": "copy", "model_id": "later", "shutdown_date": "2028-01-01", "days_left": 405},
            ],
            "key_pool": [
                {
                    "label": "shop",
                    "state": "parked",
                    "keys": 2,
                    "refused": 1,
                    "used": 10,
                    "free_at": "2026-11-23T08:00:00Z",
                }
            ],
            "costs": [
                {
                    "day": "2026-11-22",
                    "marketplace": "amazon",
                    "marketplace_type": "ama_ear",
                    "products": 5,
                    "cost": cost,
                }
            ],
            "days": 30,
        },
    )
    app = screen("system").run()
    assert not app.exception
    said = texts(app)
    for part in ("Down", "it cannot be reached", "shop", "Rests until", "provider refuses: 1", "₹ 12.50", "₹ 2.50"):
        assert part in said, part
    assert "old" in app.error[0].value
    assert "21 days ago" in app.error[0].value
    assert "in 10 days" in app.warning[0].value
    assert "later" in said


def test_the_system_without_a_gateway(screen: Screen, studio: Gateway) -> None:
    studio.fails("GET", "/system", 503, "the gateway is full")
    app = screen("system").run()
    assert not app.exception
    assert "The gateway is full." in app.error[0].value


def made(**more: Any) -> dict[str, Any]:
    url = f"{URL}/files/alyaimg/gen_imgs/x-0.jpg"
    picture = {"prompt_index": 0, "image_url": url, "portrait_url": "", "status": "success"}
    failed = {"prompt_index": 1, "image_url": "", "portrait_url": "", "status": "failed", "error": "it was refused"}
    return {
        "gen_images": [picture, {**picture, "prompt_index": 2, "warning": "another metal colour"}, failed],
        "zip_url": f"{URL}/files/alyaimg/gen_imgs/x.zip",
        "adapters": [{"name": "openai", "model_id": "gpt-image-x"}],
        "cost": {"inr": 7.5},
        **more,
    }


def pictures(screen: Screen, studio: Gateway) -> AppTest:
    studio.says("POST", "/upload-and-index", {"s3_url": STORED})
    for path in ("images/a.jpg", "gen_imgs/x-0.jpg", "gen_imgs/x.zip"):
        studio.does("GET", f"/files/alyaimg/{path}", lambda _: httpx.Response(200, content=small_picture()))
    return screen("pictures").run()


def test_pictures_come_with_what_the_comparison_said(screen: Screen, studio: Gateway) -> None:
    app = pictures(screen, studio)
    studio.says("POST", "/generate-images", made())
    app.file_uploader(key="pictures.files").set_value([("a.jpg", PHOTO, "image/jpeg")])
    app.button[0].click().run()
    assert not app.exception
    said = texts(app)
    for part in ("2 of 3 pictures", "Resembles the source", "May show another product", "Another metal colour", "7.50"):
        assert part in said, part
    assert "it was refused" in app.error[0].value
    [body] = [body for _, path, body in studio.asked if path == "/generate-images"]
    assert (body["s3_urls"], body["product_type"], body["provider"], body["count"]) == ([STORED], "ear", "openai", 4)


def test_variations_are_said_not_to_be_compared(screen: Screen, studio: Gateway) -> None:
    app = pictures(screen, studio)
    studio.says("POST", "/generate-images", made())
    app.segmented_control(key="pictures.maker").set_value("gemini").run()
    app.text_input(key="pictures.address").set_value(STORED)
    app.button[0].click().run()
    assert not app.exception
    assert "Variations are not compared" in texts(app)
    assert "Resembles" not in texts(app)


def test_pictures_need_a_key(screen: Screen, studio: Gateway) -> None:
    adapter = {"role": "image_edits", "name": "none", "detail": "no key configured: mock-ups need OPENAI_API_KEY"}
    studio.says("GET", "/readyz", {"services": {"copywriter": {"status": "ready", "adapters": [adapter]}}})
    app = pictures(screen, studio)
    assert "OPENAI" in app.info[0].value
    studio.fails("POST", "/generate-images", 409, "mock-ups need a key; set OPENAI_API_KEY")
    app.text_input(key="pictures.address").set_value(STORED)
    app.button[0].click().run()
    assert "need a key; set OPENAI" in app.error[0].value


CURVE = {
    "model_id": "clip",
    "duplicate_distance": 5,
    "similar_distance": 25,
    "calibration": [{"threshold": 1, "similar_miss": 1}, {"threshold": 25, "similar_match": 0.125}],
    "pairs": 9,
}
MATCH = {
    "s3_url": STORED,
    "original_name": "a.jpg",
    "website": "alya",
    "distance": 900,
    "cosine": 0.31,
    "verdict": "new",
}


def test_words_find_pictures_where_the_model_reads_them(screen: Screen, studio: Gateway) -> None:
    studio.says("GET", "/thresholds", CURVE)
    studio.does("GET", "/files/alyaimg/images/a.jpg", lambda _: httpx.Response(200, content=small_picture()))
    studio.says("POST", "/image-search", {"similar_images": [MATCH], "model_id": "clip"})
    app = screen("similar").run()
    app.segmented_control(key="similar.way").set_value("words").run()
    app.text_input(key="similar.words").set_value("gold hoops")
    app.button[0].click().run()
    assert not app.exception
    assert "1 of 1 pictures" in texts(app)
    assert "fits 0.31" in texts(app)
    # There is no photo that could be kept apart, only a picture that could be deleted.
    assert [one.key for one in app.button if (one.key or "").startswith("similar.")] == ["similar.delete.0"]


def test_the_curve_of_a_model_that_nobody_calibrated(screen: Screen, studio: Gateway) -> None:
    studio.says("GET", "/thresholds", {**CURVE, "calibration": []})
    app = screen("similar").run()
    assert not app.exception
    assert "Nobody has measured yet" in texts(app)


def test_a_catalogue_that_holds_nothing_yet(screen: Screen, studio: Gateway) -> None:
    studio.says("POST", "/collection_counts", {"passing": 0, "products": 0, "stale": False})
    app = screen("collections").run()
    app.button(key="collections.go").click().run()
    assert not app.exception
    assert "The catalogue holds no products" in app.info[0].value
    assert [path for _, path, _ in studio.asked if path == "/semantic_filter_jewelry"] == []


def test_filters_that_leave_nothing(screen: Screen, studio: Gateway) -> None:
    studio.says("POST", "/collection_counts", {"passing": 0, "products": 61, "stale": True})
    nothing = {"matches": [], "relaxation": "With a price up to 500 there are 3.", "removed_by": {"price": 3}}
    studio.says("POST", "/semantic_filter_jewelry", nothing)
    app = screen("collections").run()
    app.button(key="collections.go").click().run()
    assert not app.exception
    assert "With a price up to 500" in app.info[0].value.replace("\\", "")
    assert "earlier state" in texts(app)


def test_a_bill_without_a_table(screen: Screen, studio: Gateway) -> None:
    studio.says("POST", "/process-image-and-prompt", {"columns": [], "table": [], "checks": [], "extracted_data": {}})
    app = screen("bills").run()
    app.file_uploader(key="bills.files").set_value([("a.jpg", PHOTO, "image/jpeg")])
    app.button[0].click().run()
    assert not app.exception
    assert "No table was found" in app.info[0].value


def test_too_many_pages(screen: Screen, studio: Gateway) -> None:
    app = screen("bills").run()
    app.file_uploader(key="bills.files").set_value([(f"{n}.jpg", PHOTO, "image/jpeg") for n in range(21)])
    app.button[0].click().run()
    assert "at most 20 pages" in app.error[0].value
    assert [path for _, path, _ in studio.asked if path == "/process-image-and-prompt"] == []
