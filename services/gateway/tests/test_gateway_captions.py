"""POST /generate_caption and POST /upload-and-index."""

from __future__ import annotations

from typing import Any

import pytest
from jewelry.vision_index.v1 import vision_index_pb2 as vi

from gateway_service.captions import Respite
from servicekit import errors

URL = "http://127.0.0.1:8000/files/alyaimg/images/old.jpg"
CONTRACT = {
    *("s3_url", "name", "display_name", "generated_name", "description", "attributes", "color", "quality"),
    *("verdict", "matches", "provenance"),
}


def known(verdict: int = vi.VERDICT_DUPLICATE) -> Any:
    match = vi.Match(id="k1", url=URL, verdict=verdict, distance=0.2, original_name="old ring.jpg")
    decision = vi.Decision(verdict=verdict, match=match, matches=[match], explanation="the same photo", model_id="m")
    return vi.UploadAndIndexResponse(indexed=False, id="k1", url=URL, decision=decision)


async def test_a_new_picture_is_stored_and_described(http, system, jpeg) -> None:
    fields = {"type": "earrings", "website": "blysk", "sku": "S-1", "check_duplicate": "yes"}
    answer = await http.post("/generate_caption", files={"file": ("my ring.jpg", jpeg, "image/jpeg")}, data=fields)
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) >= CONTRACT
    assert body["name"] == body["display_name"] == body["generated_name"] == "Gold Hoop"
    assert (body["attributes"], body["attributes_list"]) == ("gold, hoop", ["gold", "hoop"])
    assert (body["quality"], body["color"], body["verdict"]) == ("A", "gold", "similar")
    assert body["provenance"] == {"embedding": "perceptual-v1", "vision": "gemini", "vision_model": "gemini-3.8-flash"}
    assert body["matches"][0]["s3_url"] == URL
    assert "duplicate" not in body
    [upload] = system["vision-index"].calls["UploadAndIndex"]
    assert (upload.image, upload.website, upload.sku) == (jpeg, "blysk", "S-1")
    assert (upload.original_name, upload.skip_duplicate_check) == ("my ring.jpg", False)
    [caption] = system["analyzer"].calls["Caption"]
    assert (caption.pictures[0].content, caption.product_type) == (jpeg, "earrings")


@pytest.mark.parametrize("verdict", [vi.VERDICT_DUPLICATE, vi.VERDICT_EXACT])
async def test_a_duplicate_is_answered_with_what_is_stored(http, system, jpeg, verdict) -> None:
    system["vision-index"].script["UploadAndIndex"] = known(verdict)
    body = (await http.post("/generate_caption", files={"file": ("a.jpg", jpeg)})).json()
    assert body["duplicate"] == "duplicate found"
    assert body["s3_url"] == URL
    assert body["display_name"] == "old ring.jpg"
    assert body["verdict"] in ("duplicate", "exact")
    assert body["matches"]
    assert "name" not in body
    assert "Caption" not in system["analyzer"].calls


@pytest.mark.parametrize("word", ["no", "No", "false", "0"])
async def test_without_the_check_a_known_picture_is_described_all_the_same(http, system, jpeg, word) -> None:
    system["vision-index"].script["UploadAndIndex"] = known()
    data = {"check_duplicate": word, "threshold": "95"}
    body = (await http.post("/generate_caption", files={"file": ("a.jpg", jpeg)}, data=data)).json()
    assert body["name"] == "Gold Hoop"
    assert body["verdict"] == "duplicate"
    [upload] = system["vision-index"].calls["UploadAndIndex"]
    assert upload.skip_duplicate_check
    assert upload.duplicate_distance == 95


async def test_a_failing_analyzer_leaves_the_picture_stored_and_says_how_to_go_on(http, system, jpeg) -> None:
    system["analyzer"].script["Caption"] = errors.ResourceExhausted("the quota is used up", retry_after=7.2)
    answer = await http.post("/generate_caption", files={"file": ("a.jpg", jpeg)})
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "8"
    body = answer.json()
    assert body["s3_url"].endswith("/images/new.jpg")
    assert "stored" in body["detail"]
    assert "check_duplicate=no" in body["detail"]
    assert "the quota is used up" in body["detail"]


