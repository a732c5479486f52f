"""/semantic_filter_jewelry in both request forms, over the whole system and the samples' table of products."""

from __future__ import annotations

import csv
import time
from typing import Any

import httpx
import pytest

from tests.system import SAMPLES

FLAT: dict[str, Any] = {
    "color": "gold", "category": "earrings", "target_audience": "", "price_range": "300-1500", "date_range": "",
    "collection_size": 5, "manual_prompt": "festive kundan", "category_description": ["wedding"],
    "extra_jewelry": ["ALY-EAR-002"],
}  # fmt: skip
NESTED = {
    "user_needs": {
        "color": "gold", "category": "earrings", "target_audience": "", "start_price": 300, "end_price": 1500,
        "collection_size": 5, "manual_prompt": "festive kundan", "category_description": ["wedding"],
        "extra_jewelry": ["ALY-EAR-002"],
    }
}  # fmt: skip


@pytest.fixture(scope="module")
def products() -> dict[str, dict[str, str]]:
    with (SAMPLES / "products.csv").open(newline="", encoding="utf-8") as file:
        return {row["sku"]: row for row in csv.DictReader(file)}


@pytest.fixture
def shop(client: httpx.Client) -> httpx.Client:
    """A client of a system that has taken over the catalogue."""
    until = time.monotonic() + 60
    while not client.post("/semantic_filter_jewelry", json={"category": "earrings"}).json()["jewelry_ids"]:
        assert time.monotonic() < until, "the catalogue was not taken over"
        time.sleep(0.2)
    return client


def test_both_forms_find_the_same_within_the_filters(shop: httpx.Client, products: dict[str, dict[str, str]]) -> None:
    flat, nested = (shop.post("/semantic_filter_jewelry", json=body) for body in (FLAT, NESTED))
    assert (flat.status_code, nested.status_code) == (200, 200)
    assert flat.json()["jewelry_ids"] == nested.json()["jewelry_ids"]
    found = flat.json()
    chosen = [products[id_] for id_ in found["jewelry_ids"]]
    assert 1 <= len(chosen) <= 5
    assert found["jewelry_ids"][0] == "ALY-EAR-002"
    assert all(row["category"] == "earrings" and 300 <= float(row["mrp_inr"]) <= 1500 for row in chosen)
    assert found["top_jewelry_ids"] == found["jewelry_ids"]
    assert found["collection_title"]
    assert found["collection_description"]
    assert [match["id"] for match in found["matches"]] == found["jewelry_ids"]
    assert all(match["why"].endswith(".") and 0 <= match["score"] <= 1 for match in found["matches"])


def test_a_wish_ranks_what_it_means(shop: httpx.Client, products: dict[str, dict[str, str]]) -> None:
    wish = {"manual_prompt": "ruby red flower earrings", "collection_size": 3}
    found = shop.post("/semantic_filter_jewelry", json=wish).json()
    assert any(products[id_]["stone_color"] == "red" for id_ in found["jewelry_ids"])


def test_an_empty_answer_says_what_removed_the_products(shop: httpx.Client) -> None:
    answer = shop.post("/semantic_filter_jewelry", json={"category": "earrings", "price_range": "1-2"})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["jewelry_ids"], body["collection_title"]) == ([], "")
    assert body["removed_by"]["price"] > 0
    assert "price" in body["relaxation"].lower() or "₹" in body["relaxation"]


@pytest.mark.parametrize(
    "body",
    [
        {"price_range": "5000-1000"},
        {"price_range": "cheap"},
        {"date_range": "2024-12-31 to 2024-01-01"},
        {"user_needs": {"start_price": 10, "end_price": 1}},
        {"collection_size": 100_000},
        {"collection_size": -1},
    ],
)
def test_what_cannot_be_meant_is_a_422_that_says_what_to_do(client: httpx.Client, body: dict[str, Any]) -> None:
    answer = client.post("/semantic_filter_jewelry", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]
