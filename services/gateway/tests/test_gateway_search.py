"""/image-search and its alias, /delete_image, /semantic_filter_jewelry."""

from __future__ import annotations

import pytest
from jewelry.semantic.v1 import semantic_pb2 as se
from jewelry.vision_index.v1 import vision_index_pb2 as vi

from objectstore import FolderStore

PATHS = ["/image-search", "/image_similarity_search"]
URL = "http://127.0.0.1:8000/files/alyaimg/images/a.jpg"


@pytest.fixture
async def stored(system, jpeg) -> str:
    store = FolderStore(system.settings())
    await store.put("alyaimg", "images/a.jpg", jpeg, "image/jpeg")
    await store.close()
    return URL


@pytest.mark.parametrize("path", PATHS)
async def test_a_file_is_searched_with(http, system, jpeg, path) -> None:
    data = {"top_k": "3", "website": "alya", "threshold": "25.5"}
    answer = await http.post(path, files={"file": ("a.jpg", jpeg)}, data=data)
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) >= {"similar_images", "duplicate_found", "results"}
    [match] = body["similar_images"]
    assert set(match) >= {"id", "s3_url", "distance", "cosine", "verdict"}
    assert (match["distance"], match["verdict"]) == (17.5, "similar")
    assert body["results"][0]["path"] == match["s3_url"]
    [call] = system["vision-index"].calls["Search"]
    assert (call.image, call.top_k, call.website, call.max_distance) == (jpeg, 3, "alya", 25.5)
    assert "UploadAndIndex" not in system["vision-index"].calls


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("form", ["json", "data"])
async def test_an_address_of_ours_is_read_from_the_store(http, system, stored, jpeg, path, form) -> None:
    answer = await http.post(path, **{form: {"image_url": stored}})
    assert answer.status_code == 200
    [call] = system["vision-index"].calls["Search"]
    assert (call.image, call.top_k) == (jpeg, 10)
    assert not call.HasField("max_distance")


@pytest.mark.parametrize(
    ("url", "status", "code"),
    [
        ("http://127.0.0.1/x.jpg", 422, "IMAGE_URL_REFUSED"),
        ("http://169.254.169.254/latest", 422, "IMAGE_URL_REFUSED"),
        ("file:///etc/passwd", 422, "IMAGE_URL_REFUSED"),
        ("not an address", 422, "IMAGE_URL_REFUSED"),
        (URL.replace("a.jpg", "none.jpg"), 404, "OBJECT_NOT_FOUND"),
    ],
)
async def test_an_address_that_gives_no_picture_is_the_clients_error(door, url, status, code) -> None:
    answer = await door.post("/image-search", json={"image_url": url})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("fields", [{}, {"top_k": "0"}, {"top_k": "1001"}, {"top_k": "x"}, {"threshold": "nan"}])
async def test_wrong_fields(door, fields) -> None:
    answer = await door.post("/image-search", data={"image_url": URL, **fields} if fields else {"website": "alya"})
    assert answer.status_code == 422
    assert answer.json()["errors"]


@pytest.mark.parametrize("fields", [{"top_k": False}, {"top_k": "3"}, {"threshold": "25.5"}])
async def test_json_is_taken_by_its_types(door, fields) -> None:
    answer = await door.post("/image-search", json={"image_url": URL, **fields})
    assert answer.status_code == 422
    assert next(iter(fields)) in answer.json()["errors"][0]["loc"]


async def test_deletion_answers_per_address(http, system) -> None:
    statuses = [vi.DELETE_STATUS_DELETED, vi.DELETE_STATUS_NOT_FOUND, vi.DELETE_STATUS_REFUSED]
    system["vision-index"].script["Delete"] = lambda request: vi.DeleteResponse(
        results=[
            vi.DeleteResult(url=url, status=status, detail="")
            for url, status in zip(request.urls, statuses, strict=False)
        ]
    )
    body = (
        await http.post("/delete_image", json={"s3_url": "http://a/1, http://a/2,http://b/3", "dry_run": True})
    ).json()
    assert body["status"] == "partial"
    assert [(row["s3_url"], row["status"]) for row in body["results"]] == [
        ("http://a/1", "deleted"),
        ("http://a/2", "not_found"),
        ("http://b/3", "refused"),
    ]
    assert system["vision-index"].calls["Delete"][0].dry_run
    body = (await http.post("/delete_image", json={"s3_url": ["http://a/1"]})).json()
    assert body["status"] == "success"


