"""The client against a gateway on a real socket: what is sent, what is made of answers, what is asked again."""

from __future__ import annotations

from pathlib import Path

import pytest
from client_gateway import Asked, Gateway, Reply, events
from jewelry_client import ApiError, Client, ConnectionFailed, File

PHOTO = File(b"\xff\xd8picture", "a.jpg")
REFUSED = {
    "status": 422,
    "code": "MARKETPLACE_UNKNOWN",
    "detail": "use one of ten",
    "errors": [{"loc": ["body", "marketplace_type"], "msg": "must be known"}],
    "request_id": "abc",
}


def job(status: str, done: int = 0, **more: object) -> dict[str, object]:
    return {"id": "j1", "kind": "catalogue", "status": status, "done": done, "total": 2, "failed": 0, **more}


async def test_pictures_travel_as_forms(api: Gateway) -> None:
    api.script["POST /generate_caption"] = {"name": "Hoop"}
    api.script["POST /upload-and-index"] = {"s3_url": "u"}
    api.script["POST /image-search"] = {"similar_images": []}
    async with Client(api.url, "k3y") as client:
        assert await client.caption(PHOTO, product_type="earrings", website="alya", sku="S1") == {"name": "Hoop"}
        assert await client.upload(PHOTO, check_duplicate=False) == {"s3_url": "u"}
        await client.search(PHOTO, top_k=3, threshold=0.5)
        await client.search("https://shop.example/a.jpg")
    caption, upload, by_file, by_url = api.asked
    assert caption.headers["authorization"] == "Bearer k3y"
    for part in (b'name="file"; filename="a.jpg"', b"\xff\xd8picture", b"earrings", b"alya", b"S1", b"yes"):
        assert part in caption.body
    assert b"\r\n\r\nno\r\n" in upload.body
    assert b'name="threshold"\r\n\r\n0.5' in by_file.body
    assert by_url.json == {"image_url": "https://shop.example/a.jpg", "top_k": 10}


async def test_errors_say_what_to_do(api: Gateway) -> None:
    api.script["POST /clear_excel_file"] = (422, REFUSED, {})
    api.script["GET /templates"] = (500, b"<html>oops", {"Content-Type": "text/html", "X-Request-Id": "r9"})
    async with Client(api.url) as client:
        with pytest.raises(ApiError) as refused:
            await client.close_workbook("ebay")
        assert (refused.value.status, refused.value.code) == (422, "MARKETPLACE_UNKNOWN")
        assert refused.value.request_id == "abc"
        assert str(refused.value) == "use one of ten (marketplace_type: must be known)"
        with pytest.raises(ApiError, match="answered 500") as broken:
            await client.templates()
        assert (broken.value.code, broken.value.request_id) == ("HTTP_500", "r9")


async def test_a_full_gateway_is_asked_again_when_it_says_when(api: Gateway) -> None:
    full: Reply = (429, {"code": "RATE_LIMITED", "detail": "wait"}, {"Retry-After": "0"})
    down: Reply = (503, {"code": "DOWN", "detail": "down"}, {"Retry-After": "0"})
    api.script["GET /templates"] = [full, down, {"templates": [{"template_id": "t"}]}]
    async with Client(api.url) as client:
        assert await client.templates() == [{"template_id": "t"}]
        assert len(api.asked) == 3
        api.script["GET /templates"] = (429, {"code": "QUOTA", "detail": "tomorrow"}, {"Retry-After": "40000"})
        with pytest.raises(ApiError) as long:
            await client.templates()
        assert long.value.retry_after == 40000
        api.script["GET /templates"] = (503, {"code": "DOWN", "detail": "down"}, {})
        with pytest.raises(ApiError, match="down"):
            await client.templates()
    assert len(api.asked) == 5


async def test_no_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jewelry_client.client.TRIES", 2)
    async with Client("http://127.0.0.1:1") as client:
        with pytest.raises(ConnectionFailed, match="no gateway answers at http"):
            await client.ready()