async def test_while_the_analyzer_is_full_nothing_more_is_stored(http, system, jpeg) -> None:
    system["analyzer"].script["Caption"] = errors.ResourceExhausted("the queue is full", retry_after=30.0)
    first = await http.post("/generate_caption", files={"file": ("a.jpg", jpeg)})
    second = await http.post("/generate_caption", files={"file": ("b.jpg", jpeg)})
    assert (first.status_code, second.status_code) == (429, 429)
    assert "s3_url" not in second.json()
    assert second.headers["retry-after"] == "1"
    assert len(system["vision-index"].calls["UploadAndIndex"]) == 1
    # What asks nothing of it is not concerned.
    assert (await http.post("/upload-and-index", files={"file": ("b.jpg", jpeg)})).status_code == 200


def test_a_respite_is_short_and_follows_full_queues_alone() -> None:
    now = [100.0]
    respite = Respite(longest=1.0, clock=lambda: now[0])
    respite.heed(errors.Unavailable("down", retry_after=5.0))
    respite.check()
    respite.heed(errors.ResourceExhausted("full", retry_after=0.25))
    with pytest.raises(errors.ResourceExhausted) as caught:
        respite.check()
    assert caught.value.retry_after == pytest.approx(0.25)
    now[0] += 0.25
    respite.check()
    respite.heed(errors.ResourceExhausted("full for long", retry_after=60.0))
    now[0] += 1.0
    respite.check()


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        ("auto", ""),
        ("", ""),
        ("Earring", "earrings"),
        ("ear", "earrings"),
        ("RINGS", "ring"),
        ("necklaces", "necklace"),
    ],
)
async def test_spellings_of_the_type(http, system, jpeg, sent, asked) -> None:
    answer = await http.post("/generate_caption", files={"file": ("a.jpg", jpeg)}, data={"type": sent})
    assert answer.status_code == 200
    assert system["analyzer"].calls["Caption"][0].product_type == asked


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"type": "watch"}, "type"),
        ({"check_duplicate": "perhaps"}, "check_duplicate"),
        ({"threshold": "-1"}, "threshold"),
    ],
)
async def test_a_wrong_field_is_named(door, jpeg, fields, name) -> None:
    answer = await door.post("/generate_caption", files={"file": ("a.jpg", jpeg)}, data=fields)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", name]


async def test_no_file(door) -> None:
    answer = await door.post("/generate_caption", data={"type": "ring"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", "file"]


async def test_the_picture_itself_as_the_body(http, system, jpeg) -> None:
    answer = await http.post(
        "/generate_caption?type=ring&filename=x%2Fmy.jpg", content=jpeg, headers={"Content-Type": "image/jpeg"}
    )
    assert answer.status_code == 200
    assert system["vision-index"].calls["UploadAndIndex"][0].original_name == "my.jpg"
    assert system["analyzer"].calls["Caption"][0].product_type == "ring"


async def test_upload_only(http, system, jpeg) -> None:
    body = (await http.post("/upload-and-index", files={"file": ("a.jpg", jpeg)}, data={"website": "alya"})).json()
    assert set(body) >= {"s3_url", "indexed", "id", "verdict", "matches"}
    assert (body["indexed"], body["id"], body["display_name"]) == (True, "k2", "a.jpg")
    assert "duplicate" not in body
    system["vision-index"].script["UploadAndIndex"] = known()
    body = (await http.post("/upload-and-index", files={"file": ("a.jpg", jpeg)})).json()
    assert (body["indexed"], body["duplicate"]) == (False, "duplicate found")
    assert "analyzer" not in [name for name, fake in system.fakes.items() if fake.calls]


async def test_the_request_id_reaches_the_services_and_times_come_back(http, system, jpeg) -> None:
    answer = await http.post(
        "/generate_caption", files={"file": ("a.jpg", jpeg)}, headers={"X-Request-Id": "from-the-caller.1"}
    )
    assert answer.headers["x-request-id"] == "from-the-caller.1"
    assert system["vision-index"].request_ids == system["analyzer"].request_ids == ["from-the-caller.1"]
    for name in ("vision-index;dur=", "analyzer;dur=", "total;dur="):
        assert name in answer.headers["server-timing"]


async def test_an_insane_request_id_is_replaced(door) -> None:
    answer = await door.get("/healthz", headers={"X-Request-Id": "a b\u00e9".encode("latin-1")})
    assert len(answer.headers["x-request-id"]) == 16
