"""Near-identical titles within a catalogue are found, and told with the other SKU."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from copywriter_service import titles
from copywriter_service.adapters.cache import ImportedEntry
from copywriter_service.adapters.cache_sql import SqlCache
from copywriter_service.adapters.cache_tables import TITLE_WORDS
from copywriter_service.copywriter import Copywriter
from copywriter_service.domain import CopyText, Entry, Order, Origin, Outcome, Part, StoredPart
from servicekit import errors
from tests.emulators import Emulator

MakeOrder = Callable[..., Order]
MakeCopywriter = Callable[..., Copywriter]

TITLE = "Alya Jewels Gold-Tone Flower Stud Earrings with Red Stones for Women"


def part(sku: str, title: str, code: str = "ama_ear", language: str = "en-IN") -> StoredPart:
    return StoredPart(sku, code, language, Part.TITLE, title, Origin.MODEL, "m", "p", "a" * 64, "f" * 64)


def entry(sku: str, title: str, code: str = "ama_ear") -> Entry:
    return Entry(sku, code, "en-IN", CopyText(title=title), Origin.PERSON)


def twins(findings: object) -> list[str]:
    assert isinstance(findings, list | tuple)
    return [item.message for item in findings if item.rule == "near_identical_title"]


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        (TITLE, True),
        ("For women: red stone flower studs, earrings by ALYA JEWELS, gold tone", True),
        ("Alya Jewels Gold-Tone Flower Stud Earrings with Red Stones", True),
        ("Alya Jewels Gold-Tone Leaf Stud Earrings with Green Stones for Women", False),
        ("Oxidised Jhumka Earrings with Pearl-Look Beads", False),
        ("", False),
    ],
)
def test_titles_of_the_same_words_are_alike(other: str, alike: bool) -> None:
    assert (titles.likeness(TITLE, other) >= titles.least_likeness()) is alike


VOCABULARY = [f"word{number}" for number in range(9)] + ["gold", "earrings", "सुनहरे", "झुमके", "2"]
WORDS = st.lists(st.sampled_from(VOCABULARY), max_size=30)


@settings(max_examples=200, deadline=None)
@given(WORDS, WORDS)
def test_an_alike_title_has_one_of_any_few_words(one: list[str], other: list[str]) -> None:
    words = titles.words_of(" ".join(one))
    count = titles.probes(len(words))
    if titles.likeness(" ".join(one), " ".join(other)) >= titles.least_likeness():
        # Any choice will do: more words are looked up than the other title can lack.
        assert len(words - titles.words_of(" ".join(other))) < count
    assert count <= 1 + 0.15 * len(words)


async def under(cache: SqlCache, title: str, sku: str = "", language: str = "en-IN") -> list[str]:
    words = titles.words_of(title)
    found = await cache.titles_with(words, titles.probes(len(words)), language, {"ama_ear", ""}, sku)
    return sorted(other for other, _ in found)


async def test_the_index_keeps_step_with_the_cache(cache: SqlCache) -> None:
    skus = ("T1", "T2", "T3", "T4")
    await cache.write([part("T1", TITLE), part("T2", TITLE, code="mee_ear"), part("T3", TITLE, language="hi-IN")])
    imported = replace(part("T4", TITLE, code=""), origin=Origin.IMPORTED)
    await cache.import_entries([ImportedEntry("T4", "{}", (imported,))])
    # This marketplace's, and what serves all; other marketplaces and languages are other catalogues.
    assert await under(cache, TITLE) == ["T1", "T4"]
    assert await under(cache, TITLE, sku="T1") == ["T4"]
    assert await under(cache, TITLE, language="hi-IN") == ["T3"]
    await cache.put_edit(("T1", "ama_ear", "en-IN"), [replace(part("T1", "By hand"), origin=Origin.PERSON)])
    # A model's text does not replace a person's, so the index stays with the person's.
    await cache.write([part("T1", TITLE)])
    assert await under(cache, TITLE) == ["T4"]
    assert await under(cache, "By hand") == ["T1"]
    await cache.import_entries([ImportedEntry("T4", "{}", ())])
    assert await under(cache, TITLE) == []
    for sku in skus:
        await cache.delete(sku, None)
    assert await under(cache, "By hand") == []


async def test_a_cache_from_before_the_index_is_indexed_when_it_is_opened(tmp_path: Path) -> None:
    cache = SqlCache(None, tmp_path)
    await cache.open()
    await cache.write([part("T1", TITLE)])
    await cache._run(lambda connection: connection.execute(sa.schema.DropTable(TITLE_WORDS)))
    await cache.close()
    again = SqlCache(None, tmp_path)
    await again.open()
    assert await under(again, TITLE) == ["T1"]
    await again.close()


async def test_the_other_sku_is_named(make_copywriter: MakeCopywriter, make_order: MakeOrder) -> None:
    copywriter = make_copywriter()
    assert twins(await copywriter.put(entry("SKU-1", TITLE))) == []
    [told] = twins(await copywriter.put(entry("SKU-2", TITLE + " and Girls")))
    assert "SKU-1" in told
    # The first one hears of it from now on, from the cache.
    first: Outcome = await copywriter.write(make_order(sku="SKU-1"))
    assert first.copy.title == TITLE
    [told] = twins(first.findings)
    assert "SKU-2" in told
    # Not its own title of another marketplace, nor another catalogue's.
    assert twins(await copywriter.put(entry("SKU-2", TITLE, code="mee_ear"))) == []
    await copywriter.delete("SKU-2", "")
    assert twins((await copywriter.write(make_order(sku="SKU-1"))).findings) == []


async def test_what_a_model_writes_twice_is_told(
    make_copywriter: MakeCopywriter, make_order: MakeOrder, emulator: Emulator
) -> None:
    copywriter = make_copywriter()
    # The emulated model answers equal requests equally.
    one = await copywriter.write(make_order(sku="SKU-1"))
    other = await copywriter.write(make_order(sku="SKU-2"))
    assert one.copy.title == other.copy.title
    assert twins(one.findings) == []
    assert len(twins(other.findings)) == 1
    assert len(twins((await copywriter.write(make_order(sku="SKU-1"))).findings)) == 1
    # Without a SKU there is no catalogue to be part of.
    assert twins((await copywriter.write(make_order(sku=""))).findings) == []


async def test_a_title_of_a_thousand_words_is_looked_up_too(make_copywriter: MakeCopywriter) -> None:
    long = " ".join(f"word{number}" for number in range(1000))
    copywriter = make_copywriter()
    await copywriter.put(entry("SKU-1", long))
    assert len(twins(await copywriter.put(entry("SKU-2", long)))) == 1


async def test_of_many_the_nearest_three_are_named(make_copywriter: MakeCopywriter) -> None:
    copywriter = make_copywriter()
    for number in range(5):
        await copywriter.put(entry(f"SKU-{number}", TITLE if number % 2 else TITLE + " and Girls"))
    told = twins(await copywriter.put(entry("SKU-9", TITLE)))
    assert [message.split()[1] for message in told] == ["SKU-1", "SKU-3", "SKU-0"]


async def test_a_check_that_fails_takes_no_text_away(
    make_copywriter: MakeCopywriter, make_order: MakeOrder, file_cache: SqlCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*arguments: object) -> None:
        raise errors.Unavailable("locked", reason="CACHE_LOCKED")

    monkeypatch.setattr(file_cache, "titles_with", broken)
    assert (await make_copywriter().write(make_order())).copy.title


@pytest.mark.slow
async def test_a_large_catalogue_is_searched_in_milliseconds(file_cache: SqlCache) -> None:
    chosen = random.Random(1)
    kinds = ["Stud Earrings", "Hoop Earrings", "Jhumka Earrings", "Drop Earrings"]
    motifs = [one + other for one in ("lo", "ma", "pe", "ru", "si") for other in ("tus", "ngo", "acock", "by")]
    rows = [
        part(f"B{number}", f"Alya Jewels Gold-Tone {chosen.choice(motifs)} {chosen.choice(kinds)} model {number % 977}")
        for number in range(20_000)
    ]
    await file_cache.write(rows)
    started = time.perf_counter()
    for row in rows[:50]:
        assert len(await under(file_cache, str(row.content))) < 100
    print(f"{(time.perf_counter() - started) / 50 * 1000:.1f} ms for one of 20,000 titles")
