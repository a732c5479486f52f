"""The service on a real socket: every RPC, and every refusal."""

from __future__ import annotations

import json
import time
import unicodedata
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from jewelry.copywriter.v1 import copywriter_pb2 as pb
from jewelry.copywriter.v1 import copywriter_pb2_grpc
from jewelry.type.v1 import type_pb2
from pydantic import ValidationError

import marketplaces
from copywriter_service.__main__ import build
from copywriter_service.adapters.cache_sql import SqlCache
from copywriter_service.settings import Settings
from servicekit import client, errors
from servicekit.testing import serve_locally
from tests.emulators import Emulator

PHOTO = next((Path(__file__).parents[3] / "samples" / "photos").glob("*.jpg"))
Call = Callable[..., Any]


@pytest.fixture
def settings(tmp_path: Path, clean_environment: None) -> Callable[..., Settings]:
    """Settings that know nothing of the machine's environment."""

    def make(**changes: Any) -> Settings:
        return Settings(_env_file=None, **{"data_dir": tmp_path, **changes})

    return make


def caller(stub: copywriter_pb2_grpc.CopywriterServiceStub) -> Call:
    async def call(method: str, **fields: Any) -> Any:
        request = getattr(pb, f"{method}Request")(**fields)
        return await client.call(getattr(stub, method), request, timeout=20)

    return call


@pytest.fixture
async def call(settings: Callable[..., Settings]) -> AsyncIterator[Call]:
    """Calls RPCs of a service without a key."""
    async with serve_locally(build(settings())) as channel:
        yield caller(copywriter_pb2_grpc.CopywriterServiceStub(channel))


@pytest.fixture
async def paid(settings: Callable[..., Settings], emulator: Emulator) -> AsyncIterator[Call]:
    """Calls RPCs of a service with a key."""
    with_key = settings(openai_api_key="sk-very-secret", openai_base_url=emulator.url, openai_attempts=2)
    async with serve_locally(build(with_key)) as channel:
        yield caller(copywriter_pb2_grpc.CopywriterServiceStub(channel))


def order(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "pictures": [type_pb2.Picture(content=PHOTO.read_bytes(), view="front")],
        "attributes": [
            type_pb2.FieldValue(field="item_type_name", values=["Stud Earrings"], confidence=0.9),
            type_pb2.FieldValue(field="stones_color", values=["Red"], confidence=0.8),
        ],
        "sku": "SKU-1", "marketplace_code": "ama_ear", "brand": "Alya Jewels",
    }  # fmt: skip
    return {**fields, **changes}


@pytest.mark.parametrize("code", marketplaces.CODES)
async def test_composed_copy_for_every_code(code: str, call: Call) -> None:
    answer = await call("WriteCopy", **order(marketplace_code=code))
    assert answer.copy.origin == pb.COPY_ORIGIN_COMPOSED
    assert (answer.adapter.name, answer.adapter.embedded, answer.cached) == ("composed", True, False)
    assert "OPENAI_API_KEY" in answer.adapter.detail
    assert not answer.findings
    rules = marketplaces.load(code).copy
    assert bool(answer.copy.title) is bool(rules.title_field)
    assert bool(answer.copy.bullet_points) is bool(rules.bullets_wanted)
    assert answer.copy.description
    checked = await call("CheckClaims", copy=answer.copy, marketplace_code=code)
    assert not checked.findings
    assert checked.mended == answer.copy
    assert (await call("WriteCopy", **order(marketplace_code=code))).cached


async def test_a_model_is_paid_once(paid: Call, emulator: Emulator) -> None:
    first = await paid("WriteCopy", **order())
    assert (first.copy.origin, first.copy.model_id, first.copy.prompt_version) == (
        pb.COPY_ORIGIN_MODEL, "gpt-6-luna", "copy-1",
    )  # fmt: skip
    assert (first.adapter.name, first.adapter.embedded, first.cost.calls) == ("openai", False, 1)
    second = await paid("WriteCopy", **order())
    assert (second.cached, second.copy, second.cost.calls, second.adapter.name) == (True, first.copy, 0, "cache")
    assert emulator.count("responses") == 1


