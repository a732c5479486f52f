"""Filter over a real socket: hard filters against a plain scan, ranking, reasons, relaxations, bad input."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from jewelry.semantic.v1 import semantic_pb2
from semantic_world import HARD, Semantic, make_catalogue, plain_scan, random_request, running_analyzer, serving

from semantic_service.settings import Settings
from servicekit import client, errors

CATALOGUE = make_catalogue(400)
BY_ID = {product["id"]: product for product in CATALOGUE}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("catalogue") / "products.json"
    path.write_text(json.dumps({"data": CATALOGUE}))
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def semantic(file: Path) -> AsyncIterator[Semantic]:
    async with running_analyzer() as analyzer:
        settings = Settings(
            _env_file=None,
            data_dir=file.parent / "data",
            analyzer_addr=analyzer.address,
            copywriter_addr="127.0.0.1:1",
            products_file=file,
            semantic_sync_seconds=0.0,
        )
        async with serving(settings) as running:
            yield running


pytestmark = pytest.mark.asyncio(loop_scope="module")


def scan(request: dict[str, Any]) -> list[str]:
    return plain_scan(CATALOGUE, request)


async def test_hard_filters_agree_with_a_plain_scan(semantic: Semantic) -> None:
    rng = random.Random(11)
    empty = 0
    for _ in range(80):
        request = random_request(rng, CATALOGUE)
        found = await semantic.filter(**request)
        expected = scan(request)
        assert sorted(match.id for match in found.matches) == sorted(expected), request
        assert all(0 <= match.score <= 1 for match in found.matches)
        assert [match.score for match in found.matches] == sorted((m.score for m in found.matches), reverse=True)
        empty += not expected
        assert bool(found.relaxation) == (not expected)
        assert bool(found.collection_title) == bool(expected)
    assert empty >= 1


async def test_counts_say_what_each_filter_alone_keeps_out(semantic: Semantic) -> None:
    request = {"category": "Earrings", "max_price": 3000.0, "in_stock": True, "collection_size": 1000}
    found = await semantic.filter(**request)
    inside = set(scan(request))
    for count in found.counts:
        field = {"price": "max_price"}.get(count.filter, count.filter)
        without = set(scan({name: value for name, value in request.items() if name != field}))
        assert count.removed == len(without - inside) > 0
    assert [count.filter for count in found.counts] == ["category", "price", "in_stock"]


async def test_a_wish_is_found_by_meaning_styles_and_words(semantic: Semantic) -> None:
    found = await semantic.filter(manual_prompt="golden kundan jhumkis for a wedding", collection_size=5)
    for match in found.matches[:1]:
        product = BY_ID[match.id]
        assert product["product_type"] == "Jhumka"
        assert product["stone_type"] == "Kundan"
    first = found.matches[0]
    assert "jhumkis" in first.words
    assert first.similarity > 0.2
    assert "“jhumkis”" in first.why
    assert first.why.endswith(".")
    assert {adapter.role: adapter.name for adapter in found.adapters} == {
        "text_embedding": "bag", "collection_title": "composed",
    }  # fmt: skip


async def test_hindi_and_hinglish_find_the_same(semantic: Semantic) -> None:
    english, hinglish, hindi = [
        await semantic.filter(manual_prompt=prompt, collection_size=10, category="earrings")
        for prompt in ("wedding pearl jhumka", "shaadi ke liye moti ke jhumke", "शादी के लिए मोती के झुमके")
    ]
    expected = {match.id for match in english.matches}
    assert len(expected & {match.id for match in hinglish.matches}) >= 7
    assert len(expected & {match.id for match in hindi.matches}) >= 7
    for found in (hinglish, hindi):
        assert BY_ID[found.matches[0].id]["product_type"] == "Jhumka"
        assert BY_ID[found.matches[0].id]["stone_type"] == "Pearl"


async def test_what_is_not_wanted_stays_behind(semantic: Semantic) -> None:
    found = await semantic.filter(manual_prompt="office earrings without pearls", collection_size=20)
    assert all(BY_ID[match.id]["stone_type"] != "Pearl" for match in found.matches)


async def test_descriptions_are_alternatives(semantic: Semantic) -> None:
    found = await semantic.filter(category_description=["Meenakari", "Turquoise"], collection_size=20)
    stones = {BY_ID[match.id]["stone_type"] for match in found.matches}
    assert stones == {"Meenakari", "Turquoise"}


async def test_soft_wishes_rank_and_leave_nothing_out(semantic: Semantic) -> None:
    soft = await semantic.filter(color="golden", target_audience="ladies", category="rings", collection_size=1000)
    assert sorted(match.id for match in soft.matches) == sorted(scan({"category": "Rings"}))
    fitting = [
        BY_ID[match.id]["color"] == "Gold" and BY_ID[match.id]["gender"] in ("Women", "Unisex")
        for match in soft.matches
    ]
    assert fitting == sorted(fitting, reverse=True)
    assert any(fitting)
    assert "is gold as wished" in soft.matches[0].why


async def test_results_differ_from_one_another(semantic: Semantic) -> None:
    found = await semantic.filter(manual_prompt="kundan", collection_size=10)
    kinds = {BY_ID[match.id]["product_type"] for match in found.matches}
    assert all(BY_ID[match.id]["stone_type"] == "Kundan" for match in found.matches)
    assert len(kinds) >= 5


async def test_pinned_come_first_if_they_pass_and_hidden_never(semantic: Semantic) -> None:
    rings = scan({"category": "Rings"})
    other = scan({"category": "Bangles"})[0]
    found = await semantic.filter(
        category="rings",
        pinned_ids=[rings[5], other, "unknown", rings[2], rings[3]],
        hidden_ids=[rings[3], rings[0]],
        collection_size=6,
        manual_prompt="party",
    )
    ids = [match.id for match in found.matches]
    assert ids[:2] == [rings[5], rings[2]]
    assert [match.pinned for match in found.matches] == [True, True, False, False, False, False]
    assert not {other, rings[3], rings[0]} & set(ids)
    assert len(set(ids)) == 6
    assert found.matches[0].why.startswith("Pinned")
    few = await semantic.filter(pinned_ids=rings[:5], collection_size=3)
    assert [match.id for match in few.matches] == rings[:3]


async def test_the_size_is_honoured(semantic: Semantic) -> None:
    assert len((await semantic.filter()).matches) == 20
    assert len((await semantic.filter(collection_size=1)).matches) == 1
    assert len((await semantic.filter(collection_size=1000)).matches) == len(CATALOGUE)


async def test_the_nearest_relaxation(semantic: Semantic) -> None:
    prices = sorted(BY_ID[id_]["price"] for id_ in scan({"category": "Rings", "min_price": 0}))
    found = await semantic.filter(category="rings", max_price=prices[0] - 1)
    assert not found.matches
    assert found.relaxation == f"With a highest price of ₹{prices[0]} 1 product is found."
    last = max(product["created_at"] for product in CATALOGUE if product["created_at"])
    found = await semantic.filter(start_date="2027-01-01")
    assert found.relaxation.startswith(f"With {last} as the first day")
    found = await semantic.filter(category="cufflinks")
    assert found.relaxation == "Without the category 400 products are found."
    found = await semantic.filter(category="cufflinks", max_price=1)
    assert "No single change helps" in found.relaxation
    found = await semantic.filter(hidden_ids=list(BY_ID))
    assert "hidden" in found.relaxation


async def test_the_title_claims_only_what_every_product_carries(semantic: Semantic) -> None:
    found = await semantic.filter(
        category="bangles", color="gold", color_strictness=HARD, target_audience="men", audience_strictness=HARD
    )
    assert found.collection_title.startswith("Gold Bangles Collection")
    wide = await semantic.filter(manual_prompt="royal polki wedding", collection_size=300)
    assert "Polki" not in wide.collection_title
    assert "Wedding" not in wide.collection_title
    assert wide.collection_description.startswith("300 pieces from ₹")
    pearl = await semantic.filter(manual_prompt="pearl", category="earrings", collection_size=3)
    assert pearl.collection_title.startswith("Pearl Classic Earrings") or pearl.collection_title.startswith("Pearl ")


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        ({"min_price": 500, "max_price": 100}, {"min_price", "max_price"}),
        ({"min_price": -1}, {"min_price"}),
        ({"max_price": float("nan")}, {"max_price"}),
        ({"start_date": "2024-12-31", "end_date": "2024-01-01"}, {"start_date", "end_date"}),
        ({"start_date": "31/12/2024"}, {"start_date"}),
        ({"end_date": "2024-02-30"}, {"end_date"}),
        ({"collection_size": 1001}, {"collection_size"}),
        ({"collection_size": -1}, {"collection_size"}),
        ({"manual_prompt": "x" * 2001}, {"manual_prompt"}),
        ({"category_description": ["x"] * 21}, {"category_description"}),
        ({"category_description": ["x" * 501]}, {"category_description"}),
        ({"color": "x" * 201, "end_date": "tomorrow"}, {"color", "end_date"}),
    ],
)
async def test_a_wrong_request_is_told_field_by_field(
    semantic: Semantic, request_: dict[str, Any], fields: set[str]
) -> None:
    with pytest.raises(errors.InvalidArgument) as raised:
        await semantic.filter(**request_)
    assert set(raised.value.fields) == fields
    assert raised.value.reason == "FILTER_INVALID"


async def test_odd_words_do_no_harm(semantic: Semantic) -> None:
    for prompt in ("", "   ", "💍✨", "'; DROP TABLE products; --", "without", "ज़", "a" * 2000, "the of and"):
        found = await semantic.filter(manual_prompt=prompt)
        assert len(found.matches) == 20


async def test_styles_are_listed_by_name(semantic: Semantic) -> None:
    listed = await client.call(semantic.stub.ListStyles, semantic_pb2.ListStylesRequest(), timeout=5.0)
    names = [style.name for style in listed.styles]
    assert len(names) >= 100
    assert names == sorted(names, key=str.lower)
    assert all(style.description and len(style.cues) >= 3 for style in listed.styles)
