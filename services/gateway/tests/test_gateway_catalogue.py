"""POST /catalog-ai and POST /clear_excel_file."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from jewelry.exporter.v1 import exporter_pb2 as ex
from jewelry.type.v1 import type_pb2

from gateway_service.fetch import Fetcher
from objectstore import FolderStore
from servicekit import errors

BASE = "http://127.0.0.1:8000/files/alyaimg/images"


@pytest.fixture
async def stored(system, jpeg) -> list[str]:
    """Addresses of four stored pictures."""
    store = FolderStore(system.settings())
    for name in "abcd":
        await store.put("alyaimg", f"images/{name}.jpg", jpeg, "image/jpeg")
    await store.close()
    return [f"{BASE}/{name}.jpg" for name in "abcd"]


async def test_products_become_a_workbook(http, system, stored, jpeg) -> None:
    sent = {"image_urls": stored[:2], "skuids": ["A", "B"], "marketplace_type": "ama_ear", "website": "alya"}
    answer = await http.post("/catalog-ai", json=sent)
    assert answer.status_code == 200
    body = answer.json()
    assert body["excel_file_url"] == body["excel_url"] == body["excel_file"]
    assert body["excel_url"].endswith("/excel_files/b.xlsx")
    assert (body["run_id"], body["rows"], body["succeeded"], body["failed"]) == ("run-1", 2, 2, 0)
    first, second = body["results"]
    assert (first["sku"], first["name"], first["status"]) == ("A", "Hoop A", "success")
    assert first["attributes"] == {"metal_type": "Brass"}
    assert first["review"] == [
        {
            "field": "clasp_type",
            "reason": "cannot be seen",
            "values": [],
            "suggestions": ["Push Back"],
            "confidence": 0.0,
            "evidence": "",
        }
    ]
    assert [(issue["rule"], issue["field"], issue["severity"]) for issue in first["issues"]] == [
        ("required", "brand_name", "error")
    ]
    assert second["issues"] == []
    assert first["provenance"] == {
        "vision": "gemini",
        "vision_model": "gemini-3.8-flash",
        "copy": "openai",
        "copy_model": "gpt-6-luna",
    }
    assert first["cost"] == {"calls": 2, "input_tokens": 2000, "output_tokens": 200, "inr": 0.5}
    [analyze, _] = system["analyzer"].calls["Analyze"]
    assert (analyze.marketplace_code, analyze.pictures[0].content) == ("ama_ear", jpeg)
    [export] = system["exporter"].calls["Export"]
    assert [product.sku for product in export.products] == ["A", "B"]
    product = export.products[0]
    assert (product.copy.title, list(product.copy.bullet_points)) == ("Hoop A", ["Light", "Round"])
    assert list(product.image_urls) == [stored[0]]
    assert product.fields[0].source == type_pb2.VALUE_SOURCE_IMAGE
    assert product.fields[0].evidence == "yellow metal"


@pytest.mark.parametrize(
    "spelling",
    [
        {"image_url": "{0},{1}", "sku": "A,B", "marketplace_type": "AMA_EAR", "product_type": "earrings"},
        {"image_urls": "{0}, {1},", "skuids": " A , B ,", "marketplace": "Amazon", "type": "earrings"},
        {"image_urls": ["{0}", "{1}"], "sku": "A,B", "marketplace": "amazon", "product_type": "earring"},
        {"image_url": ["{0}", "{1}"], "skuids": ["A", "B"], "marketplace_type": "amazon", "type": "ear"},
    ],
)
async def test_both_spellings_and_forms(http, system, stored, spelling) -> None:
    def filled(value: Any) -> Any:
        return [entry.format(*stored) for entry in value] if isinstance(value, list) else value.format(*stored)

    answer = await http.post("/catalog-ai", json={name: filled(value) for name, value in spelling.items()})
    assert answer.status_code == 200, answer.text
    assert [(row["sku"], row["status"]) for row in answer.json()["results"]] == [("A", "success"), ("B", "success")]
    assert system["exporter"].calls["Export"][0].marketplace_code == "ama_ear"


@pytest.mark.parametrize("form", ["{0}|{1},{2}", ["{0} | {1}", "{2}"], [["{0}", "{1}"], "{2}"]])
async def test_several_pictures_of_one_product(http, system, stored, form) -> None:
    def filled(value: Any) -> Any:
        return [filled(entry) for entry in value] if isinstance(value, list) else value.format(*stored)

    sent = {"image_urls": filled(form), "skuids": "A,B", "marketplace_type": "fli_nec"}
    answer = await http.post("/catalog-ai", json=sent)
    assert answer.status_code == 200, answer.text
    counts = {call.sku: len(call.pictures) for call in system["analyzer"].calls["Analyze"]}
    assert counts == {"A": 2, "B": 1}
    assert [len(product.image_urls) for product in system["exporter"].calls["Export"][0].products] == [2, 1]


def sent(**changes: Any) -> dict[str, Any]:
    return {"image_urls": ["http://a/1.jpg"], "skuids": ["A"], "marketplace_type": "ama_ear", **changes}


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"marketplace_type": "ama_ring"}, "marketplace_type", ("ama_ear", "mee_bra", "sho_ear")),
        ({"marketplace_type": ""}, "marketplace_type", ("ama_ear",)),
        ({"marketplace_type": "ama_ear", "product_type": "necklace"}, "marketplace_type", ("does not go with",)),
        ({"skuids": ["A", "B", "C"]}, "image_urls", ("1 image URLs", "3 SKUs")),
        ({"skuids": "A,A", "image_urls": "http://a/1,http://a/2"}, "skuids", ("repeated: A",)),
        ({"skuids": [], "image_urls": []}, "skuids", ("at least one",)),
        ({"skuids": "A,,B", "image_urls": ["u", "v", "w"]}, "skuids", ("empty",)),
        ({"skuids": ["A\x00"]}, "skuids", ("control",)),
        ({"skuids": ["A" * 101]}, "skuids", ("100",)),
        ({"image_urls": ["|".join(["http://a/1.jpg"] * 9)]}, "image_urls", ("9 pictures", "8")),
        ({"seller": {"by_sku": {"Z": {"mrp": 1}}}}, "seller", ("Z",)),
        ({"seller": {"mrp": ["x"]}}, "seller", ("mrp",)),
        ({"skuids": None}, "skuids", ("required",)),
        ({"skuids": [1, {}]}, "skuids", ()),
    ],
)
async def test_a_wrong_request_is_a_422_that_says_what_to_do(door, changes, field, words) -> None:
    answer = await door.post("/catalog-ai", json=sent(**changes))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()["errors"][0]
    assert field in said["loc"]
    for word in words:
        assert word.lower() in said["msg"].lower()


async def test_too_many_products(unserved) -> None:
    http = await unserved.client(catalogue_max_products=2)
    answer = await http.post("/catalog-ai", json=sent(image_urls=["u"] * 3, skuids=["A", "B", "C"]))
    assert answer.status_code == 422
    assert "3 products; at most 2" in answer.json()["detail"]


async def test_one_product_that_fails_leaves_the_others_alone(http, system, stored, jpeg) -> None:
    store = FolderStore(system.settings())
    await store.put("alyaimg", "images/text.jpg", b"this is no picture", "image/jpeg")
    await store.close()
    analyze, write = system["analyzer"].script["Analyze"], system["copywriter"].script["WriteCopy"]
    system["analyzer"].script["Analyze"] = lambda request: (
        errors.InvalidArgument("the picture is damaged", reason="IMAGE_TRUNCATED")
        if request.sku == "broken"
        else analyze(request)
    )
    system["copywriter"].script["WriteCopy"] = lambda request: (
        ValueError("a bug") if request.sku == "bug" else write(request)
    )
    products = {
        "good": stored[0],
        "gone": f"{BASE}/none.jpg",
        "text": f"{BASE}/text.jpg",
        "private": "http://169.254.169.254/latest/meta-data",
        "broken": stored[1],
        "bug": stored[2],
        "nothing": "",
        "last": stored[3],
    }
    answer = await http.post(
        "/catalog-ai", json=sent(image_urls=list(products.values()), skuids=list(products), marketplace_type="mee_bra")
    )
    assert answer.status_code == 200
    body = answer.json()
    rows = {row["sku"]: row for row in body["results"]}
    assert list(rows) == list(products)
    assert {sku for sku, row in rows.items() if row["status"] == "success"} == {"good", "last"}
    assert "there is no such object" in rows["gone"]["error"]
    assert "no picture that can be read" in rows["text"]["error"]
    assert "not on the public internet" in rows["private"]["error"]
    assert rows["broken"]["error"] == "the picture could not be read: the picture is damaged"
    assert "an unexpected error" in rows["bug"]["error"]
    assert "a bug" not in answer.text
    assert rows["bug"]["attributes"] == {"metal_type": "Brass"}
    assert "no picture" in rows["nothing"]["error"]
    assert rows["gone"]["issues"][-1]["severity"] == "error"
    assert (body["succeeded"], body["failed"]) == (2, 6)
    assert [product.sku for product in system["exporter"].calls["Export"][0].products] == ["good", "last"]


@pytest.mark.parametrize(("service", "rpc"), [("analyzer", "Analyze"), ("copywriter", "WriteCopy")])
async def test_when_no_product_succeeds_there_is_no_workbook(http, system, stored, service, rpc) -> None:
    system[service].script[rpc] = errors.Unavailable("the provider is down", reason="PROVIDER_DOWN")
    answer = await http.post("/catalog-ai", json=sent(image_urls=stored[:2], skuids=["A", "B"]))
    assert answer.status_code == 200
    body = answer.json()
    assert [row["status"] for row in body["results"]] == ["failed", "failed"]
    assert all("the provider is down" in row["error"] for row in body["results"])
    assert body["excel_file_url"] == body["excel_url"] == body["excel_file"] == body["run_id"] == ""
    assert "Export" not in system["exporter"].calls


@pytest.mark.parametrize("rpc", ["DescribeTemplate", "Export"])
async def test_an_exporter_that_is_down_is_a_503(http, system, stored, rpc) -> None:
    system["exporter"].script[rpc] = errors.Unavailable("the disk is full", reason="DISK_FULL", retry_after=3)
    answer = await http.post("/catalog-ai", json=sent(image_urls=stored[0]))
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "3"
    assert answer.json()["detail"] == "the workbook could not be written: the disk is full"
    # Found out before anything was paid for, where it can be.
    assert ("Analyze" in system["analyzer"].calls) == (rpc == "Export")


async def test_a_full_queue_is_waited_for(http, system, stored) -> None:
    analyze = system["analyzer"].script["Analyze"]
    refusals = [errors.ResourceExhausted("full", retry_after=0.01)] * 2
    system["analyzer"].script["Analyze"] = lambda request: refusals.pop() if refusals else analyze(request)
    body = (await http.post("/catalog-ai", json=sent(image_urls=stored[0]))).json()
    assert body["results"][0]["status"] == "success"
    system["analyzer"].script["Analyze"] = errors.ResourceExhausted("parked until tomorrow", retry_after=3600)
    body = (await http.post("/catalog-ai", json=sent(image_urls=stored[0]))).json()
    assert "parked until tomorrow" in body["results"][0]["error"]


@pytest.mark.parametrize(("orders", "reached"), [("A", 3), ("AB", 4)])
async def test_products_in_flight_are_bounded_per_request_and_in_all(system, stored, orders, reached) -> None:
    http = await system.client(catalogue_concurrency=3, catalogue_concurrency_total=4)
    analyze = system["analyzer"].script["Analyze"]
    now, most = Counter[str](), Counter[str]()
    go, arrived = asyncio.Event(), asyncio.Semaphore(0)

    async def held(request: Any) -> Any:
        for who in (request.sku[0], "all"):
            now[who] += 1
            most[who] = max(most[who], now[who])
        arrived.release()
        await go.wait()
        for who in (request.sku[0], "all"):
            now[who] -= 1
        return analyze(request)

    system["analyzer"].script["Analyze"] = held
    bodies = [sent(image_urls=[stored[0]] * 12, skuids=[f"{who}{n}" for n in range(12)]) for who in orders]
    calls = [asyncio.create_task(http.post("/catalog-ai", json=body)) for body in bodies]
    for _ in range(reached):
        await asyncio.wait_for(arrived.acquire(), 10)
    go.set()
    assert all(answer.json()["succeeded"] == 12 for answer in await asyncio.gather(*calls))
    assert most["all"] == reached
    assert all(most[who] <= 3 for who in orders)


async def test_what_the_seller_says_reaches_who_needs_it(http, system, stored) -> None:
    seller = {
        "brand": "Alya",
        "mrp": 999.0,
        "claims": "925 silver, nickel free",
        "brand_voice": "warm",
        "language": "hi-IN",
        "notes": "handmade",
        "by_sku": {"B": {"price": 449, "brand": "Blysk", "notes": "limited"}},
    }
    body = sent(image_urls=stored[:2], skuids=["A", "B"], seller=seller, template_id="t-1", run_id="r-1")
    assert (await http.post("/catalog-ai", json=body)).status_code == 200
    copies = {call.sku: call for call in system["copywriter"].calls["WriteCopy"]}
    assert (copies["A"].brand, copies["B"].brand) == ("Alya", "Blysk")
    assert list(copies["A"].seller_claims) == ["925 silver", "nickel free"]
    assert (copies["A"].brand_voice, copies["A"].language) == ("warm", "hi-IN")
    notes = {call.sku: call.seller_notes for call in system["analyzer"].calls["Analyze"]}
    assert notes == {"A": "handmade", "B": "handmade\nlimited"}
    [export] = system["exporter"].calls["Export"]
    assert (export.template_id, export.run_id) == ("t-1", "r-1")
    values = {(value.name, value.value, value.sku) for value in export.seller_values}
    assert values == {("brand", "Alya", ""), ("mrp", "999", ""), ("price", "449", "B"), ("brand", "Blysk", "B")}


async def test_options_of_the_sellers_template_reach_the_analyzer(http, system, stored) -> None:
    columns = [ex.Column(field="metal_type", allowed_values=["Brass", "Alloy"]), ex.Column(field="sku"), ex.Column()]
    own = ex.DescribeTemplateResponse(template=ex.Template(id="t", built_in=False, columns=columns))
    system["exporter"].script["DescribeTemplate"] = own
    await http.post("/catalog-ai", json=sent(image_urls=stored[0]))
    [option] = system["analyzer"].calls["Analyze"][0].field_options
    assert (option.field, list(option.options)) == ("metal_type", ["Brass", "Alloy"])


async def test_an_exporter_that_cannot_describe_templates_still_exports_into_built_in_ones(
    http, system, stored
) -> None:
    del system["exporter"].script["DescribeTemplate"]
    assert (await http.post("/catalog-ai", json=sent(image_urls=stored[0]))).status_code == 200
    answer = await http.post("/catalog-ai", json=sent(image_urls=stored[0], template_id="t-1"))
    assert answer.status_code == 501


async def test_outside_pictures_come_over_http(system, jpeg, listener) -> None:
    port, _ = await listener(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg)
    system.fetcher = Fetcher(allowed=[f"127.0.0.1:{port}"])
    http = await system.client()
    url = f"http://127.0.0.1:{port}/resize=w_200,h_300/a.jpg"
    body = (await http.post("/catalog-ai", json=sent(image_urls=f"{url},{url}", skuids="A,B"))).json()
    assert [row["status"] for row in body["results"]] == ["success", "success"]


async def test_a_title_less_marketplace_is_named_by_its_description(http, system, stored) -> None:
    write = system["copywriter"].script["WriteCopy"]

    def untitled(request: Any) -> Any:
        answer = write(request)
        answer.copy.title = ""
        answer.copy.description = "A plain hoop. It is light."
        return answer

    system["copywriter"].script["WriteCopy"] = untitled
    body = (await http.post("/catalog-ai", json=sent(image_urls=stored[0], marketplace_type="fli_ear"))).json()
    assert body["results"][0]["name"] == "A plain hoop"


async def test_the_next_workbook(http, system) -> None:
    body = (await http.post("/clear_excel_file", json={"marketplace_type": "mee_nec", "website": "blysk"})).json()
    assert (body["status"], body["run_id"], body["closed_run_id"]) == ("success", "run-2", "run-1")
    [call] = system["exporter"].calls["CloseRun"]
    assert (call.marketplace_code, call.website) == ("mee_nec", "blysk")
    assert (await http.post("/clear_excel_file", json={"marketplace_type": "x"})).status_code == 422
