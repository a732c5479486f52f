"""kill -9 of each service in turn while the gateway runs: clear errors, and recovery alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.system import System, photo, running_system, upload


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system of its own: these tests kill parts of it."""
    yield from running_system(tmp_path_factory.mktemp("chaos"))


@pytest.fixture(scope="module")
def stored(own: System) -> str:
    with own.client() as client:
        url: str = upload(client, photo("ALY-EAR-002").read_bytes()).json()["s3_url"]
    return url


def caption(client: httpx.Client, stored: str) -> httpx.Response:
    files = {"file": ("x.jpg", photo("ALY-EAR-002").read_bytes(), "image/jpeg")}
    return client.post("/generate_caption", files=files, data={"check_duplicate": "no"})


def search(client: httpx.Client, stored: str) -> httpx.Response:
    return client.post("/image-search", json={"image_url": stored})


def catalogue(client: httpx.Client, stored: str) -> httpx.Response:
    request = {"image_urls": [stored], "skuids": ["S-1"], "marketplace_type": "fli_ear"}
    return client.post("/catalog-ai", json=request)


def collection(client: httpx.Client, stored: str) -> httpx.Response:
    return client.post("/semantic_filter_jewelry", json={"color": "gold", "category": "earrings"})


Call = Callable[[httpx.Client, str], httpx.Response]


@pytest.mark.parametrize(
    ("service", "call"),
    [
        ("embedding", search),
        ("vision-index", search),
        ("analyzer", caption),
        ("copywriter", catalogue),
        ("exporter", catalogue),
        ("semantic", collection),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_killed_service_is_named_and_comes_back(own: System, stored: str, service: str, call: Call) -> None:
    with own.client() as client:
        assert call(client, stored).status_code == 200
        own.kill(service)
        started = time.monotonic()
        answer = call(client, stored)
        assert time.monotonic() - started < 20
        says_what_is_down(answer, service)
        assert_not_ready(client, service)
        assert client.get("/healthz").status_code == 200
        own.start(service)
        own.wait_ready()
        assert call(client, stored).status_code == 200
        for name in ("embedding", "vision-index", "analyzer", "copywriter", "exporter", "semantic", "gateway"):
            assert own.is_running(name)


def assert_not_ready(client: httpx.Client, service: str) -> None:
    """Readiness says it within seconds: its answer serves for one."""
    deadline = time.monotonic() + 5
    while (ready := client.get("/readyz")).status_code == 200 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert ready.status_code == 503
    assert ready.json()["services"][service]["status"] != "ready"


def says_what_is_down(answer: httpx.Response, service: str) -> None:
    """503 with the service's name; a catalogue says it in the failed product's row."""
    if answer.status_code == 200:
        (result,) = answer.json()["results"]
        assert result["status"] == "failed"
        assert service in str(result["issues"])
        return
    assert answer.status_code in (502, 503, 504), answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert service in answer.json()["detail"]


def test_a_killed_gateway_loses_nothing_that_was_stored(own: System, stored: str) -> None:
    own.kill("gateway")
    own.start("gateway")
    own.wait_ready()
    with own.client() as client:
        assert client.get(stored).status_code == 200
        again = upload(client, photo("ALY-EAR-002").read_bytes()).json()
    assert again["verdict"] == "exact"
    assert again["s3_url"] == stored


def test_sigterm_stops_each_service_with_status_zero(own: System) -> None:
    for name in ("gateway", "semantic", "exporter", "copywriter", "analyzer", "vision-index", "embedding"):
        assert own.terminate(name) == 0, f"{name}:\n{own.log(name)[-2000:]}"