@pytest.mark.parametrize(
    ("fault", "kind", "reason"),
    [
        ({"kind": "revoked"}, errors.Unavailable, "PROVIDER_KEY_REFUSED"),
        ({"kind": "rate_limit_minute", "retry_after": 12}, errors.ResourceExhausted, "PROVIDER_RATE_LIMITED"),
        ({"kind": "server_error", "times": None}, errors.Unavailable, "PROVIDER_DOWN"),
        ({"kind": "broken_json", "times": None}, errors.Unavailable, "PROVIDER_BAD_ANSWER"),
        ({"kind": "truncated", "times": None}, errors.Unavailable, "PROVIDER_BAD_ANSWER"),
        ({"kind": "broken_body", "times": None}, errors.Unavailable, "PROVIDER_BAD_ANSWER"),
        ({"kind": "refusal"}, errors.FailedPrecondition, "PROVIDER_REFUSED"),
        ({"kind": "content_filter"}, errors.FailedPrecondition, "PROVIDER_REFUSED"),
    ],
)
async def test_provider_errors_arrive_typed(
    fault: dict[str, Any], kind: type[errors.ServiceError], reason: str, paid: Call, emulator: Emulator
) -> None:
    emulator.fault(operation="responses", **fault)
    with pytest.raises(errors.ServiceError) as caught:
        await paid("WriteCopy", **order())
    assert (type(caught.value), caught.value.reason) == (kind, reason)
    assert "secret" not in caught.value.message
    if kind is errors.ResourceExhausted:
        assert caught.value.retry_after == 12
    with pytest.raises(errors.NotFound):
        await paid("GetCopy", sku="SKU-1", marketplace_code="ama_ear")


async def test_a_hanging_provider_ends_within_the_callers_deadline(
    settings: Callable[..., Settings], emulator: Emulator
) -> None:
    emulator.fault("hang", seconds=60, times=None, operation="responses")
    service = build(settings(openai_api_key="sk", openai_base_url=emulator.url))
    async with serve_locally(service) as channel:
        stub = copywriter_pb2_grpc.CopywriterServiceStub(channel)
        started = time.monotonic()
        # The service's own answer, in time: a call that ran out of time on this side would have no reason.
        with pytest.raises(errors.DeadlineExceeded) as caught:
            await client.call(stub.WriteCopy, pb.WriteCopyRequest(**order()), timeout=3.0)
        assert caught.value.reason == "COPY_SLOW"
        assert time.monotonic() - started < 6
        with pytest.raises(errors.NotFound):
            await caller(stub)("GetCopy", sku="SKU-1", marketplace_code="ama_ear")


@pytest.mark.parametrize(
    ("language", "script"),
    [
        ("hi-IN", "DEVANAGARI"), ("mr-IN", "DEVANAGARI"), ("bn-IN", "BENGALI"), ("ta-IN", "TAMIL"), ("te-IN", "TELUGU"),
        ("gu-IN", "GUJARATI"), ("kn-IN", "KANNADA"), ("ml-IN", "MALAYALAM"), ("pa-IN", "GURMUKHI"), ("or-IN", "ORIYA"),
        ("ur-IN", "ARABIC"),
    ],
)  # fmt: skip
async def test_copy_in_other_languages(language: str, script: str, paid: Call, emulator: Emulator) -> None:
    for code in ("mee_ear", "fli_nec"):
        answer = await paid("WriteCopy", **order(language=language, marketplace_code=code))
        texts = [text for text in (answer.copy.title, answer.copy.description) if text]
        assert (len(texts), list(answer.findings)) == (2 if code == "mee_ear" else 1, [])
        for text in texts:
            assert {unicodedata.name(letter).partition(" ")[0] for letter in text if letter.isalpha()} == {script}
    # The second marketplace took the first one's description; another language is another text.
    assert emulator.count("responses") == 1
    assert (await paid("WriteCopy", **order(marketplace_code="mee_ear"))).copy.description.isascii()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"marketplace_code": "ebay_ear"}, "UNKNOWN_MARKETPLACE"),
        ({"marketplace_code": ""}, "UNKNOWN_MARKETPLACE"),
        ({"language": "klingon"}, "INVALID_ARGUMENT"),
        ({"sku": "a\nb"}, "INVALID_ARGUMENT"),
        ({"sku": "x" * 201}, "INVALID_ARGUMENT"),
        ({"pictures": [type_pb2.Picture(content=b"no picture")]}, "IMAGE_UNREADABLE"),
        ({"pictures": [type_pb2.Picture()]}, "IMAGE_EMPTY"),
        ({"pictures": [type_pb2.Picture(content=PHOTO.read_bytes())] * 9}, "INVALID_ARGUMENT"),
        ({"brand": "x" * 101}, "INVALID_ARGUMENT"),
        ({"brand_voice": "x" * 2001}, "INVALID_ARGUMENT"),
        ({"seller_claims": ["925"] * 51}, "INVALID_ARGUMENT"),
        ({"attributes": [type_pb2.FieldValue(field="Type", values=["x" * 2001])]}, "INVALID_ARGUMENT"),
        ({"attributes": [type_pb2.FieldValue(field="Type", values=["x"])] * 401}, "INVALID_ARGUMENT"),
    ],
)
async def test_bad_requests_are_refused(changes: dict[str, Any], reason: str, call: Call) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        await call("WriteCopy", **order(**changes))
    assert caught.value.reason == reason
    assert len(caught.value.message) > 20


