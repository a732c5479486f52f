"""Keys, security headers, CORS, health, files."""

from __future__ import annotations

import asyncio

import pytest
from jewelry.analyzer.v1 import analyzer_pb2
from jewelry.type.v1 import type_pb2

from gateway_service import auth
from objectstore import FolderStore
from servicekit import client, errors, testing

KEYS = "studio:s3cret-one, plain-two"


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer s3cret-one"},
        {"Authorization": "bearer   s3cret-one"},
        {"X-API-Key": "plain-two"},
        {"Authorization": "Basic abc", "X-API-Key": "s3cret-one"},
    ],
)
async def test_a_key_opens(unserved, headers) -> None:
    http = await unserved.client(gateway_api_keys=KEYS)
    assert (await http.get("/openapi.json", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer nobody"},
        {"Authorization": "Bearer studio:s3cret-one"},
        {"Authorization": "s3cret-one"},
        {"Authorization": "Bearer "},
        {"X-API-Key": ""},
        {"X-API-Key": "S3CRET-ONE"},
        {"X-API-Key": "caf\u00e9".encode("latin-1")},
    ],
)
@pytest.mark.parametrize("path", ["/generate_caption", "/openapi.json", "/docs", "/nowhere", "/files/alyaimg/a.jpg"])
async def test_nothing_else_does(unserved, headers, path) -> None:
    http = await unserved.client(gateway_api_keys=KEYS)
    answer = await http.request("POST" if path == "/generate_caption" else "GET", path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_health_needs_no_key(system) -> None:
    http = await system.client(gateway_api_keys=KEYS)
    for path in ("/healthz", "/readyz", "/healthz/"):
        assert (await http.get(path)).status_code == 200


async def test_the_log_names_the_label_never_the_key(unserved, caplog) -> None:
    http = await unserved.client(gateway_api_keys=KEYS)
    with caplog.at_level("INFO"):
        await http.get("/openapi.json", headers={"X-API-Key": "s3cret-one"})
    assert "by studio" in caplog.text
    assert "s3cret" not in caplog.text
    assert "s3cret" not in repr(unserved.settings(gateway_api_keys=KEYS))


async def test_pages_of_other_sites_cannot_post_to_the_loopback(system, jpeg) -> None:
    http = await system.client(gateway_cors_origins="https://studio.example")
    evil = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    answer = await http.post("/upload-and-index", files={"file": ("a.jpg", jpeg)}, headers=evil)
    assert (answer.status_code, answer.json()["code"]) == (403, "CROSS_SITE")
    assert not system["vision-index"].calls
    for headers in ({"Sec-Fetch-Site": "same-origin"}, {**evil, "Origin": "https://studio.example"}, {}):
        answer = await http.post("/upload-and-index", files={"file": ("a.jpg", jpeg)}, headers=headers)
        assert answer.status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_without_keys_the_loopback_is_fine(host) -> None:
    auth.check_binding(host, auth.ApiKeys(" , "))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "gateway.example"])
def test_without_keys_nothing_else_is(host) -> None:
    with pytest.raises(errors.FailedPrecondition, match="GATEWAY_API_KEYS"):
        auth.check_binding(host, auth.ApiKeys(""))
    auth.check_binding(host, auth.ApiKeys("k"))


