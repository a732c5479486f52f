"""The rules: bad texts are found and mended, good ones pass untouched."""

from __future__ import annotations

import tomllib
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jewelry.copywriter.v1 import copywriter_pb2 as pb
from jewelry.copywriter.v1 import copywriter_pb2_grpc

import marketplaces
from copywriter_service.__main__ import build
from copywriter_service.adapters.cache_sql import SqlCache
from copywriter_service.adapters.writer import Ask, Draft
from copywriter_service.copywriter import Copywriter
from copywriter_service.domain import AdapterInfo, CopyText, Order, Origin, Part, TimeLeft
from copywriter_service.mending import mend, trim
from copywriter_service.rulebook import language_tag, rules_for
from copywriter_service.rules import check
from copywriter_service.settings import Settings
from servicekit import client, errors
from servicekit.testing import serve_locally

HERE = Path(__file__).parent
BAD: dict[str, Any] = tomllib.loads((HERE / "bad_texts.toml").read_text("utf-8"))
GOOD: dict[str, Any] = tomllib.loads((HERE / "good_texts.toml").read_text("utf-8"))
AMAZON = rules_for("ama_ear", "en-IN")
# What code cannot mend: it does not translate.
UNMENDABLE = {"wrong_script"}


def rules_found(copy: CopyText, *claims: str, code: str = "ama_ear", language: str = "en-IN") -> set[str]:
    return {finding.rule for finding in check(copy, rules_for(code, language), claims)}


EVERY_BAD_TEXT = [(rule, text) for rule, group in BAD.items() for text in group["texts"]]


def test_the_corpus_is_as_large_as_it_should_be() -> None:
    assert len({text for _, text in EVERY_BAD_TEXT}) >= 250
    assert sum(map(len, GOOD.values())) >= 75
    print("bad texts by rule:", {rule: len(group["texts"]) for rule, group in BAD.items()})


@pytest.mark.parametrize(("rule", "text"), EVERY_BAD_TEXT)
def test_a_bad_text_is_found_at_its_place_and_mended(rule: str, text: str) -> None:
    copy = CopyText(title=text)
    mended, findings = mend(copy, AMAZON)
    hits = [finding for finding in findings if finding.rule == rule]
    assert hits, f"{rule} not found: {findings}"
    assert all(0 <= hit.start < hit.end <= len(text) and hit.place == "title" and hit.message for hit in hits)
    left = {finding.rule for finding in check(mended, AMAZON)}
    assert left <= UNMENDABLE
    assert all(hit.mended is (hit.rule not in left) for hit in findings)


async def test_none_passes_over_the_wire(tmp_path: Path, clean_environment: None) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path)  # type: ignore[call-arg]
    async with serve_locally(build(settings)) as channel:
        stub = copywriter_pb2_grpc.CopywriterServiceStub(channel)
        for rule, text in EVERY_BAD_TEXT:
            request = pb.CheckClaimsRequest(copy=pb.Copy(title=text), marketplace_code="ama_ear")
            answer = await client.call(stub.CheckClaims, request, timeout=20)
            assert rule in {finding.rule for finding in answer.findings}, text
            assert answer.mended.title != text or rule in UNMENDABLE


class Stubborn:
    """A model that writes the same text whatever it is told."""

    origin = Origin.MODEL
    prompt_version = "copy-test"
    info = AdapterInfo("copy", "stubborn", embedded=False, model_id="m")

    def __init__(self, text: str) -> None:
        self._text = text
        self.asked = 0

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def write(self, ask: Ask, time_left: TimeLeft) -> Draft:
        self.asked += 1
        return Draft(CopyText(title=self._text, description=self._text).only(ask.parts))


async def test_none_passes_from_a_model_that_insists(file_cache: SqlCache) -> None:
    rules = rules_for("mee_ear", "en-IN")
    for rule, text in EVERY_BAD_TEXT:
        if not check(CopyText(text, (), text), rules):
            # Meesho has no limit on repeated words, and takes longer titles.
            assert rule in ("repeated_word", "max_length")
            continue
        writer = Stubborn(text)
        outcome = await Copywriter(file_cache, writer).write(Order("mee_ear"))
        assert writer.asked == 2, "a violation is repaired once by the model"
        left = check(outcome.copy, rules)
        assert {finding.rule for finding in left} <= UNMENDABLE
        assert len([finding for finding in outcome.findings if not finding.mended]) >= len(left)
        assert outcome.findings