async def test_a_truncated_picture_is_refused_by_the_model_path(paid: Call, emulator: Emulator) -> None:
    half = PHOTO.read_bytes()[: PHOTO.stat().st_size // 2]
    with pytest.raises(errors.InvalidArgument) as caught:
        await paid("WriteCopy", **order(pictures=[type_pb2.Picture(content=half)]))
    assert caught.value.reason == "IMAGE_TRUNCATED"
    assert emulator.count("responses") == 0


async def test_claims_are_checked_and_mended(call: Call) -> None:
    title = "Best seller 925 silver studs"
    copy = pb.Copy(title=title, bullet_points=["Red stones <b>"], description="=Gold-tone studs.")
    answer = await call("CheckClaims", copy=copy, marketplace_code="ama_ear")
    found = {(finding.part, finding.rule) for finding in answer.findings}
    assert {("title", "promotional"), ("title", "unproven_claim"), ("bullet_point1", "html")} <= found
    assert ("description", "formula_start") in found
    assert all(finding.mended for finding in answer.findings)
    assert (answer.mended.title, list(answer.mended.bullet_points)) == ("Silver studs", ["Red stones"])
    vouched = await call("CheckClaims", copy=copy, marketplace_code="ama_ear", seller_claims=["925 silver"])
    assert "unproven_claim" not in {finding.rule for finding in vouched.findings}
    with pytest.raises(errors.InvalidArgument):
        await call("CheckClaims", copy=pb.Copy(description="x" * 10_001), marketplace_code="ama_ear")


async def test_an_edit_is_put_got_listed_and_deleted(call: Call) -> None:
    await call("WriteCopy", **order())
    edit = pb.CopyEntry(sku="SKU-1", marketplace_code="ama_ear", copy=pb.Copy(title="Hurry, red studs by hand"))
    put = await call("PutCopy", entry=edit)
    assert [(finding.part, finding.rule) for finding in put.findings] == [("title", "promotional")]
    got = (await call("GetCopy", sku="SKU-1", marketplace_code="ama_ear")).entry
    assert got.copy.title == "Hurry, red studs by hand"
    assert got.copy.description
    assert got.update_time.seconds > 1_700_000_000
    written = await call("WriteCopy", **order())
    assert (written.copy.title, written.cached) == ("Hurry, red studs by hand", True)
    await call("WriteCopy", **order(sku="SKU-2"))
    page = await call("ListCopies", page_size=1)
    rest = await call("ListCopies", page_size=1, page_token=page.next_page_token)
    assert [page.entries[0].sku, rest.entries[0].sku] == ["SKU-1", "SKU-2"]
    assert not rest.next_page_token
    assert [entry.sku for entry in (await call("ListCopies", sku_prefix="SKU-2")).entries] == ["SKU-2"]
    assert (await call("DeleteCopy", sku="SKU-1", marketplace_code="mee_ear")).deleted == 0
    assert (await call("DeleteCopy", sku="SKU-1")).deleted == 1
    assert (await call("DeleteCopy", sku="SKU-1")).deleted == 0
    with pytest.raises(errors.NotFound):
        await call("GetCopy", sku="SKU-1", marketplace_code="ama_ear")


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("GetCopy", {"sku": ""}),
        ("DeleteCopy", {"sku": "SKU-1", "marketplace_code": "nowhere"}),
        ("PutCopy", {"entry": pb.CopyEntry(sku="S", marketplace_code="ama_ear")}),
        ("PutCopy", {"entry": pb.CopyEntry(sku="S", copy=pb.Copy(title="t"))}),
        ("PutCopy", {"entry": pb.CopyEntry(sku="S", copy=pb.Copy(title="t"), picture_sha256="not a hash")}),
        ("ListCopies", {"page_size": 1001}),
        ("ListCopies", {"page_size": -1}),
        ("ListCopies", {"page_token": "none of ours"}),
        ("ListCopies", {"page_token": "WzEsMiwzXQ=="}),
        ("ImportCopies", {"data_store": b"{"}),
    ],
)
async def test_bad_cache_requests_are_refused(method: str, fields: dict[str, Any], call: Call) -> None:
    with pytest.raises(errors.InvalidArgument):
        await call(method, **fields)


async def test_a_data_store_goes_in_is_used_and_comes_out(paid: Call, emulator: Emulator) -> None:
    bullets = {f"bullet_point{number}": f"Aspect number {number}" for number in range(1, 11)}
    content = {"SKU-1": {"title": "Old red studs", "bullet_points": bullets, "description": "Old words."}, "BAD": 3}
    file = json.dumps(content, indent=4, ensure_ascii=False).encode()
    answer = await paid("ImportCopies", data_store=file)
    assert (answer.imported, len(answer.problems)) == (1, 1)
    written = await paid("WriteCopy", **order())
    assert (written.cached, written.copy.origin) == (True, pb.COPY_ORIGIN_IMPORTED)
    assert list(written.copy.bullet_points) == list(bullets.values())
    assert emulator.count("responses") == 0
    del content["BAD"]
    exported = (await paid("ExportCopies")).data_store
    assert exported == json.dumps(content, indent=4, ensure_ascii=False).encode()


