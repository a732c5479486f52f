"""What the screens look at: /thresholds, /mark_distinct, text search, /collection_counts, /system."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf import duration_pb2
from jewelry.analyzer.v1 import analyzer_pb2 as an
from jewelry.semantic.v1 import semantic_pb2 as se
from jewelry.type.v1 import type_pb2
from jewelry.vision_index.v1 import vision_index_pb2 as vi

from gateway_service.jobs.model import INDIA_SECONDS, DayCost
from gateway_service.model import Cost
from servicekit import errors

ONE, OTHER = "http://127.0.0.1:8000/files/alyaimg/images/a.jpg", "http://127.0.0.1:8000/files/alyaimg/images/b.jpg"


async def test_thresholds_come_with_their_error_rates(http, system) -> None:
    rates = vi.ThresholdRates(threshold=5, duplicate_match=0.25, duplicate_miss=0.5, similar_miss=1)
    system["vision-index"].script["GetStats"] = vi.GetStatsResponse(
        model_id="m-1",
        duplicate_distance=5,
        similar_distance=25,
        buckets=[vi.BucketStats(website="alya", rows=7)],
        rates=[rates],
        rated_pairs=212,
    )
    body = (await http.get("/thresholds")).json()
    assert (body["model_id"], body["duplicate_distance"], body["similar_distance"]) == ("m-1", 5, 25)
    assert (body["pictures"], body["pairs"]) == ({"alya": 7}, 212)
    [point] = body["calibration"]
    assert (point["threshold"], point["duplicate_match"], point["duplicate_miss"]) == (5, 0.25, 0.5)


async def test_two_pictures_are_kept_apart(http, system) -> None:
    system["vision-index"].script["MarkDistinct"] = vi.MarkDistinctResponse()
    answer = await http.post("/mark_distinct", json={"s3_url": ONE, "other_s3_url": OTHER})
    assert answer.json() == {"s3_url": ONE, "other_s3_url": OTHER, "distinct": True}
    answer = await http.post("/mark_distinct", json={"s3_url": ONE, "other_url": OTHER, "revoke": True})
    assert answer.json()["distinct"] is False
    first, second = system["vision-index"].calls["MarkDistinct"]
    assert (first.first, first.second, first.revoke, first.said_by) == (ONE, OTHER, False, "rest")
    assert second.revoke


async def test_a_mark_needs_two_pictures_that_are_stored(http, system, door) -> None:
    assert (await door.post("/mark_distinct", json={"s3_url": ONE})).status_code == 422
    system["vision-index"].script["MarkDistinct"] = errors.NotFound("no such picture", reason="PICTURE_NOT_FOUND")
    answer = await http.post("/mark_distinct", json={"s3_url": ONE, "other_s3_url": OTHER})
    assert (answer.status_code, answer.json()["code"]) == (404, "PICTURE_NOT_FOUND")


@pytest.mark.parametrize("form", ["json", "data"])
async def test_words_are_searched_with(http, system, form) -> None:
    answer = await http.post("/image-search", **{form: {"text": "gold hoops", "top_k": 3}})
    assert answer.status_code == 200
    assert answer.json()["similar_images"]
    [call] = system["vision-index"].calls["Search"]
    assert (call.WhichOneof("query"), call.text, call.top_k) == ("text", "gold hoops", 3)


async def test_a_model_without_a_text_tower_says_so(http, system) -> None:
    system["vision-index"].script["Search"] = errors.Unimplemented(
        "the embedding model perceptual reads no texts; search with a picture, or configure a CLIP model",
        reason="TEXT_SEARCH_UNSUPPORTED",
    )
    answer = await http.post("/image-search", json={"text": "gold hoops"})
    assert (answer.status_code, answer.json()["code"]) == (409, "TEXT_SEARCH_UNSUPPORTED")
    assert "CLIP" in answer.json()["detail"]


async def test_counts_ask_for_filters_only(http, system) -> None:
    system["semantic"].script["Filter"] = se.FilterResponse(
        counts=[se.FilterCount(filter="price", removed=0), se.FilterCount(filter="color", removed=37)], stale=True
    )
    system["semantic"].script["GetStatus"] = se.GetStatusResponse(products=61)
    wish = {"color": "gold", "category": "earrings", "price_range": "1000-5000", "manual_prompt": "for a wedding"}
    answer = await http.post("/collection_counts", json=wish)
    assert answer.json() == {"passing": 37, "products": 61, "stale": True}
    [call] = system["semantic"].calls["Filter"]
    assert (call.category, call.min_price, call.max_price) == ("earrings", 1000, 5000)
    assert (call.color != "gold", call.color_strictness, call.manual_prompt) == (True, se.STRICTNESS_HARD, "")


async def test_counts_refuse_a_reversed_range(door) -> None:
    answer = await door.post("/collection_counts", json={"price_range": "5000-1000"})
    assert answer.status_code == 422


async def test_the_system_tells_models_keys_and_costs(http, system) -> None:
    last_day = (datetime.now(UTC) + timedelta(seconds=INDIA_SECONDS, days=12)).date().isoformat()
    gemini = type_pb2.Adapter(role="vision", name="gemini", model_id="gemini-x", shutdown_date=last_day)
    system["analyzer"].script["GetProviders"] = an.GetProvidersResponse(
        adapters=[gemini],
        groups=[
            an.QuotaGroup(label="free", keys=2, used=4),
            an.QuotaGroup(label="day", keys=1, parked=True, wait=duration_pb2.Duration(seconds=3600)),
            an.QuotaGroup(label="minute", keys=1, wait=duration_pb2.Duration(seconds=20)),
            an.QuotaGroup(label="old", keys=2, quarantined=2),
        ],
    )
    body = (await http.get("/system")).json()
    assert (body["status"], body["costs"], body["days"]) == ("ready", [], 30)
    assert set(body["services"]) == {"embedding", "vision-index", "analyzer", "copywriter", "exporter", "semantic"}
    [ends] = body["shutdowns"]
    assert (ends["service"], ends["model_id"], ends["days_left"]) == ("analyzer", "gemini-x", 12)
    states = {group["label"]: group["state"] for group in body["key_pool"]}
    assert states == {"free": "free", "day": "parked", "minute": "waiting", "old": "refused"}
    assert [("free_at" in group) for group in body["key_pool"]] == [False, True, True, False]


async def test_the_system_is_told_while_a_service_is_down(http, system) -> None:
    system["analyzer"].script["GetProviders"] = errors.Unavailable("the analyzer rests", reason="RESTING")
    answer = await http.get("/system?days=7")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["services"]["analyzer"]["status"], body["key_pool"]) == ("not_ready", "down", [])


@pytest.mark.parametrize("days", [0, 367, "x"])
async def test_days_are_bounded(door, days) -> None:
    assert (await door.get(f"/system?days={days}")).status_code == 422


async def test_costs_are_told_by_indian_day_and_marketplace(http, monkeypatch) -> None:
    day = int((time.time() + INDIA_SECONDS) // 86_400)
    since = []

    async def costs(_: object, begin: float) -> list[DayCost]:
        since.append(begin)
        return [DayCost(day, "ama_ear", 3, Cost(6, 100, 10, 1_500_000)), DayCost(day, "old_code", 1, Cost())]

    monkeypatch.setattr("gateway_service.adapters.job_store.JobStore.costs", costs)
    body = (await http.get("/system?days=2")).json()
    first, second = body["costs"]
    assert (first["marketplace"], first["marketplace_type"], first["products"]) == ("amazon", "ama_ear", 3)
    assert first["day"] == (datetime.now(UTC) + timedelta(seconds=INDIA_SECONDS)).date().isoformat()
    assert first["cost"]["inr"] == 1.5
    assert second["marketplace"] == "old_code"
    assert since == [(day - 1) * 86_400 - INDIA_SECONDS]