async def test_a_catalogue_is_a_job(api: Gateway) -> None:
    accepted: Reply = (202, job("queued"), {"Location": "/jobs/j1"})
    api.script["POST /catalog-ai"] = [(503, {"code": "D", "detail": "d"}, {"Retry-After": "0"}), accepted]
    async with Client(api.url) as client:
        state = await client.catalogue(["u1", ["u2", "u3"]], ["A", "B"], "ama_ear", website="alya", max_cost=None)
    assert (state.id, state.status, state.total, state.ended) == ("j1", "queued", 2, False)
    first, again = api.asked
    assert again.json == {
        "image_urls": ["u1", ["u2", "u3"]],
        "skuids": ["A", "B"],
        "marketplace_type": "ama_ear",
        "website": "alya",
    }
    assert again.headers["prefer"] == "respond-async"
    assert again.headers["idempotency-key"] == first.headers["idempotency-key"]


async def test_a_catalogue_that_was_waited_for(api: Gateway) -> None:
    results = [{"sku": "A", "status": "success"}, {"sku": "B", "status": "failed"}]
    answer = {"results": results, "excel_file_url": "http://x/b.xlsx", "job_id": "r", "cost": {"inr": 1.5}}
    api.script["POST /catalog_ai_variations"] = answer
    async with Client(api.url) as client:
        state = await client.catalogue(["u", "v"], ["A", "B"], "ama_ear", wait=True, variations={"number_of_grps": 1})
    assert (state.status, state.done, state.failed, state.total, state.cost_inr) == ("partial", 2, 1, 2, 1.5)
    assert state.succeeded == 1
    assert state.results == results
    assert "prefer" not in api.asked[0].headers
    assert api.asked[0].json["number_of_grps"] == 1


async def test_a_job_is_followed_by_its_events(api: Gateway) -> None:
    api.script["GET /jobs/j1"] = [job("running"), job("running", 1), job("succeeded", 2, cost={"inr": 3.0})]
    api.script["GET /jobs/j1/events"] = events((1, "item", {"sku": "A"}), (2, "item", {"sku": "B"}), (3, "end", {}))
    async with Client(api.url) as client:
        seen = [state.done async for state in client.follow("j1")]
    assert seen == [0, 1, 2]


async def test_a_job_without_events_is_asked_for(api: Gateway) -> None:
    api.script["GET /jobs/j1"] = [job("queued"), job("running", 1), job("failed")]
    async with Client(api.url) as client:
        state = await client.wait("j1")
    assert state.status == "failed"


async def test_events_that_break_off_are_resumed_behind_the_last_one(api: Gateway) -> None:
    def stream(asked: Asked) -> Reply:
        if "last-event-id" in asked.headers:
            assert asked.headers["last-event-id"] == "1"
            return events((2, "item", {"sku": "B"}), (3, "end", {"status": "succeeded"}))
        status, body, headers = events((1, "item", {"sku": "A"}))
        # Promises more than it sends.
        return status, body, {**headers, "Content-Length": str(len(body) + 10), "Connection": "close"}

    api.script["GET /jobs/j1/events"] = stream
    async with Client(api.url) as client:
        seen = [(event.id, event.name, event.data) async for event in client.events("j1")]
    assert seen == [
        ("1", "item", {"sku": "A"}),
        ("2", "item", {"sku": "B"}),
        ("3", "end", {"status": "succeeded"}),
    ]


async def test_events_of_no_job(api: Gateway) -> None:
    async with Client(api.url) as client:
        with pytest.raises(ApiError, match="no such path"):
            await anext(client.events("j9"))


