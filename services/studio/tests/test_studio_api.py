"""The facade over the client: deadlines, files, and errors as sentences."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from jewelry_client import ApiError, Client

from services.studio.tests.conftest import Gateway
from studio_service import capabilities, describing, listing, times, verdicts
from studio_service.api import Api, own_path
from studio_service.describing import Photo, Wish
from studio_service.gathering import Draft
from studio_service.listing import Where
from studio_service.problems import Problem, from_api
from studio_service.profiles import Profile, Profiles, parsed, written
from studio_service.settings import Settings


def test_what_the_gateway_refuses_is_a_sentence_with_its_fields(gateway: Gateway, api: Api) -> None:
    errors = [{"loc": ["body", "skuids"], "msg": "a SKU is empty"}]
    gateway.fails("GET", "/jobs", 422, "the request is not valid", errors=errors)
    with pytest.raises(Problem) as caught:
        api.read(lambda client: client.jobs())
    problem = caught.value
    assert (problem.sentence, problem.code, problem.request_id) == ("The request is not valid.", "TOLD", "id-1")
    assert [(field.name, field.sentence) for field in problem.fields] == [("skuids", "a SKU is empty")]


@pytest.mark.parametrize(("status", "kind"), [(401, "key"), (429, "busy"), (502, "behind"), (504, "slow"), (422, "")])
def test_advice_by_status(status: int, kind: str) -> None:
    assert from_api(ApiError(status, "X", "no")).kind == kind


def test_a_call_that_takes_too_long(api: Api) -> None:
    async def forever(client: Client) -> None:
        await asyncio.Event().wait()

    with pytest.raises(Problem) as caught:
        api.ask(forever, seconds=0.05)
    assert caught.value.kind == "slow"


def test_files_of_the_embedded_store_are_asked_of_the_gateway(gateway: Gateway, api: Api) -> None:
    """Under whichever public name the gateway gave them out; and the key goes nowhere else."""
    keys: list[str] = []

    def file(request: httpx.Request) -> httpx.Response:
        keys.append(f"{request.url.host} {request.headers.get('authorization')}")
        return httpx.Response(200, content=b"a picture")

    gateway.does("GET", "/files/alyaimg/images/a b.jpg", file)
    assert api.file("https://public.example/files/alyaimg/images/a%20b.jpg") == b"a picture"
    assert keys == ["gateway.test Bearer secret-key"]
    with pytest.raises(Problem, match="not there any more"):
        api.file("http://gateway.test/files/alyaimg/gone.jpg")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://127.0.0.1:8000/files/b/k.jpg", "/files/b/k.jpg"),
        ("https://b.s3.amazonaws.com/images/k.jpg", ""),
        ("http://x/files/../readyz", ""),
        ("http://x/files/..%2freadyz", ""),
        ("/etc/passwd", ""),
    ],
)
def test_which_addresses_are_the_gateways(url: str, path: str) -> None:
    assert own_path(url) == path


def test_a_file_that_is_too_large(gateway: Gateway, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio_service.api.MAX_DOWNLOAD", 10)
    gateway.does("GET", "/files/b/k", lambda _: httpx.Response(200, content=b"0" * 11))
    with pytest.raises(Problem, match="too large"):
        api.file("http://x/files/b/k")


def test_one_photo_that_fails_leaves_the_others_alone(gateway: Gateway, api: Api) -> None:
    def stored(request: httpx.Request) -> httpx.Response:
        body = request.content
        if b"broken" in body:
            return httpx.Response(400, json={"detail": "the picture is damaged", "code": "IMAGE_UNREADABLE"})
        name = "two" if b"two" in body else "one"
        return httpx.Response(200, json={"s3_url": f"http://x/files/b/{name}.jpg"})

    gateway.does("POST", "/upload-and-index", stored)
    drafts = [
        Draft("A", (Photo("a.jpg", b"one"), "https://a.example/x.jpg"), {"mrp": "499"}),
        Draft("B", (Photo("b.jpg", b"broken"),)),
        *(Draft(f"C{n}", (Photo("c.jpg", b"two"),)) for n in range(5)),
    ]
    told: list[tuple[int, int]] = []
    kept, left_out = listing.store(api, drafts, "alya", lambda done, total: told.append((done, total)))
    assert [draft.sku for draft in kept] == ["A", "C0", "C1", "C2", "C3", "C4"]
    assert kept[0].pictures == ("http://x/files/b/one.jpg", "https://a.example/x.jpg")
    assert [(one.sku, one.problem.sentence) for one in left_out] == [("B", "The picture is damaged.")]
    assert told == [(4, 7), (7, 7)]
    # The order that follows.
    gateway.says("POST", "/catalog-ai", {"id": "j1", "status": "queued"}, status=202)
    assert listing.start(api, kept, Where("ama_ear", "alya", "mine", {"brand": "Moon"}, max_cost=5.0)) == "j1"
    body = gateway.asked[-1][2]
    assert body["seller"] == {"brand": "Moon", "by_sku": {"A": {"mrp": "499"}}}
    assert (body["skuids"][0], body["template_id"], body["max_cost"]) == ("A", "mine", 5.0)
    assert body["image_urls"][0] == ["http://x/files/b/one.jpg", "https://a.example/x.jpg"]


def test_describing(gateway: Gateway, api: Api) -> None:
    answer = {"s3_url": "u", "verdict": "new", "generated_name": "Hoops", "name": "Hoops", "description": "Gold."}
    gateway.says("POST", "/generate_caption", {**answer, "attributes_list": ["gold tone"]})
    one = describing.describe(api, Photo("A-1.jpg", b"x"), Wish())
    assert (one.verdict, one.url, one.is_described, one.photo.sku) == ("new", "u", True, "A-1")
    gateway.fails("POST", "/generate_caption", 400, "the picture is damaged")
    broken = describing.describe(api, Photo("A-1.jpg", b"x"), Wish())
    assert (broken.verdict, broken.url) == ("failed", "")
    assert broken.problem is not None


def test_profiles_are_kept(tmp_path: Path) -> None:
    profiles = Profiles(tmp_path / "studio")
    assert profiles.all() == {}
    profiles.save(Profile("Shop", {"brand": " Moon ", "mrp": "", "net_weight": "20"}))
    assert Profiles(tmp_path / "studio").all() == {"Shop": Profile("Shop", {"brand": "Moon", "net_weight": "20"})}
    assert profiles.all()["Shop"].more == {"net_weight": "20"}
    profiles.delete("Shop")
    profiles.delete("Shop")
    assert profiles.all() == {}
    for wrong in (Profile(" ", {}), Profile("x", {"brand": "b" * 2001})):
        with pytest.raises(Problem):
            profiles.save(wrong)
    (tmp_path / "studio" / "profiles.json").write_text("[1]")
    with pytest.raises(Problem, match="cannot be read"):
        profiles.all()


def test_other_values_as_lines() -> None:
    values = parsed("net_weight = 20\n\nmanufacturer=Moon = Works\n")
    assert values == {"net_weight": "20", "manufacturer": "Moon = Works"}
    assert parsed(written(values)) == values
    with pytest.raises(Problem, match="Line 2"):
        parsed("a = b\nno sign")


def test_matches_as_bars() -> None:
    match: dict[str, Any] = {"s3_url": "http://x/files/b/Ring%201.jpg", "distance": 10.36, "verdict": "similar"}
    found = verdicts.nears({"matches": [match, {**match, "distance": 201.4, "verdict": "new"}]})
    assert [row["name"] for row in verdicts.bars(found)] == ["Ring 1.jpg", "Ring 1.jpg (2)"]
    assert verdicts.alike(found) == found[:1]
    assert [verdicts.number(one.distance) for one in found] == ["10.4", "201"]
    assert verdicts.nears({}) == []


def test_times_as_people_read_them() -> None:
    assert times.told("2026-11-22T21:35:00+00:00", "en") == "23 Nov, 03:05"
    assert times.told("2026-11-22T21:35:00+00:00", "hi", "UTC") == "22 नव॰, 21:35"
    assert times.told("2026-11-22T21:35:00", "en", "No/Where") == "22 Nov, 21:35"
    assert times.told("soon", "en") == "soon"
    assert [times.span(seconds) for seconds in (-3, 45, 200)] == ["0 s", "45 s", "3 min"]


def test_capabilities() -> None:
    adapters = [{"role": "copy", "name": "composed", "embedded": True}, {"role": "image_edits", "name": "none"}]
    ready = {"services": {"copywriter": {"status": "not_ready", "adapters": adapters}}}
    found = capabilities.without_keys(ready)
    assert [(one.name, one.state) for one in found] == [("copy", "works"), ("mockups", "needs_key")]
    assert capabilities.env_lines(found) == "OPENAI_API_KEY="
    assert capabilities.not_ready(ready) == ["copywriter"]
    assert capabilities.without_keys({}) == []


@pytest.mark.parametrize(
    ("address", "listen", "local"),
    [
        ("127.0.0.1:8501", ("127.0.0.1", 8501), True),
        ("[::1]:80", ("::1", 80), True),
        ("localhost:1", ("localhost", 1), True),
        ("0.0.0.0:8501", ("0.0.0.0", 8501), False),
        ("studio.example:443", ("studio.example", 443), False),
    ],
)
def test_where_it_listens(address: str, listen: tuple[str, int], local: bool) -> None:
    settings = Settings(studio_addr=address)
    assert settings.listen == listen
    assert settings.is_local is local


def test_an_address_without_a_port() -> None:
    with pytest.raises(ValueError, match="no host:port"):
        _ = Settings(studio_addr="here").listen