@pytest.mark.parametrize("urls", ["", [], ["http://a/1"] * 1001])
async def test_deletion_is_bounded(door, urls) -> None:
    answer = await door.post("/delete_image", json={"s3_url": urls})
    assert answer.status_code == 422


FLAT = {
    "color": "gold",
    "category": "earrings",
    "target_audience": "women",
    "price_range": "1000-5000",
    "date_range": "2024-01-01 to 2024-12-31",
    "collection_size": 12,
    "manual_prompt": "for a wedding",
    "category_description": ["Temple"],
    "extra_jewelry": [7, "8"],
}


@pytest.mark.parametrize("form", ["flat", "nested", "nested_ends"])
async def test_a_collection(http, system, form) -> None:
    ends = {
        "start_price": "1000",
        "end_price": 5000,
        "start_date": "2024-01-01",
        "end_date": "2024-12-31T23:59:59",
    }
    rest = {name: value for name, value in FLAT.items() if not name.endswith("_range")}
    sent = {"flat": FLAT, "nested": {"user_needs": FLAT}, "nested_ends": {"user_needs": {**rest, **ends}}}[form]
    answer = await http.post("/semantic_filter_jewelry", json=sent)
    assert answer.status_code == 200
    body = answer.json()
    assert body["jewelry_ids"] == body["top_jewelry_ids"] == ["101", "102"]
    assert (body["collection_title"], body["collection_description"]) == ("Gold", "All gold.")
    assert set(body["matches"][0]) >= {"id", "score", "why"}
    [call] = system["semantic"].calls["Filter"]
    assert (call.color, call.category, call.target_audience) == ("gold", "earrings", "women")
    assert (call.min_price, call.max_price) == (1000, 5000)
    assert (call.start_date, call.end_date) == ("2024-01-01", "2024-12-31")
    assert (call.collection_size, call.manual_prompt) == (12, "for a wedding")
    assert list(call.category_description) == ["Temple"]
    assert list(call.pinned_ids) == ["7", "8"]


async def test_no_wish_and_nothing_found(http, system) -> None:
    system["semantic"].script["Filter"] = se.FilterResponse(
        counts=[se.FilterCount(filter="price", removed=40)], relaxation="up to 6000"
    )
    answer = await http.post("/semantic_filter_jewelry", json={"color": "", "price_range": None, "target_audience": ""})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["jewelry_ids"], body["matches"], body["collection_title"]) == ([], [], "")
    assert (body["removed_by"], body["relaxation"]) == ({"price": 40}, "up to 6000")
    [call] = system["semantic"].calls["Filter"]
    assert not call.HasField("min_price")


@pytest.mark.parametrize(
    ("wishes", "field"),
    [
        ({"price_range": "5000-1000"}, "price_range"),
        ({"user_needs": {"start_price": 10, "end_price": 5}}, "price_range"),
        ({"date_range": "2024-12-31 to 2024-01-01"}, "date_range"),
        ({"price_range": "cheap"}, "price_range"),
        ({"price_range": "1000"}, "price_range"),
        ({"date_range": "2024-13-01 to 2024-12-31"}, "date_range"),
        ({"start_date": "yesterday"}, "start_date"),
        ({"start_price": -1}, "start_price"),
        ({"collection_size": 1001}, "collection_size"),
        ({"collection_size": False}, "collection_size"),
        ({"collection_size": "12"}, "collection_size"),
        ({"user_needs": {"in_stock": "yes"}}, "in_stock"),
    ],
)
async def test_impossible_wishes(door, wishes, field) -> None:
    answer = await door.post("/semantic_filter_jewelry", json=wishes)
    assert answer.status_code == 422
    assert field in answer.json()["errors"][0]["loc"]