async def test_security_headers_and_cors(unserved) -> None:
    http = await unserved.client(gateway_cors_origins="https://studio.example, https://b.example/")
    answer = await http.get("/healthz", headers={"Origin": "https://studio.example"})
    assert answer.headers["access-control-allow-origin"] == "https://studio.example"
    assert "X-Request-Id" in answer.headers["access-control-expose-headers"]
    for name in ("x-content-type-options", "x-frame-options", "content-security-policy", "referrer-policy"):
        assert answer.headers[name]
    assert answer.headers["cache-control"] == "no-store"
    other = await http.get("/healthz", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers
    preflight = await http.options(
        "/catalog-ai",
        headers={
            "Origin": "https://b.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        },
    )
    assert preflight.status_code == 200
    plain = await unserved.client()
    assert (
        "access-control-allow-origin"
        not in (await plain.get("/healthz", headers={"Origin": "https://studio.example"})).headers
    )


async def test_ready_names_every_service(http) -> None:
    answer = await http.get("/readyz")
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "ready"
    assert set(body["services"]) == {"embedding", "vision-index", "analyzer", "copywriter", "exporter", "semantic"}
    assert {service["status"] for service in body["services"].values()} == {"ready"}
    assert body["services"]["embedding"]["model"] == "perceptual-v1"
    assert body["services"]["embedding"]["adapters"][0]["embedded"] is True
    assert body["services"]["copywriter"]["adapters"][0]["name"] == "openai"


async def test_ready_tells_when_a_model_ends(http, system) -> None:
    ending = type_pb2.Adapter(role="vision", name="gemini", model_id="gemini-2.5-flash", shutdown_date="2026-12-01")
    system["analyzer"].script["GetProviders"] = analyzer_pb2.GetProvidersResponse(adapters=[ending])
    body = (await http.get("/readyz")).json()
    assert body["services"]["analyzer"]["adapters"][0]["shutdown_date"] == "2026-12-01"
    [warning] = body["warnings"]
    assert warning.startswith("analyzer: gemini-2.5-flash ends on 2026-12-01")


async def test_a_service_that_cannot_tell_its_adapters_is_ready_all_the_same(http, system) -> None:
    del system["exporter"].script["GetProviders"]
    answer = await http.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["services"]["exporter"]["adapters"] == []


async def test_one_that_is_down_or_starting_makes_a_503(system) -> None:
    gone = client.connect("127.0.0.1:1", [system["semantic"].descriptor], testing.settings())
    system.channels["semantic"] = gone
    system["analyzer"].script["GetProviders"] = errors.Unavailable("starting", reason="NOT_READY")
    http = await system.client()
    answer = await http.get("/readyz")
    assert answer.status_code == 503
    states = {name: service["status"] for name, service in answer.json()["services"].items()}
    assert (states["semantic"], states["analyzer"], states["embedding"]) == ("down", "not_ready", "ready")
    assert (await http.get("/healthz")).status_code == 200
    await gone.close()


async def test_one_that_hangs_is_not_waited_for(http, system, monkeypatch) -> None:
    monkeypatch.setattr("gateway_service.readiness.TIMEOUT", 0.2)
    never = asyncio.Event()
    system["copywriter"].script["GetProviders"] = lambda _: never.wait()
    answer = await asyncio.wait_for(http.get("/readyz"), 5)
    assert answer.json()["services"]["copywriter"]["status"] == "down"


async def test_many_who_ask_are_served_by_one_round(http, system) -> None:
    answers = await asyncio.gather(*(http.get("/readyz") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(system["embedding"].calls["GetModel"]) == 1


async def test_objects_of_the_embedded_store(door, unserved, jpeg) -> None:
    store = FolderStore(unserved.settings())
    await store.put("alyaimg", "images/a b.jpg", jpeg, "image/jpeg")
    await store.put("blyskimg", "excel_files/x.xlsx", b"PK\x03\x04", "application/octet-stream")
    await store.put("alyaimg", "images/evil.svg", b"<svg/>", "image/svg+xml")
    await store.close()
    answer = await door.get("/files/alyaimg/images/a%20b.jpg")
    assert (answer.status_code, answer.content) == (200, jpeg)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["content-length"] == str(len(jpeg))
    assert "content-disposition" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    again = await door.get("/files/alyaimg/images/a%20b.jpg", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = await door.head("/files/alyaimg/images/a%20b.jpg")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(jpeg)))
    for key in ("blyskimg/excel_files/x.xlsx", "alyaimg/images/evil.svg"):
        assert (await door.get(f"/files/{key}")).headers["content-disposition"] == "attachment"


@pytest.mark.parametrize(
    "path",
    [
        "/files/alyaimg/none.jpg",
        "/files/otherbucket/a.jpg",
        "/files/alyaimg/..%2F..%2Fsecret",
        "/files/alyaimg/images/",
        "/files/alyaimg/%00",
        "/files/alyaimg/",
        "/files/.types/alyaimg/a",
        "/files/alyaimg/images%5C..%5Ca",
    ],
)
async def test_objects_that_are_not_there(door, unserved, path) -> None:
    (unserved.folder / "secret").write_text("x")
    answer = await door.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_with_a_real_store_the_gateway_serves_no_files(unserved) -> None:
    from gateway_service.app import create_app

    settings = unserved.settings()
    clients = unserved.clients(settings)
    clients.store.embedded = False  # type: ignore[misc]
    assert not [route for route in create_app(settings, clients).routes if "files" in getattr(route, "path", "")]
    await clients.store.close()