@pytest.mark.parametrize("code", marketplaces.CODES)
def test_a_bad_description_is_found_in_every_marketplace(code: str) -> None:
    rules = rules_for(code, "en-IN")
    for rule, group in BAD.items():
        if rule in ("repeated_word", "capitals", "max_length"):
            continue
        for text in group["texts"]:
            if rule == "control_character" and text in ("Stud\nearrings", "Stud\r\nearrings"):
                continue
            assert rule in {finding.rule for finding in check(CopyText(description=text), rules)}, (code, rule, text)


def test_good_texts_pass_untouched() -> None:
    for title in GOOD["titles"]:
        copy = CopyText(title, tuple(GOOD["bullets"][:10]), GOOD["descriptions"][0])
        assert mend(copy, AMAZON) == (copy, []), title
    for bullet in GOOD["bullets"]:
        assert mend(CopyText(bullets=(bullet,)), AMAZON) == (CopyText(bullets=(bullet,)), [])
    for code in marketplaces.CODES:
        for description in GOOD["descriptions"]:
            copy = CopyText(description=description)
            assert mend(copy, rules_for(code, "en-IN")) == (copy, []), description
        for description in GOOD["hindi"]:
            copy = CopyText(description=description)
            assert mend(copy, rules_for(code, "hi-IN")) == (copy, []), description


@pytest.mark.parametrize(
    ("claim", "text", "allowed"),
    [
        ("925 silver", "Sterling silver stud earrings", True),
        ("Sterling silver", "92.5 silver studs", True),
        ("925 silver", "Hallmarked silver studs", False),
        ("22k gold plated", "22 karat plated studs", True),
        ("22k gold plated", "24k plated studs", False),
        ("natural diamonds", "Diamond studs", True),
        ("not hallmarked", "Hallmarked studs", False),
        ("nickel-free", "Nickel free studs", True),
        ("", "Nickel free studs", False),
    ],
)
def test_a_claim_passes_only_where_the_seller_vouches_for_it(claim: str, text: str, allowed: bool) -> None:
    assert ("unproven_claim" not in rules_found(CopyText(title=text), claim)) is allowed


def test_parts_and_bullets_that_a_marketplace_does_not_take() -> None:
    copy = CopyText("Stud earrings", ("One aspect",), "Gold-tone studs.")
    mended, findings = mend(copy, rules_for("fli_ear", "en-IN"))
    found = [(finding.place, finding.rule) for finding in findings]
    assert found == [("title", "unused_part"), ("bullet_point1", "unused_part")]
    assert mended == CopyText(description="Gold-tone studs.")
    many = CopyText(bullets=tuple(f"Aspect number {number}" for number in range(12)))
    mended, findings = mend(many, AMAZON)
    assert [finding.place for finding in findings] == ["bullet_point11", "bullet_point12"]
    assert mended.bullets == many.bullets[:10]


def test_a_bullet_point_that_repeats_another_goes() -> None:
    copy = CopyText(bullets=("Gold tone", "Red stones", "gold-tone", "Push back"))
    mended, findings = mend(copy, AMAZON)
    assert mended.bullets == ("Gold tone", "Red stones", "Push back")
    found = [(finding.place, finding.rule, finding.mended) for finding in findings]
    assert found == [("bullet_point3", "repeated_bullet", True)]


def test_a_claim_takes_its_sentence_with_it_and_no_more() -> None:
    text = "These studs have red stones. They are made of 925 sterling silver. They suit festive days."
    mended, _ = mend(CopyText(description=text), AMAZON)
    assert mended.description == "These studs have red stones. They suit festive days."


def test_long_texts_are_cut_at_a_word_or_sentence() -> None:
    assert trim("Gold tone stud earrings with red stones", 25) == "Gold tone stud earrings"
    assert trim("a" * 30, 10) == "a" * 10
    sentences = "One sentence here. " * 20
    assert trim(sentences, 100, sentences=True).endswith("here.")
    assert trim("short", 10) == "short"


