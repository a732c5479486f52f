"""Jobs over HTTP: answered at once or waited for, watched, cancelled, resumed, bounded in cost, edited, told of."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from jewelry.type.v1 import type_pb2

from gateway_service.fetch import Fetcher
from objectstore import FolderStore
from servicekit import errors

BASE = "http://127.0.0.1:8000/files/alyaimg/images"
ASYNC = {"Prefer": "respond-async"}


@pytest.fixture
async def picture(system, jpeg) -> str:
    store = FolderStore(system.settings())
    await store.put("alyaimg", "images/a.jpg", jpeg, "image/jpeg")
    await store.close()
    return f"{BASE}/a.jpg"


def order(picture: str, count: int = 3, **more: Any) -> dict[str, Any]:
    skus = [f"S-{n}" for n in range(count)]
    return {"image_urls": [picture] * count, "skuids": skus, "marketplace_type": "ama_ear", **more}


async def until(http: httpx.AsyncClient, job_id: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while True:
        job: dict[str, Any] = (await http.get(f"/jobs/{job_id}")).json()
        if holds(job):
            return job
        assert time.monotonic() < deadline, job
        await asyncio.sleep(0.02)


async def ended(http: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    return await until(http, job_id, lambda job: "finished" in job)


def stream(text: str) -> list[tuple[int, str, dict[str, Any]]]:
    """Events of a stream: id, kind, data."""
    found = []
    for block in text.strip().split("\n\n"):
        if block.startswith(":"):
            continue
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return found


class Gate:
    """Holds an RPC of a fake until it is opened."""

    def __init__(self, fake: Any, method: str) -> None:
        self._answer = fake.script[method]
        self.opened = asyncio.Event()
        self.arrived = asyncio.Semaphore(0)
        fake.script[method] = self._held

    async def _held(self, request: Any) -> Any:
        self.arrived.release()
        await self.opened.wait()
        return self._answer(request)


async def test_a_job_is_answered_at_once_and_can_be_watched(http, system, picture) -> None:
    gate = Gate(system["analyzer"], "Analyze")
    answer = await asyncio.wait_for(http.post("/catalog-ai", json=order(picture), headers=ASYNC), 10)
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    job = answer.json()
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    assert (job["total"], job["done"], job["failed"], job["kind"]) == (3, 0, 0, "catalogue")
    assert job["status"] in ("queued", "running")
    running = await until(http, job["id"], lambda job: job["running"] == 3)
    assert "seconds_left" not in running
    gate.opened.set()
    done = await ended(http, job["id"])
    assert (done["status"], done["done"], done["succeeded"], done["cost"]["calls"]) == ("succeeded", 3, 3, 6)
    assert done["cost"]["inr"] == pytest.approx(1.5)
    assert done["seconds_left"] == 0
    assert done["rate_per_minute"] > 0
    assert [row["sku"] for row in done["results"]] == ["S-0", "S-1", "S-2"]
    assert done["excel_file_url"].endswith("b.xlsx")
    listed = (await http.get("/jobs", params={"status": "succeeded"})).json()["jobs"]
    assert [one["id"] for one in listed] == [job["id"]]
    assert "results" not in listed[0]


async def test_events_end_with_the_job_and_resume_behind_the_last_one_seen(http, system, picture) -> None:
    gate = Gate(system["copywriter"], "WriteCopy")
    job = (await http.post("/catalog-ai", json=order(picture), headers=ASYNC)).json()
    reading = asyncio.create_task(http.get(f"/jobs/{job['id']}/events"))
    for _ in range(3):
        await asyncio.wait_for(gate.arrived.acquire(), 10)
    gate.opened.set()
    answer = await asyncio.wait_for(reading, 20)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = stream(answer.text)
    assert [(seq, kind) for seq, kind, _ in events] == [(1, "item"), (2, "item"), (3, "item"), (4, "end")]
    assert {data["sku"] for _, kind, data in events if kind == "item"} == {"S-0", "S-1", "S-2"}
    assert events[-1][2]["status"] == "succeeded"
    later = await http.get(f"/jobs/{job['id']}/events", headers={"Last-Event-ID": "2"})
    assert stream(later.text) == events[2:]
    nothing = await http.get(f"/jobs/{job['id']}/events", headers={"Last-Event-ID": "4"})
    assert nothing.text == ""


@pytest.mark.parametrize("path", ["", "/events", "/review"])
async def test_an_unknown_job_is_a_404(door, path) -> None:
    answer = await door.get(f"/jobs/none{path}")
    assert answer.status_code == 404
    assert answer.json()["code"] == "JOB_NOT_FOUND"


@pytest.mark.parametrize("path", ["cancel", "resume", "export"])
async def test_an_unknown_job_cannot_be_steered(door, path) -> None:
    assert (await door.post(f"/jobs/none/{path}")).status_code == 404
    assert (await door.patch("/jobs/none/items/A", json={"fields": {}})).status_code == 404


async def test_cancel_begins_nothing_more_and_resume_does_only_what_is_missing(system, picture) -> None:
    http = await system.client(catalogue_concurrency=2, catalogue_concurrency_total=2)
    gate = Gate(system["analyzer"], "Analyze")
    job = (await http.post("/catalog-ai", json=order(picture, 6), headers=ASYNC)).json()
    for _ in range(2):
        await asyncio.wait_for(gate.arrived.acquire(), 10)
    cancelled = (await http.post(f"/jobs/{job['id']}/cancel")).json()
    assert (cancelled["status"], cancelled["cancelled"], cancelled["running"]) == ("cancelled", 4, 2)
    gate.opened.set()
    # What ran was paid for, so it is finished and kept.
    done = await ended(http, job["id"])
    assert (done["status"], done["succeeded"], done["cancelled"]) == ("cancelled", 2, 4)
    assert "Export" not in system["exporter"].calls
    assert [row["status"] for row in done["results"]].count("failed") == 4
    again = (await http.post(f"/jobs/{job['id']}/cancel")).json()
    assert again["status"] == "cancelled"
    resumed = await http.post(f"/jobs/{job['id']}/resume")
    assert resumed.json()["attempt"] == 2
    done = await ended(http, job["id"])
    assert (done["status"], done["succeeded"]) == ("succeeded", 6)
    asked = [call.sku for call in system["analyzer"].calls["Analyze"]]
    assert sorted(asked) == [f"S-{n}" for n in range(6)]
    kinds = [kind for _, kind, _ in stream((await http.get(f"/jobs/{job['id']}/events")).text)]
    assert kinds == ["item", "item", "end", "item", "item", "item", "item", "end"]


async def test_resume_pays_for_nothing_twice(http, system, picture) -> None:
    write = system["copywriter"].script["WriteCopy"]
    system["copywriter"].script["WriteCopy"] = lambda request: (
        errors.InvalidArgument("no words") if request.sku == "S-1" else write(request)
    )
    body = (await http.post("/catalog-ai", json=order(picture))).json()
    assert (body["status"], body["succeeded"], body["failed"]) == ("partial", 2, 1)
    system["copywriter"].script["WriteCopy"] = write
    job_id = body["job_id"]
    await http.post(f"/jobs/{job_id}/resume")
    done = await ended(http, job_id)
    assert (done["status"], done["succeeded"]) == ("succeeded", 3)
    assert len(system["analyzer"].calls["Analyze"]) == 3
    assert sorted(call.sku for call in system["copywriter"].calls["WriteCopy"]) == ["S-0", "S-1", "S-1", "S-2"]
    assert [len(call.products) for call in system["exporter"].calls["Export"]] == [2, 3]
    # A job that succeeded stays as it is.
    assert (await http.post(f"/jobs/{job_id}/resume")).json()["attempt"] == 2


async def test_a_running_job_cannot_be_resumed_or_exported(http, system, picture) -> None:
    gate = Gate(system["analyzer"], "Analyze")
    job = (await http.post("/catalog-ai", json=order(picture, 1), headers=ASYNC)).json()
    for path in ("resume", "export"):
        refused = await http.post(f"/jobs/{job['id']}/{path}")
        assert (refused.status_code, refused.json()["code"]) == (409, "JOB_RUNNING")
    gate.opened.set()
    await ended(http, job["id"])


async def test_when_only_the_export_failed_resume_only_exports(http, system, picture) -> None:
    export = system["exporter"].script["Export"]
    system["exporter"].script["Export"] = errors.Unavailable("the disk is full", reason="DISK_FULL")
    job = (await http.post("/catalog-ai", json=order(picture), headers=ASYNC)).json()
    failed = await ended(http, job["id"])
    assert (failed["status"], failed["error_code"], failed["succeeded"]) == ("failed", "DISK_FULL", 3)
    system["exporter"].script["Export"] = export
    await http.post(f"/jobs/{job['id']}/resume")
    done = await ended(http, job["id"])
    assert done["status"] == "succeeded"
    assert len(system["analyzer"].calls["Analyze"]) == 3


# -- money ---------------------------------------------------------------------------------------


async def test_a_dry_run_tells_the_cost_and_asks_nobody(http, system, picture) -> None:
    system["analyzer"].script["GetProviders"].adapters[0].embedded = False
    told = (await http.post("/catalog-ai", json=order(picture, 10, dry_run=True))).json()
    assert (told["dry_run"], told["products"], told["calls"], told["basis"]) == (True, 10, 20, "defaults")
    assert told["input_tokens"] > 0
    assert told["inr"] > 0
    assert told["minutes"] > 0
    assert "Analyze" not in system["analyzer"].calls
    assert (await http.get("/jobs")).json()["jobs"] == []
    await http.post("/catalog-ai", json=order(picture, 3))
    told = (await http.post("/catalog-ai", json=order(picture, 10, dry_run=True))).json()
    assert (told["basis"], told["inr"], told["inr_per_product"]) == ("experience", 5.0, 0.5)


async def test_a_dry_run_with_embedded_services_costs_nothing(http, system, picture) -> None:
    system["copywriter"].script["GetProviders"].adapters[0].embedded = True
    told = (await http.post("/catalog-ai", json=order(picture, dry_run=True))).json()
    assert (told["calls"], told["inr"], told["basis"]) == (0, 0.0, "embedded")


async def test_max_cost_stops_before_it_is_passed(http, system, picture) -> None:
    await http.post("/catalog-ai", json=order(picture, 2))  # half a rupee each, from now on known
    system["analyzer"].calls.clear()
    job = (await http.post("/catalog-ai", json=order(picture, 8, max_cost=2.2), headers=ASYNC)).json()
    done = await ended(http, job["id"])
    assert (done["status"], done["succeeded"], done["failed"]) == ("partial", 4, 4)
    assert done["cost"]["inr"] <= 2.2
    assert len(system["analyzer"].calls["Analyze"]) == 4
    assert {row["issues"][0]["rule"] for row in done["results"] if row["status"] == "failed"} == {"max_cost"}
    await http.post(f"/jobs/{job['id']}/resume", json={"max_cost": 100})
    done = await ended(http, job["id"])
    assert (done["status"], done["cost"]["inr"], done["max_cost"]) == ("succeeded", 4.0, 100.0)


# -- a person's part -----------------------------------------------------------------------------


async def test_review_edit_and_export_without_a_model(http, system, picture) -> None:
    job_id = (await http.post("/catalog-ai", json=order(picture, 2))).json()["job_id"]
    review = (await http.get(f"/jobs/{job_id}/review")).json()
    assert [item["sku"] for item in review["items"]] == ["S-0", "S-1"]
    [field] = review["items"][0]["fields"]
    assert (field["field"], field["reason"], field["suggestions"]) == ("clasp_type", "cannot be seen", ["Push Back"])
    assert review["items"][0]["findings"][0]["field"] == "brand_name"
    strict = (await http.get(f"/jobs/{job_id}/review", params={"confidence": 0.95})).json()
    assert [field["field"] for field in strict["items"][0]["fields"]] == ["metal_type", "clasp_type"]
    answer = await http.patch(
        f"/jobs/{job_id}/items/S-0",
        json={"fields": {"clasp_type": "Push Back", "metal_type": ["Alloy"]}, "title": "My own title"},
    )
    assert answer.status_code == 200, answer.text
    edited = answer.json()
    assert edited["attributes"] == {"metal_type": "Alloy", "clasp_type": "Push Back"}
    assert (edited["name"], edited["review"]) == ("My own title", [])
    await http.patch(f"/jobs/{job_id}/items/S-0", json={"description": "Mine too."})
    exported = await http.post(f"/jobs/{job_id}/export")
    assert exported.status_code == 200
    product = system["exporter"].calls["Export"][-1].products[0]
    assert (product.copy.title, product.copy.description) == ("My own title", "Mine too.")
    assert list(product.copy.bullet_points) == ["Light", "Round"]
    fields = {field.field: field for field in product.fields}
    assert list(fields["clasp_type"].values) == ["Push Back"]
    assert fields["clasp_type"].source == type_pb2.VALUE_SOURCE_PERSON
    assert len(system["analyzer"].calls["Analyze"]) == len(system["copywriter"].calls["WriteCopy"]) == 2
    left = (await http.get(f"/jobs/{job_id}/review")).json()["items"]
    assert left[0]["fields"] == []
    assert left[0]["edited"] == {"clasp_type": ["Push Back"], "metal_type": ["Alloy"]}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("S-9", {"fields": {}}, 404),
        ("S-0", {"fields": {"no_such_field": "x"}}, 422),
        ("S-0", {"fields": {"metal_type": 3}}, 422),
        ("S-0", {"title": "x" * 5001}, 422),
    ],
)
async def test_a_wrong_edit_is_refused(http, picture, path, body, status) -> None:
    job_id = (await http.post("/catalog-ai", json=order(picture, 1))).json()["job_id"]
    assert (await http.patch(f"/jobs/{job_id}/items/{path}", json=body)).status_code == status


async def test_a_sku_may_hold_slashes(http, picture) -> None:
    body = order(picture, 1) | {"skuids": ["a/b c"]}
    job_id = (await http.post("/catalog-ai", json=body)).json()["job_id"]
    answer = await http.patch(f"/jobs/{job_id}/items/a/b%20c", json={"title": "T"})
    assert answer.json()["name"] == "T"


# -- webhooks ------------------------------------------------------------------------------------


async def test_a_webhook_is_signed_and_tried_again(system, picture, jpeg) -> None:
    taken: list[tuple[dict[str, str], bytes]] = []
    got = asyncio.Event()

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        body = await reader.readexactly(int(headers["content-length"]))
        taken.append((dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line), body))
        writer.write(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % (b"500 No" if len(taken) == 1 else b"204 Ok"))
        await writer.drain()
        writer.close()
        if len(taken) == 2:
            got.set()

    server = await asyncio.start_server(receive, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    system.fetcher = Fetcher(allowed=[f"127.0.0.1:{port}"])
    http = await system.client()
    asked = order(picture, 1, webhook_url=f"http://127.0.0.1:{port}/hook", webhook_secret="s3cret")
    job = (await http.post("/catalog-ai", json=asked, headers=ASYNC)).json()
    await asyncio.wait_for(got.wait(), 30)
    server.close()
    headers, body = taken[-1]
    assert json.loads(body) | {"id": job["id"], "status": "succeeded", "total": 1} == json.loads(body)
    timestamp, digest = (part.partition("=")[2] for part in headers["X-Jewelry-Signature"].split(","))
    assert abs(time.time() - int(timestamp)) < 60
    assert hmac.new(b"s3cret", f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest() == digest
    assert "s3cret" not in (await http.get(f"/jobs/{job['id']}")).text


@pytest.mark.parametrize(
    "more",
    [
        {"webhook_url": "http://169.254.169.254/x", "webhook_secret": "s"},
        {"webhook_url": "ftp://a.example/x", "webhook_secret": "s"},
        {"webhook_url": "https://a.example/x"},
    ],
)
async def test_a_webhook_that_will_never_be_called_is_refused(door, more) -> None:
    answer = await door.post("/catalog-ai", json=order("http://a.example/a.jpg", 1, **more))
    assert (answer.status_code, answer.json()["code"]) == (422, "WEBHOOK_INVALID")


async def test_a_webhook_goes_to_no_private_host_whatever_its_name() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["93.184.216.34", "10.0.0.7"]

    with pytest.raises(errors.InvalidArgument, match="not on the public internet"):
        await Fetcher(resolve=resolve).post("https://hooks.example/x", b"{}", {})


# -- idempotency ---------------------------------------------------------------------------------


async def test_the_same_key_and_body_replay_the_first_answer(http, system, picture) -> None:
    key = {"Idempotency-Key": "k-1"}
    first = await http.post("/catalog-ai", json=order(picture), headers=key)
    again = await http.post("/catalog-ai", json=order(picture), headers=key)
    assert again.status_code == 200
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert len(system["analyzer"].calls["Analyze"]) == 3
    other = await http.post("/catalog-ai", json=order(picture, 2), headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")
    elsewhere = await http.post("/clear_excel_file", json={"marketplace_type": "ama_ear"}, headers=key)
    assert elsewhere.status_code == 200


async def test_two_at_once_are_one_job(http, system, picture) -> None:
    key = {"Idempotency-Key": "k-2"}
    gate = Gate(system["analyzer"], "Analyze")
    both = [asyncio.create_task(http.post("/catalog-ai", json=order(picture), headers=key)) for _ in range(2)]
    await asyncio.wait_for(gate.arrived.acquire(), 10)
    gate.opened.set()
    first, second = await asyncio.gather(*both)
    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()
    assert len(system["analyzer"].calls["Analyze"]) == 3


async def test_a_202_is_replayed_too(http, picture) -> None:
    headers = {"Idempotency-Key": "k-3", **ASYNC}
    first = await http.post("/catalog-ai", json=order(picture), headers=headers)
    again = await http.post("/catalog-ai", json=order(picture), headers=headers)
    assert (again.status_code, again.headers["location"]) == (202, first.headers["location"])
    assert again.json() == first.json()
    await ended(http, first.json()["id"])


async def test_other_paths_refuse_a_second_request_in_flight(http, system) -> None:
    key = {"Idempotency-Key": "k-4"}
    close = system["exporter"].script["CloseRun"]
    held, arrived = asyncio.Event(), asyncio.Event()

    async def wait(request: Any) -> Any:
        arrived.set()
        await held.wait()
        return close

    system["exporter"].script["CloseRun"] = wait
    body = {"marketplace_type": "ama_ear"}
    first = asyncio.create_task(http.post("/clear_excel_file", json=body, headers=key))
    await asyncio.wait_for(arrived.wait(), 10)
    second = await http.post("/clear_excel_file", json=body, headers=key)
    assert (second.status_code, second.json()["code"]) == (409, "IDEMPOTENCY_IN_FLIGHT")
    assert second.headers["retry-after"] == "1"
    held.set()
    assert (await first).status_code == 200
    assert (await http.post("/clear_excel_file", json=body, headers=key)).json() == (await first).json()
    assert len(system["exporter"].calls["CloseRun"]) == 1


async def test_an_answer_that_says_try_again_is_not_kept(http, system, picture) -> None:
    key = {"Idempotency-Key": "k-5"}
    describe = system["exporter"].script["DescribeTemplate"]
    system["exporter"].script["DescribeTemplate"] = errors.Unavailable("down")
    refused = await http.post("/clear_excel_file", json={"marketplace_type": "x"}, headers=key)
    assert refused.status_code == 422
    assert (await http.post("/catalog-ai", json=order(picture), headers=key)).status_code == 503
    system["exporter"].script["DescribeTemplate"] = describe


async def test_keys_belong_to_their_api_key(system, picture) -> None:
    http = await system.client(gateway_api_keys="a:one,b:two")
    answers = [
        await http.post("/catalog-ai", json=order(picture), headers={"Idempotency-Key": "k", "X-API-Key": key})
        for key in ("one", "two")
    ]
    assert len({answer.json()["job_id"] for answer in answers}) == 2


async def test_a_broken_key_is_refused(door) -> None:
    answer = await door.post("/clear_excel_file", json={}, headers={"Idempotency-Key": "x" * 256})
    assert (answer.status_code, answer.json()["code"]) == (400, "IDEMPOTENCY_KEY_INVALID")


# -- variations ----------------------------------------------------------------------------------


def coloured(system: Any) -> None:
    """Each product's colour is the last part of its SKU."""
    analyze = system["analyzer"].script["Analyze"]

    def answer(request: Any) -> Any:
        made = analyze(request)
        for name in ("color_name", "Color"):
            made.fields.add(
                field=name, values=[request.sku.rpartition("-")[2]], source=type_pb2.VALUE_SOURCE_IMAGE, confidence=0.9
            )
        return made

    system["analyzer"].script["Analyze"] = answer