async def test_the_rest_of_a_job(api: Gateway) -> None:
    api.script["GET /jobs"] = {"jobs": [job("running"), job("failed")]}
    api.script["POST /jobs/j1/cancel"] = job("cancelled")
    api.script["POST /jobs/j1/resume"] = job("queued")
    api.script["GET /jobs/j1/review"] = {"items": []}
    api.script["PATCH /jobs/j1/items/A%2F1%20x"] = {"sku": "A/1 x"}
    api.script["POST /jobs/j1/export"] = {"excel_file_url": "u"}
    async with Client(api.url) as client:
        assert [state.status for state in await client.jobs()] == ["running", "failed"]
        assert (await client.cancel("j1")).ended
        assert not (await client.resume("j1")).ended
        assert await client.review("j1") == {"items": []}
        assert await client.correct("j1", "A/1 x", {"color": "gold"}) == {"sku": "A/1 x"}
        assert await client.export("j1") == {"excel_file_url": "u"}
    assert api.asked[4].json == {"fields": {"color": "gold"}}


async def test_what_else_there_is(api: Gateway) -> None:
    api.script["POST /templates"] = {"template_id": "t"}
    api.script["GET /templates/t"] = {"template_id": "t"}
    api.script["POST /process-image-and-prompt"] = {"table": []}
    api.script["POST /further_req"] = {"data": []}
    api.script["POST /generate-images"] = {"zip": ""}
    api.script["POST /delete_image"] = {"status": "success"}
    api.script["POST /semantic_filter_jewelry"] = {"jewelry_ids": []}
    api.script["GET /readyz"] = (503, {"status": "not_ready"}, {"Retry-After": "1"})
    async with Client(api.url) as client:
        await client.register_template(File(b"PK", "t.xlsx"), "ama_ear")
        await client.template("t")
        await client.read_bill([PHOTO, PHOTO], prompt="total")
        await client.refine([{"a": 1}], columns=["a"], manual="a > 0")
        await client.generate_images(["u"], "ear", provider="gemini")
        await client.delete(["u"], dry_run=True)
        await client.collection(color="gold", category="")
        assert await client.ready() == {"status": "not_ready"}
    assert api.asked[2].body.count(b'name="image"') == 2
    assert api.asked[6].json == {"color": "gold"}
    assert "idempotency-key" in api.asked[4].headers


async def test_what_is_looked_at(api: Gateway) -> None:
    api.script["POST /image-search"] = {"similar_images": []}
    api.script["POST /mark_distinct"] = {"distinct": True}
    api.script["GET /thresholds"] = {"duplicate_distance": 5}
    api.script["POST /collection_counts"] = {"passing": 3}
    api.script["GET /system"] = {"costs": []}
    async with Client(api.url) as client:
        await client.search_text("gold hoops", top_k=3)
        assert await client.mark_distinct("a", "b") == {"distinct": True}
        assert await client.thresholds() == {"duplicate_distance": 5}
        assert await client.collection_counts(category="earrings") == {"passing": 3}
        assert await client.system(days=7) == {"costs": []}
    search, mark, _, counts, system = api.asked
    assert (search.json["text"], search.json["top_k"]) == ("gold hoops", 3)
    assert mark.json == {"s3_url": "a", "other_s3_url": "b", "revoke": False}
    assert counts.json == {"category": "earrings"}
    assert system.query == "days=7"


async def test_downloads_give_the_key_to_the_gateway_only(api: Gateway, tmp_path: Path) -> None:
    api.script["GET /files/b/x.xlsx"] = (200, b"PK", {})
    async with Client(api.url, "k3y") as client:
        path = await client.download(f"{api.url}/files/b/x.xlsx", tmp_path / "x.xlsx")
        assert path.read_bytes() == b"PK"
        assert api.asked[0].headers["authorization"] == "Bearer k3y"
        other = api.url.replace("127.0.0.1", "localhost")
        await client.download(f"{other}/files/b/x.xlsx", tmp_path / "y.xlsx")
        assert "authorization" not in api.asked[1].headers
        with pytest.raises(ApiError):
            await client.download(f"{api.url}/files/b/none.xlsx", tmp_path / "z.xlsx")


async def test_the_environment_says_where(api: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    api.script["GET /jobs"] = []
    monkeypatch.setenv("JEWELRY_URL", api.url)
    monkeypatch.setenv("JEWELRY_API_KEY", "from-env")
    async with Client() as client:
        assert await client.jobs() == []
    assert api.asked[0].headers["authorization"] == "Bearer from-env"
