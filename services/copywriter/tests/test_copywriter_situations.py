"""The cache rules of the specification, made safe: what is reused, what is written, and what it costs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from copywriter_service import data_store
from copywriter_service.adapters.cache import ImportedEntry
from copywriter_service.adapters.cache_sql import SqlCache
from copywriter_service.adapters.composed import ComposedWriter
from copywriter_service.adapters.openai_writer import OpenAIWriter
from copywriter_service.adapters.writer import Ask, Draft
from copywriter_service.copywriter import Copywriter
from copywriter_service.domain import (
    AdapterInfo,
    Attribute,
    CopyText,
    Cost,
    Entry,
    Order,
    Origin,
    Part,
    StoredPart,
    TimeLeft,
)
from servicekit import errors
from tests.emulators import Emulator

MakeOrder = Callable[..., Order]
MakeCopywriter = Callable[..., Copywriter]


class Scripted:
    """A writer that answers what it is told, and keeps what it was asked."""

    origin = Origin.MODEL
    prompt_version = "copy-test"
    info = AdapterInfo("copy", "scripted", embedded=False, model_id="m")

    def __init__(self, *answers: CopyText | Exception) -> None:
        self.answers = list(answers)
        self.asks: list[Ask] = []

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def write(self, ask: Ask, time_left: TimeLeft) -> Draft:
        self.asks.append(ask)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Draft(answer, Cost(calls=1, inr_micros=5))


FULL = CopyText(
    "Gold-tone studs", tuple(f"Aspect number {number}" for number in range(10)), "Gold-tone studs for festive days."
)


def imported(sku: str, **texts: Any) -> ImportedEntry:
    parts = [StoredPart(sku, "", "en-IN", Part(name), text, Origin.IMPORTED) for name, text in texts.items()]
    return ImportedEntry(sku, "{}", tuple(parts))


# -- the five situations of the specification's cache logic --------------------------------------


async def test_1_a_new_sku_is_written_in_full(
    make_copywriter: MakeCopywriter, make_order: MakeOrder, emulator: Emulator, file_cache: SqlCache
) -> None:
    copywriter = make_copywriter()
    first = await copywriter.write(make_order())
    assert not first.cached
    assert first.copy.parts() == (Part.TITLE, Part.BULLETS, Part.DESCRIPTION)
    assert (first.origin, first.model_id, first.adapter.name) == (Origin.MODEL, "gpt-6-luna", "openai")
    again = await copywriter.write(make_order())
    assert (again.cached, again.copy, again.cost, again.adapter.name) == (True, first.copy, Cost(), "cache")
    assert emulator.count("responses") == 1
    stored = await file_cache.read("SKU-1", "en-IN")
    assert {(part.picture_sha256, part.facts_hash, part.prompt_version) for part in stored} == {
        (make_order().picture_sha256, make_order().facts_hash, "copy-1")
    }


@pytest.mark.parametrize(
    ("kept", "asked"),
    [
        ({"description": "Old words."}, (Part.TITLE, Part.BULLETS)),
        ({"description": "Old words.", "bullet_points": ("a", "b")}, (Part.TITLE,)),
        ({"description": "Old words.", "title": "Old studs"}, (Part.BULLETS,)),
        ({"description": "Old words.", "title": "Old studs", "bullet_points": ("a", "b")}, ()),
    ],
)
async def test_2_amazon_reuses_the_description_and_writes_title_and_bullets_only_when_missing(
    kept: dict[str, Any], asked: tuple[Part, ...], make_copywriter: MakeCopywriter, make_order: MakeOrder,
    file_cache: SqlCache,
) -> None:  # fmt: skip
    await file_cache.import_entries([imported("SKU-1", **kept)])
    writer = Scripted(FULL)
    outcome = await make_copywriter(writer=writer).write(make_order())
    assert [ask.parts for ask in writer.asks] == ([asked] if asked else [])
    assert outcome.cached is (not asked)
    assert outcome.copy.description == "Old words."
    assert outcome.origin is (Origin.MODEL if asked else Origin.IMPORTED)
    for part in asked:
        assert outcome.copy.get(part) == FULL.get(part)
    if asked:
        assert writer.asks[0].existing.description == "Old words."


@pytest.mark.parametrize("code", ["fli_ear", "fli_nec", "sho_ear"])
async def test_3_flipkart_and_shopsy_use_the_description_only(
    code: str, make_copywriter: MakeCopywriter, make_order: MakeOrder, file_cache: SqlCache
) -> None:
    await file_cache.import_entries([imported("SKU-1", description="Old words.", title="Old studs")])
    writer = Scripted(FULL)
    copywriter = make_copywriter(writer=writer)
    outcome = await copywriter.write(make_order(code=code))
    assert (outcome.copy, outcome.cached) == (CopyText(description="Old words."), True)
    fresh = await copywriter.write(make_order(code=code, sku="SKU-2"))
    assert fresh.copy == CopyText(description=FULL.description)
    assert [ask.parts for ask in writer.asks] == [(Part.DESCRIPTION,)]


async def test_4_meesho_reuses_the_description_and_writes_a_missing_title(
    make_copywriter: MakeCopywriter, make_order: MakeOrder, file_cache: SqlCache
) -> None:
    await file_cache.import_entries([imported("SKU-1", description="Old words.")])
    writer = Scripted(FULL)
    copywriter = make_copywriter(writer=writer)
    outcome = await copywriter.write(make_order(code="mee_ear"))
    assert outcome.copy == CopyText(title=FULL.title, description="Old words.")
    assert [ask.parts for ask in writer.asks] == [(Part.TITLE,)]
    assert (await copywriter.write(make_order(code="mee_ear"))).cached


async def test_5_the_result_is_stored_back_beside_what_was_there(
    make_copywriter: MakeCopywriter, make_order: MakeOrder, file_cache: SqlCache
) -> None:
    await file_cache.import_entries([imported("SKU-1", description="Old words.")])
    writer = Scripted(FULL)
    copywriter = make_copywriter(writer=writer)
    first = await copywriter.write(make_order())
    again = await copywriter.write(make_order())
    assert (again.cached, again.copy, len(writer.asks)) == (True, first.copy, 1)
    # One entry, as the specified system's file has it: what was there, and what was missing.
    entry = json.loads(data_store.render(await file_cache.holdings()))["SKU-1"]
    assert (entry["title"], entry["description"]) == (FULL.title, "Old words.")
    assert list(entry["bullet_points"]) == [f"bullet_point{number}" for number in range(1, 11)]
    assert list(entry["bullet_points"].values()) == list(FULL.bullets)


# -- more than the specification ---------------------------------------------------------------


async def test_a_changed_picture_is_a_miss(
    make_copywriter: MakeCopywriter, make_order: MakeOrder, file_cache: SqlCache
) -> None:
    await file_cache.import_entries([imported("SKU-1", title="Old studs", description="Old words.")])
    other = replace(FULL, title="Silver-tone hoops", description="Silver-tone hoops.")
    writer = Scripted(other)
    copywriter = make_copywriter(writer=writer)
    first, second = make_order(code="mee_ear"), make_order(code="mee_ear", pictures=(b"another picture",))
    # The first picture that an imported text is used for becomes its own.
    assert (await copywriter.write(first)).copy.title == "Old studs"
    changed = await copywriter.write(second)
    assert (changed.copy.title, changed.cached) == ("Silver-tone hoops", False)
    assert (await copywriter.write(second)).cached
    assert (await copywriter.write(first)).copy.title == "Old studs"
    assert len(writer.asks) == 1


async def test_one_description_serves_every_marketplace(
    make_copywriter: MakeCopywriter, make_order: MakeOrder, emulator: Emulator
) -> None:
    copywriter = make_copywriter()
    codes = ("fli_ear", "ama_ear", "mee_ear", "sho_ear")
    outcomes = [await copywriter.write(make_order(code=code)) for code in codes]
    assert len({outcome.copy.description for outcome in outcomes}) == 1
    # Flipkart's description, then Amazon's title and bullet points; Meesho takes Amazon's title.
    assert emulator.count("responses") == 2


async def test_a_second_run_of_a_catalogue_asks_nothing(
    make_copywriter: MakeCopywriter, make_order: MakeOrder, emulator: Emulator
) -> None:
    copywriter = make_copywriter()
    codes = ("ama_ear", "fli_ear", "mee_ear")
    orders = [make_order(sku=f"SKU-{number}", code=code) for number in range(4) for code in codes]
    first = [await copywriter.write(order) for order in orders]
    asked = emulator.count("responses")
    second = [await copywriter.write(order) for order in orders]
    assert asked == 4
    assert emulator.count("responses") == asked
    assert all(outcome.cached for outcome in second)
    assert [outcome.copy for outcome in second] == [outcome.copy for outcome in first]


async def test_composed_copy_gives_way_when_a_key_comes(
    file_cache: SqlCache, make_order: MakeOrder, make_writer: Callable[..., OpenAIWriter]
) -> None:
    without = Copywriter(file_cache, ComposedWriter("no key"))
    with_key = Copywriter(file_cache, make_writer())
    composed = await without.write(make_order())
    assert (composed.origin, composed.adapter.embedded, composed.cached) == (Origin.COMPOSED, True, False)
    assert (await without.write(make_order())).cached
    other_facts = make_order(attributes=(Attribute("item_type_name", ("Hoop Earrings",)),))
    assert "hoop" in (await without.write(other_facts)).copy.description
    written = await with_key.write(make_order())
    assert (written.origin, written.cached) == (Origin.MODEL, False)
    # Without the key again, what was paid for stays.
    kept = await without.write(make_order())
    assert (kept.origin, kept.cached, kept.copy) == (Origin.MODEL, True, written.copy)


async def test_a_persons_edit_wins_and_is_kept(make_copywriter: MakeCopywriter, make_order: MakeOrder) -> None:
    writer = Scripted(FULL, replace(FULL, description="New."))
    copywriter = make_copywriter(writer=writer)
    await copywriter.write(make_order())
    by_hand = CopyText(title="Best seller, by hand")
    picture = make_order().picture_sha256
    edit = Entry("SKU-1", "ama_ear", "en-IN", by_hand, Origin.PERSON, picture_sha256=picture)
    assert [finding.rule for finding in await copywriter.put(edit)] == ["promotional"]
    edited = await copywriter.write(make_order())
    assert (edited.copy.title, edited.copy.bullets, edited.cached) == ("Best seller, by hand", FULL.bullets, True)
    # Told, and left as the person wrote it.
    assert [(finding.rule, finding.mended) for finding in edited.findings] == [("promotional", False)]
    changed = await copywriter.write(make_order(pictures=(b"another",)))
    assert (changed.copy.title, changed.copy.description) == ("Best seller, by hand", "New.")
    assert writer.asks[1].parts == (Part.BULLETS, Part.DESCRIPTION)
    assert "picture_changed" in {finding.rule for finding in changed.findings}


async def test_languages_do_not_mix(make_copywriter: MakeCopywriter, make_order: MakeOrder) -> None:
    hindi = CopyText("सुनहरे झुमके", (), "लाल पत्थरों वाले सुनहरे झुमके।")
    writer = Scripted(FULL, hindi)
    copywriter = make_copywriter(writer=writer)
    await copywriter.write(make_order(code="mee_ear"))
    outcome = await copywriter.write(make_order(code="mee_ear", language="hi-in"))
    assert (outcome.copy, outcome.findings) == (hindi, ())


async def test_without_a_sku_nothing_is_kept(
    make_copywriter: MakeCopywriter, make_order: MakeOrder, file_cache: SqlCache
) -> None:
    writer = Scripted(FULL, FULL)
    copywriter = make_copywriter(writer=writer)
    for _ in range(2):
        assert not (await copywriter.write(make_order(sku=""))).cached
    assert (await file_cache.holdings()).parts == ()


# -- writing, checking, mending ----------------------------------------------------------------


async def test_a_violation_is_repaired_once_by_the_model(
    make_copywriter: MakeCopywriter, make_order: MakeOrder
) -> None:
    bad = replace(FULL, title="Best seller studs", description="Made of 925 silver.")
    writer = Scripted(bad, replace(FULL, description="Gold-tone studs."))
    outcome = await make_copywriter(writer=writer).write(make_order())
    assert outcome.copy == replace(FULL, description="Gold-tone studs.")
    assert outcome.findings == ()
    assert outcome.cost == Cost(calls=2, inr_micros=10)
    repair = writer.asks[1]
    assert repair.parts == (Part.TITLE, Part.DESCRIPTION)
    assert repair.draft == bad.only(repair.parts)
    assert {finding.rule for finding in repair.findings} == {"promotional", "unproven_claim"}


@pytest.mark.parametrize("second", [FULL.only(()), errors.Unavailable("down", reason="PROVIDER_DOWN")])
async def test_what_the_model_cannot_mend_is_mended_by_code(
    second: CopyText | Exception, make_copywriter: MakeCopywriter, make_order: MakeOrder, file_cache: SqlCache
) -> None:
    bad = replace(FULL, title="Best seller gold-tone studs " + "with red stones " * 12)
    answer = replace(bad, title="Hurry, studs on sale") if isinstance(second, CopyText) else second
    outcome = await make_copywriter(writer=Scripted(bad, answer)).write(make_order())
    assert outcome.copy.title
    assert all(finding.mended for finding in outcome.findings)
    stored = {part.part: part.content for part in await file_cache.read("SKU-1", "en-IN")}
    assert stored[Part.TITLE] == outcome.copy.title


async def test_what_nobody_can_mend_is_flagged(make_copywriter: MakeCopywriter, make_order: MakeOrder) -> None:
    foreign = replace(FULL, title="Золотые studs")
    outcome = await make_copywriter(writer=Scripted(foreign, foreign)).write(make_order())
    found = [(finding.place, finding.rule, finding.mended) for finding in outcome.findings]
    assert found == [("title", "wrong_script", False)]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "revoked"}, {"kind": "rate_limit_minute", "retry_after": 30}, {"kind": "server_error", "times": None},
        {"kind": "hang", "seconds": 20, "times": None}, {"kind": "broken_json", "times": None}, {"kind": "refusal"},
        {"kind": "content_filter"},
    ],
)  # fmt: skip
async def test_errors_are_never_stored(
    fault: dict[str, Any], make_copywriter: MakeCopywriter, make_order: MakeOrder, emulator: Emulator,
    file_cache: SqlCache,
) -> None:  # fmt: skip
    emulator.fault(**fault)
    copywriter = make_copywriter()
    with pytest.raises(errors.ServiceError):
        await copywriter.write(make_order(), seconds=4)
    assert (await file_cache.holdings()).parts == ()


async def test_what_getcopy_finds(make_copywriter: MakeCopywriter, make_order: MakeOrder) -> None:
    copywriter = make_copywriter(writer=Scripted(FULL))
    with pytest.raises(errors.NotFound):
        await copywriter.get(("SKU-1", "ama_ear", "en-IN"))
    await copywriter.write(make_order())
    entry = await copywriter.get(("SKU-1", "ama_ear", "EN-in"))
    assert (entry.copy, entry.origin, entry.picture_sha256) == (FULL, Origin.MODEL, make_order().picture_sha256)
    # Flipkart would be served Amazon's description.
    assert (await copywriter.get(("SKU-1", "fli_ear", "en-IN"))).copy == CopyText(description=FULL.description)
    with pytest.raises(errors.InvalidArgument):
        await copywriter.put(replace(entry, copy=CopyText()))
    assert await copywriter.delete("SKU-1", "") == 1
