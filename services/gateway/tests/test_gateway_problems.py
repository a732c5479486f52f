"""Every error is problem+json with the right status, whoever raised it."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import grpc
import httpx
import pytest

from gateway_service import problems
from gateway_service.app import create_app
from servicekit import errors

MEMBERS = {"type", "title", "status", "detail", "code", "request_id"}
EXPECTED = {
    "CANCELLED": 503,
    "UNKNOWN": 502,
    "INVALID_ARGUMENT": 422,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 409,
    "ABORTED": 409,
    "OUT_OF_RANGE": 422,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 502,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 502,
    "UNAUTHENTICATED": 401,
}


def check(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert set(body) >= MEMBERS
    assert body["status"] == status
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["detail"]
    for error in body.get("errors", []):
        assert set(error) == {"loc", "msg"}
    return body


def test_the_table_has_every_code() -> None:
    codes = {code.name for code in grpc.StatusCode if code is not grpc.StatusCode.OK}
    assert set(problems.STATUS) == codes == set(errors.BY_CODE) == set(EXPECTED)


@pytest.mark.parametrize("code", sorted(EXPECTED))
async def test_every_code_over_a_real_socket(http, system, jpeg, code) -> None:
    error = errors.BY_CODE[code]("what is wrong and what to do", reason="SOME_REASON", retry_after=2.5)
    system["vision-index"].script["UploadAndIndex"] = error
    answer = await http.post("/upload-and-index", files={"file": ("a.jpg", jpeg)})
    body = check(answer, EXPECTED[code])
    assert (body["code"], body["detail"]) == ("SOME_REASON", "what is wrong and what to do")
    assert (answer.headers["retry-after"], body["retry_after"]) == ("3", 2.5)


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("IMAGE_EMPTY", 400),
        ("IMAGE_UNREADABLE", 400),
        ("IMAGE_TRUNCATED", 400),
        ("IMAGE_TOO_LARGE", 413),
        ("IMAGE_TOO_MANY_PIXELS", 413),
        ("WEBSITE_UNKNOWN", 422),
    ],
)
async def test_reasons_that_http_has_a_word_for(http, system, jpeg, reason, status) -> None:
    error = errors.InvalidArgument("mend it", reason=reason, fields={"website": "must be one of alya, blysk"})
    system["vision-index"].script["Search"] = error
    body = check(await http.post("/image-search", files={"file": ("a.jpg", jpeg)}), status)
    assert body["errors"] == [{"loc": ["body", "website"], "msg": "must be one of alya, blysk"}]


async def test_what_a_service_did_not_foresee_says_nothing(http, system, jpeg) -> None:
    system["vision-index"].script["Search"] = ValueError("secret path /srv/x")
    answer = await http.post("/image-search", files={"file": ("a.jpg", jpeg)})
    body = check(answer, 502)
    assert "secret" not in answer.text
    assert body["request_id"] in body["detail"]


async def test_what_the_gateway_did_not_foresee_says_nothing(system, jpeg, caplog) -> None:
    clients = system.clients(system.settings())

    class Broken:
        async def search(self, *_: Any, **__: Any) -> None:
            raise ZeroDivisionError("secret")

    broken = replace(clients, vision_index=Broken())
    app = create_app(system.settings(), clients)
    app.state.clients = broken
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as http:
        with caplog.at_level(logging.ERROR):
            answer = await http.post("/image-search", files={"file": ("a.jpg", jpeg)})
    check(answer, 500)
    assert "secret" not in answer.text
    assert "ZeroDivisionError" in caplog.text
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/nowhere", "/catalog-ai/x", "/files", "/jobs/a/b/c", "/variations", "/redoc"])
async def test_paths_that_are_not_there(door, path) -> None:
    assert check(await door.get(path), 404)["code"] == "NOT_FOUND"


async def test_methods_that_are_not_taken(door) -> None:
    answer = await door.get("/catalog-ai")
    assert check(answer, 405)["code"] == "METHOD_NOT_ALLOWED"
    assert answer.headers["allow"] == "POST"
    check(await door.delete("/healthz"), 405)


JSON_PATHS = ["/catalog-ai", "/semantic_filter_jewelry", "/clear_excel_file", "/delete_image"]


@pytest.mark.parametrize("path", [*JSON_PATHS, "/image-search"])
@pytest.mark.parametrize("body", [b"{", b"\xff\xfe{}", b"[" * 100_000, b'{"a": 1'])
async def test_broken_json(door, path, body) -> None:
    answer = await door.post(path, content=body, headers={"Content-Type": "application/json"})
    assert check(answer, 400)["code"] == "BODY_UNREADABLE"


@pytest.mark.parametrize("path", [*JSON_PATHS, "/image-search"])
@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"x"'])
async def test_json_that_is_no_object(door, path, body) -> None:
    check(await door.post(path, content=body, headers={"Content-Type": "application/json"}), 422)


@pytest.mark.parametrize("path", JSON_PATHS)
@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "application/xml", None])
async def test_other_bodies_where_json_is_wanted(door, path, kind) -> None:
    headers = {"Content-Type": kind} if kind else {}
    assert check(await door.post(path, content=b"{}", headers=headers), 415)["code"] == "MEDIA_TYPE_UNSUPPORTED"


@pytest.mark.parametrize("path", ["/generate_caption", "/upload-and-index", "/image-search"])
@pytest.mark.parametrize("kind", ["text/plain", "application/pdf", "video/mp4", None])
async def test_other_bodies_where_a_picture_is_wanted(door, path, kind) -> None:
    headers = {"Content-Type": kind} if kind else {}
    check(await door.post(path, content=b"x", headers=headers), 415)


async def test_lone_surrogates_are_refused_not_a_500(door) -> None:
    sent = b'{"s3_url": "http://a/\\ud800"}'
    check(await door.post("/delete_image", content=sent, headers={"Content-Type": "application/json"}), 422)
    sent = b'{"image_urls": ["u"], "skuids": ["A"], "marketplace_type": "ama_ear", "seller": {"\\ud800": "\\udfff"}}'
    check(await door.post("/catalog-ai", content=sent, headers={"Content-Type": "application/json"}), 422)


async def test_half_characters_deep_inside_are_refused_too(door) -> None:
    sent = (
        b'{"image_urls": ["u"], "skuids": ["A"], "marketplace_type": "ama_ear", '
        b'"seller": {"by_sku": {"A": {"color": "\\udfff"}}}}'
    )
    check(await door.post("/catalog-ai", content=sent, headers={"Content-Type": "application/json"}), 422)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/catalog-ai", {"image_urls": ["u"], "skuids": ["A"], "marketplace_type": "ama_ear", "website": "other"}),
        ("/clear_excel_file", {"marketplace_type": "ama_ear", "website": "other"}),
        ("/generate_caption", None),
        ("/upload-and-index", None),
        ("/image-search", None),
    ],
)
async def test_a_website_that_is_not_ours(door, jpeg, path, body) -> None:
    if body is None:
        answer = await door.post(path, files={"file": ("a.jpg", jpeg)}, data={"website": "other"})
    else:
        answer = await door.post(path, json=body)
    found = check(answer, 422)
    assert found["errors"] == [{"loc": ["body", "website"], "msg": "must be one of alya, blysk"}]


async def test_a_service_that_is_down(system, jpeg) -> None:
    from servicekit import client, testing

    descriptor = system["vision-index"].descriptor
    channel = client.connect("127.0.0.1:1", [descriptor], testing.settings())
    system.channels["vision-index"] = channel
    http = await system.client()
    answer = await http.post("/upload-and-index", files={"file": ("a.jpg", jpeg)})
    assert "vision-index" in check(answer, 503)["detail"]
    assert answer.headers["retry-after"] == "1"
    await channel.close()


@pytest.mark.parametrize(
    "path", ["/healthz/", "/readyz/", "/generate_caption/", "/image-search/", "/image_similarity_search/", "/docs/"]
)
async def test_trailing_slashes(http, path, jpeg) -> None:
    if path in ("/healthz/", "/readyz/", "/docs/"):
        answer = await http.get(path)
    else:
        answer = await http.post(path, files={"file": ("a.jpg", jpeg)})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", [f"{path}/" for path in JSON_PATHS])
async def test_trailing_slashes_of_json_paths(door, path) -> None:
    assert (await door.post(path, json=[])).status_code == 422


async def test_the_document_and_its_page(door) -> None:
    document = (await door.get("/openapi.json")).json()
    for path in ("/generate_caption", "/catalog-ai", "/image-search", "/semantic_filter_jewelry", "/readyz"):
        assert path in document["paths"]
    upload = document["paths"]["/generate_caption"]["post"]
    assert {"multipart/form-data", "image/jpeg"} <= set(upload["requestBody"]["content"])
    assert upload["responses"]["422"]["content"] == {
        "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
    }
    assert "Problem" in document["components"]["schemas"]
    catalogue = document["components"]["schemas"]["CatalogueRequest"]
    assert catalogue["examples"]
    assert {"type": "null"} in catalogue["properties"]["website"]["anyOf"]
    page = await door.get("/docs")
    assert "http" not in page.text.replace("<!doctype html>", "").replace("</html>", "").replace("<html", "")
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "start.js"):
        assert (await door.get(f"/docs/{name}")).status_code == 200
    check(await door.get("/docs/core.py"), 404)