async def test_variations_become_parents_and_children(http, system, picture) -> None:
    coloured(system)
    body = {
        "image_urls": [picture] * 4,
        "skuids": ["HOOP-GOLD", "HOOP-SILVER", "BANGLE-RED", "STUD-1"],
        "marketplace_type": "ama_bra",
        "number_of_grps": 3,
        "group_sizes": [2, 1, 1],
        "variations_category": ["color", "colorsize", "size"],
        "size_available": ["", "2.4,2.6", "S"],
    }
    answer = await http.post("/catalog_ai_variations", json=body)
    assert answer.status_code == 200, answer.text
    assert [row["sku"] for row in answer.json()["results"]] == body["skuids"]
    [export] = system["exporter"].calls["Export"]
    rows = {product.sku: product.variation for product in export.products}
    names = list(rows)
    parents = [sku for sku in names if "-P-" in sku]
    assert names == [
        parents[0], "HOOP-GOLD", "HOOP-SILVER", parents[1], "BANGLE-RED-2.4", "BANGLE-RED-2.6", parents[2], "STUD-1",
    ]  # fmt: skip
    assert parents[0].startswith("HOOP-P-")
    assert [(rows[sku].role, rows[sku].theme) for sku in parents] == [(1, 1), (1, 3), (1, 2)]
    assert all(rows[sku].parent_sku == sku for sku in parents)
    child = rows["BANGLE-RED-2.6"]
    assert (child.role, child.parent_sku, child.size, child.color) == (2, parents[1], "2.6", "RED")
    assert (rows["HOOP-GOLD"].color, rows["HOOP-GOLD"].size) == ("GOLD", "")
    # The same children have the same parent, whatever else is sent.
    body |= {"skuids": ["HOOP-SILVER", "HOOP-GOLD", "X-1", "Y-1"]}
    await http.post("/catalog_ai_variations", json=body)
    assert system["exporter"].calls["Export"][1].products[0].sku == parents[0]
    job = (await http.get(f"/jobs/{answer.json()['job_id']}")).json()
    assert job["kind"] == "variations"