@pytest.mark.parametrize(
    ("language", "text", "rule"),
    [
        ("hi-IN", "ये सुनहरे झुमके लाल पत्थरों के साथ हैं।", ""),
        ("hi-IN", "These are gold-tone earrings.", "wrong_script"),
        ("hi-Latn", "Yeh sunehre jhumke lal pattharon ke saath hain.", ""),
        ("ta-IN", "ये सुनहरे झुमके लाल पत्थरों के साथ हैं।", "wrong_script"),
        ("hi-IN", "ये झुमके असली सोना से बने हैं।", "unproven_claim"),
        ("hi-IN", "मुफ्त डिलीवरी के साथ झुमके।", "promotional"),
    ],
)
def test_other_languages(language: str, text: str, rule: str) -> None:
    assert rules_found(CopyText(description=text), code="mee_ear", language=language) == ({rule} if rule else set())


@pytest.mark.parametrize("language", GOOD["languages"])
def test_script_length_and_claims_hold_in_every_language(language: str) -> None:
    rules, sentence = rules_for("mee_ear", language), GOOD["languages"][language]
    limit = rules.limits[Part.DESCRIPTION]
    copy = CopyText(description=sentence)
    assert mend(copy, rules) == (copy, [])
    assert rules_found(CopyText(description="Red stones."), code="mee_ear", language=language) == {"wrong_script"}
    for other in ("जि", "দি", "தி", "దు", "سم"):
        if unicodedata.name(other[0]).partition(" ")[0] != rules.script:
            assert "wrong_script" in rules_found(CopyText(description=f"{sentence} {other}"), language=language)
    claim = CopyText(description=f"{sentence} {GOOD['claims'][language]} {sentence}")
    assert "unproven_claim" in rules_found(claim, code="mee_ear", language=language)
    assert GOOD["claims"][language] not in mend(claim, rules)[0].description
    # One sentence after the other, and one word without an end.
    for long in (f"{sentence} " * (limit // 20), sentence.replace(" ", "") * (limit // 10)):
        mended, findings = mend(CopyText(description=long), rules)
        assert "max_length" in {finding.rule for finding in findings}
        assert limit // 2 < len(mended.description) <= limit
        assert check(mended, rules) == []
        # No letter lost its vowel sign.
        rest = long[len(mended.description) :]
        assert not unicodedata.category(rest[0]).startswith("M")


def test_language_tags() -> None:
    assert language_tag("EN-in") == "en-IN"
    assert language_tag("hi-latn-in") == "hi-Latn-IN"
    for bad in ("english", "e", "en_IN", "xx-IN", "../etc"):
        with pytest.raises(errors.InvalidArgument):
            language_tag(bad)


def test_an_unknown_code_lists_the_ten() -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        rules_for("ebay_ear", "en-IN")
    assert caught.value.reason == "UNKNOWN_MARKETPLACE"
    assert all(code in caught.value.message for code in marketplaces.CODES)


PIECES = st.sampled_from(
    [
        *(text for group in BAD.values() for text in group["texts"]),
        *GOOD["descriptions"],
        *GOOD["bullets"],
        *("", " ", ". ", ", with "),
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(PIECES, st.text(max_size=20)), max_size=6))
def test_whatever_is_put_together_is_mended_in_one_go(pieces: list[str]) -> None:
    text = "".join(pieces)
    copy = CopyText(text, (text[:300], text[::-1]), text)
    mended, findings = mend(copy, AMAZON)
    left = check(mended, AMAZON)
    assert {finding.rule for finding in left} <= UNMENDABLE
    assert all(finding.start <= finding.end for finding in findings)
    assert mend(mended, AMAZON)[0] == mended


def test_a_very_long_text_is_checked_in_time() -> None:
    text = "best seller 925 diamond <b> &amp; 9876543210 😀 " * 400
    assert len(check(CopyText(text, (text,) * 10, text), AMAZON)) == 200
    assert Part.TITLE in AMAZON.parts