async def test_half_characters_in_a_data_store_hurt_nobody(call: Call) -> None:
    # JSON can name half of a surrogate pair, which no text on the wire can hold.
    file = b'{"SKU-1": {"title": "Half \\ud83d studs", "description": "Half \\udc00 words."}}'
    assert (await call("ImportCopies", data_store=file)).imported == 1
    exported = (await call("ExportCopies")).data_store
    assert json.loads(exported.decode("utf-8", "surrogatepass")) == json.loads(file)
    for entry in (
        (await call("GetCopy", sku="SKU-1", marketplace_code="mee_ear")).entry,
        (await call("ListCopies")).entries[0],
        await call("WriteCopy", **order(marketplace_code="mee_ear")),
    ):
        assert entry.copy.title.startswith("Half ")
        assert entry.copy.title.endswith(" studs")


async def test_a_second_run_of_a_catalogue_pays_nothing(paid: Call, emulator: Emulator) -> None:
    orders = [order(sku=f"SKU-{number}", marketplace_code=code) for code in marketplaces.CODES for number in range(2)]
    first = [await paid("WriteCopy", **fields) for fields in orders]
    asked = emulator.count("responses")
    assert asked == sum(answer.cost.calls for answer in first) > 0
    assert sum(answer.cost.inr_micros for answer in first) > 0
    second = [await paid("WriteCopy", **fields) for fields in orders]
    assert emulator.count("responses") == asked
    assert all(answer.cached and answer.cost.calls == 0 for answer in second)
    assert [answer.copy.title for answer in second] == [answer.copy.title for answer in first]
    assert [answer.copy.description for answer in second] == [answer.copy.description for answer in first]


async def test_a_cost_without_a_price_is_told_in_tokens(settings: Callable[..., Settings], emulator: Emulator) -> None:
    unpriced = settings(openai_api_key="sk", openai_base_url=emulator.url, openai_model="gpt-4.1")
    async with serve_locally(build(unpriced)) as channel:
        answer = await caller(copywriter_pb2_grpc.CopywriterServiceStub(channel))("WriteCopy", **order())
    assert (answer.cost.calls, answer.cost.inr_micros) == (1, 0)
    assert answer.cost.input_tokens > 0
    assert answer.cost.output_tokens > 0
    assert "no price is known for gpt-4.1" in answer.adapter.detail


async def test_another_language_needs_a_model(call: Call) -> None:
    with pytest.raises(errors.FailedPrecondition) as caught:
        await call("WriteCopy", **order(language="hi-IN"))
    assert caught.value.reason == "COPY_NEEDS_MODEL"


async def test_providers_say_who_answers(call: Call, paid: Call, tmp_path: Path) -> None:
    without = {adapter.role: adapter for adapter in (await call("GetProviders")).adapters}
    assert (without["copy"].name, without["copy"].embedded) == ("composed", True)
    assert (without["cache"].name, without["cache"].embedded, without["cache"].detail) == ("sqlite", True, "on disk")
    assert without["image_edits"].name == "none"
    assert "OPENAI_API_KEY" in without["image_edits"].detail
    with_key = {adapter.role: adapter for adapter in (await paid("GetProviders")).adapters}
    assert (with_key["copy"].name, with_key["copy"].model_id) == ("openai", "gpt-6-luna")
    assert (with_key["image_edits"].name, with_key["image_edits"].model_id) == ("openai", "gpt-image-2.6-flare")
    # The gateway shows these details to everybody.
    told = " ".join(adapter.detail for adapter in (*without.values(), *with_key.values()))
    assert not any(secret in told for secret in (str(tmp_path), "http://", "secret", "/"))


def test_a_databases_url_is_not_told(tmp_path: Path) -> None:
    for url in ("postgresql://alya:secret@db.example/copies", f"sqlite:///{tmp_path}/other.db"):
        assert SqlCache(url, tmp_path).info.detail == ""


def test_prices_are_set_in_pairs(settings: Callable[..., Settings]) -> None:
    with pytest.raises(ValidationError, match="OPENAI_IMAGE_INPUT_PRICE and OPENAI_IMAGE_OUTPUT_PRICE"):
        settings(openai_image_input_price=1.0)


async def test_a_damaged_cache_stops_the_start_with_a_sentence(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    (tmp_path / "copywriter.db").write_bytes(b"no database at all" * 300)
    with pytest.raises(errors.DataLoss, match="damaged"):
        async with serve_locally(build(settings())):
            pass