async def test_marketplaces_without_parents_get_groups(http, system, picture) -> None:
    coloured(system)
    body = order(picture, 2) | {
        "marketplace_type": "mee_ear",
        "group_sizes": "2",
        "variations_category": "colour",
    }
    answer = await http.post("/catalog_ai_variations", json=body)
    assert answer.status_code == 200, answer.text
    [export] = system["exporter"].calls["Export"]
    assert [product.sku for product in export.products] == ["S-0", "S-1"]
    assert len({product.variation.group_id for product in export.products}) == 1
    assert [product.variation.color for product in export.products] == ["0", "1"]


async def test_a_family_whose_first_product_failed_still_has_a_parent(http, system, picture) -> None:
    write = system["copywriter"].script["WriteCopy"]
    system["copywriter"].script["WriteCopy"] = lambda request: (
        errors.InvalidArgument("no") if request.sku == "S-0" else write(request)
    )
    body = order(picture, 3, group_sizes=[3], variations_category=["color"])
    assert (await http.post("/catalog_ai_variations", json=body)).json()["status"] == "partial"
    [export] = system["exporter"].calls["Export"]
    assert [product.variation.role for product in export.products] == [1, 2, 2]


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"group_sizes": [2, 2]}, "group_sizes", "4 products, skuids has 3"),
        ({"group_sizes": [3, 0]}, "group_sizes", "1 product or more"),
        ({"group_sizes": "a"}, "group_sizes", "1 product or more"),
        ({"group_sizes": []}, "group_sizes", "how many"),
        ({"number_of_grps": 3}, "number_of_grps", "3 groups, group_sizes has 2"),
        ({"variations_category": ["color", "shape"]}, "variations_category", "not in 'shape'"),
        ({"variations_category": ["color", "size", "size"]}, "variations_category", "3 categories for 2 groups"),
        ({"size_available": ["", ""]}, "size_available", "which sizes"),
        ({"size_available": ["S"]}, "size_available", "sizes for 1 groups"),
        ({"size_available": ["", "S,s"]}, "size_available", "twice"),
        ({"group_sizes": [1, 2], "size_available": ["", "S,M,L"]}, "size_available", "one size per product"),
    ],
)
async def test_groups_that_do_not_fit_are_refused(door, changes, field, words) -> None:
    body = order("http://a.example/a.jpg", 3) | {
        "number_of_grps": 2,
        "group_sizes": [2, 1],
        "variations_category": ["color", "size"],
        "size_available": ["", "S"],
    }
    answer = await door.post("/catalog_ai_variations", json=body | changes)
    assert answer.status_code == 422
    [problem] = answer.json()["errors"]
    assert field in problem["loc"]
    assert words in problem["msg"]


async def test_strings_group_as_lists_do(http, system, picture) -> None:
    body = order(picture, 3) | {
        "number_of_grps": "2",
        "group_sizes": "2,1",
        "variations_category": "color,colorsize",
        "size_available": "S,M",
    }
    assert (await http.post("/catalog_ai_variations", json=body)).status_code == 200
    [export] = system["exporter"].calls["Export"]
    assert [product.variation.size for product in export.products] == ["", "", "", "", "S", "M"]


async def test_a_copy_from_the_cache_costs_nothing(http, system, picture) -> None:
    write = system["copywriter"].script["WriteCopy"]

    def cached(request: Any) -> Any:
        answer = write(request)
        answer.cached = True
        answer.cost.CopyFrom(type_pb2.Cost())
        return answer

    system["copywriter"].script["WriteCopy"] = cached
    body = (await http.post("/catalog-ai", json=order(picture, 2))).json()
    assert body["cost"]["calls"] == 2
