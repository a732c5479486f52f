"""The model names collections, and is not believed where the products carry something else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from semantic_world import FakeCopywriter, RunningAnalyzer, Semantic, running_copywriter, serving

from semantic_service.settings import Settings
from servicekit import errors

PRODUCTS: list[dict[str, Any]] = [
    {"id": "A", "title": "Meera Kundan Jhumka", "category": "Earrings", "color": "Gold", "price": 499},
    {"id": "B", "title": "Tara Kundan Jhumka with Pearl", "category": "Earrings", "color": "Gold", "price": 899},
    {"id": "C", "title": "Silver Choker", "category": "Necklaces", "color": "Silver", "price": 1599},
]  # fmt: skip


@pytest.fixture
async def copywriter() -> AsyncIterator[tuple[FakeCopywriter, str]]:
    async with running_copywriter() as running:
        yield running


@pytest.fixture
async def semantic(
    copywriter: tuple[FakeCopywriter, str],
    analyzer: RunningAnalyzer,
    settings: Callable[..., Settings],
    tmp_path: Path,
) -> AsyncIterator[Semantic]:
    file = tmp_path / "products.json"
    file.write_text(json.dumps(PRODUCTS))
    async with serving(settings(copywriter_addr=copywriter[1], products_file=file)) as running:
        yield running


def namer(found: Any) -> Any:
    [told] = [adapter for adapter in found.adapters if adapter.role == "collection_title"]
    return told


async def test_the_models_texts_stand(semantic: Semantic, copywriter: tuple[FakeCopywriter, str]) -> None:
    fake, _ = copywriter
    fake.title, fake.description = "Gold-Tone Kundan Jhumkas", "Jhumkas in gold tones, some with pearls."
    found = await semantic.filter(category="earrings", manual_prompt="kundan for a wedding")
    assert (found.collection_title, found.collection_description) == (fake.title, fake.description)
    assert (namer(found).name, namer(found).model_id, namer(found).embedded) == ("fake", "fake-1", False)
    [asked] = fake.asked
    assert asked.wish == "kundan for a wedding"
    assert {product.name for product in asked.products} == {"Meera Kundan Jhumka", "Tara Kundan Jhumka with Pearl"}
    facts = {item.field: list(item.values) for product in asked.products for item in product.attributes}
    assert facts["color"] == ["gold"]


async def test_the_same_collection_is_asked_for_in_the_same_words(
    semantic: Semantic, copywriter: tuple[FakeCopywriter, str]
) -> None:
    """By these the copywriter knows what was paid for already."""
    fake, _ = copywriter
    for _ in range(3):
        assert (await semantic.filter(category="earrings")).collection_title == "Jhumkas"
    assert fake.asked[0] == fake.asked[1] == fake.asked[2]
    await semantic.filter(category="earrings", max_price=500)
    assert fake.asked[3] != fake.asked[0]


@pytest.mark.parametrize(
    ("title", "description", "claim"),
    [
        ("Polki Jhumkas", "Jhumkas.", "polki"),
        ("Jhumkas with Pearls", "Jhumkas.", "pearls"),
        ("Jhumkas", "Jhumkas with emeralds for your day.", "emeralds"),
        ("Silver Jhumkas", "Jhumkas.", "silver"),
        ("Chokers", "Jhumkas.", "chokers"),
        ("Jhumkas without Pearls", "Jhumkas.", "no pearl"),
        ("Jhumkas", "Pieces in the manner of Art Deco.", "Art Deco"),
    ],
)
async def test_what_the_products_do_not_carry_is_not_printed(
    semantic: Semantic, copywriter: tuple[FakeCopywriter, str], title: str, description: str, claim: str
) -> None:
    fake, _ = copywriter
    fake.title, fake.description = title, description
    found = await semantic.filter(category="earrings", manual_prompt="polki with emeralds")
    assert found.collection_title not in ("", title)
    assert claim.lower() not in found.collection_title.lower()
    assert (namer(found).name, namer(found).embedded) == ("composed", True)
    assert claim in namer(found).detail


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (errors.FailedPrecondition("no key", reason="COPY_NEEDS_MODEL"), ""),
        (errors.Unavailable("the model's texts break the rules", reason="COPY_BREAKS_RULES"), "break the rules"),
        (errors.ResourceExhausted("no quota is left", reason="PROVIDER_QUOTA_GONE"), "no quota"),
        (errors.DeadlineExceeded("too slow"), "too slow"),
    ],
)
async def test_without_a_model_the_texts_are_composed(
    semantic: Semantic, copywriter: tuple[FakeCopywriter, str], error: errors.ServiceError, told: str
) -> None:
    fake, _ = copywriter
    fake.error = error
    found = await semantic.filter(category="earrings")
    assert found.collection_title.endswith("Earrings Collection")
    assert (namer(found).name, namer(found).embedded) == ("composed", True)
    assert told in namer(found).detail
    fake.error = None
    assert (await semantic.filter(category="earrings")).collection_title == "Jhumkas"


async def test_nobody_names_an_empty_collection(semantic: Semantic, copywriter: tuple[FakeCopywriter, str]) -> None:
    found = await semantic.filter(category="anklet")
    assert (found.collection_title, len(found.matches)) == ("", 0)
    assert copywriter[0].asked == []
