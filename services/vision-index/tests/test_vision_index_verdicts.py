"""The rules of the verdicts, without any store."""

from __future__ import annotations

from dataclasses import replace

import pytest

from servicekit import errors
from vision_index_service.model import Band, EmbeddingModel, Mark, Neighbour, Print, Reason, Row, Verdict
from vision_index_service.verdict import Query, Thresholds, apart, decide, judge

CLIP = EmbeddingModel("clip", "clip", 512, 5.0, 25.0)
FAR = (1 << 128) - 1  # 128 bits away from 0
QUERY = Print("a", "pa", 10, 10, "image/jpeg", 0, FAR << 64, 0, FAR << 64, bytes(72))
STRANGER = Print("b", "pb", 10, 10, "image/jpeg", FAR, FAR << 64, FAR, FAR << 64, bytes([90]) * 72)


def row(seen: Print, name: str = "r", created: int = 0) -> Row:
    return Row(name, "alyaimg", f"images/{name}", "u", "alya", seen, "clip", "", "", created, 10.0)


def verdict_of(seen: Print, squared: float, asked: float | None = None) -> tuple[Verdict, Reason]:
    match = judge(Query(QUERY, 10.0), Neighbour(row(seen), squared), "url", Thresholds.of(CLIP, asked=asked))
    return match.verdict, match.reason


@pytest.mark.parametrize(
    ("squared", "asked", "expected"),
    [
        (0.0, None, (Verdict.DUPLICATE, Reason.DISTANCE)),
        (4.99, None, (Verdict.DUPLICATE, Reason.DISTANCE)),
        (5.0, None, (Verdict.SIMILAR, Reason.DISTANCE)),
        (24.99, None, (Verdict.SIMILAR, Reason.DISTANCE)),
        (25.0, None, (Verdict.NEW, Reason.NONE)),
        (94.0, 95.0, (Verdict.DUPLICATE, Reason.DISTANCE)),
        (95.0, 95.0, (Verdict.NEW, Reason.NONE)),
        (0.0, 0.0, (Verdict.SIMILAR, Reason.DISTANCE)),
    ],
)
def test_distance_decides_between_strangers(
    squared: float, asked: float | None, expected: tuple[Verdict, Reason]
) -> None:
    assert verdict_of(STRANGER, squared, asked) == expected


def test_content_comes_before_distance() -> None:
    assert verdict_of(replace(STRANGER, sha_bytes="a"), 500.0) == (Verdict.EXACT, Reason.SAME_BYTES)
    assert verdict_of(replace(STRANGER, sha_pixels="pa"), 500.0) == (Verdict.EXACT, Reason.SAME_PIXELS)
    close = replace(QUERY, sha_bytes="b", sha_pixels="pb")
    assert verdict_of(close, 500.0) == (Verdict.DUPLICATE, Reason.SAME_PHOTO)


def test_other_colors_are_another_variant_unless_a_threshold_is_set() -> None:
    variant = replace(QUERY, sha_bytes="b", sha_pixels="pb", colors=bytes([60]) * 72)
    assert verdict_of(variant, 1.0) == (Verdict.SIMILAR, Reason.DISTANCE)
    assert verdict_of(variant, 1.0, asked=5.0) == (Verdict.DUPLICATE, Reason.DISTANCE)


def test_agreeing_frames_need_boxes_that_do_not_contradict() -> None:
    twin = replace(STRANGER, frame=0b1111)
    assert verdict_of(twin, 500.0) == (Verdict.NEW, Reason.NONE)
    assert verdict_of(replace(twin, box=(1 << 60) - 1, colors=bytes(72)), 500.0)[1] is Reason.SAME_PHOTO


@pytest.mark.parametrize(
    ("squared", "band"),
    [(0, Band.DUPLICATE), (5, Band.SIMILAR), (25, Band.DIFFERENT), (94.9, Band.DIFFERENT), (95, Band.UNRELATED)],
)
def test_bands_are_5_25_95_for_clip(squared: float, band: Band) -> None:
    assert Thresholds.of(CLIP).band(squared) is band
    assert Thresholds.of(CLIP, asked=95.0).band(squared) is band


def test_thresholds_of_request_configuration_and_model() -> None:
    assert Thresholds.of(CLIP).duplicate == 5.0
    assert Thresholds.of(CLIP, configured_duplicate=7.0).duplicate == 7.0
    assert Thresholds.of(CLIP, configured_duplicate=7.0, asked=0.0).duplicate == 0.0
    assert Thresholds.of(CLIP, asked=95.0).similar == 95.0
    assert Thresholds.of(CLIP, configured_similar=30.0).similar == 30.0
    with pytest.raises(errors.InvalidArgument):
        Thresholds.of(CLIP, asked=-0.1)


def test_cosine_follows_from_distance_and_norms() -> None:
    match = judge(Query(QUERY, 3.0), Neighbour(replace(row(STRANGER), norm=4.0), 25.0), "url", Thresholds.of(CLIP))
    assert match.cosine == pytest.approx(0.0)
    zero = judge(Query(QUERY, 0.0), Neighbour(row(STRANGER), 1.0), "url", Thresholds.of(CLIP))
    assert zero.cosine == 0.0


def test_the_surest_comes_first_and_ties_go_to_the_older() -> None:
    pairs = [
        (row(STRANGER, "near"), 6.0),
        (row(replace(STRANGER, sha_bytes="a"), "exact-new", 2), 0.0),
        (row(replace(STRANGER, sha_bytes="a"), "exact-old", 1), 0.0),
        (row(STRANGER, "far"), 60.0),
    ]
    matches = [judge(Query(QUERY, 10.0), Neighbour(r, d), r.id, Thresholds.of(CLIP)) for r, d in pairs]
    decision = decide(matches, [], CLIP, 3)
    assert [match.row.id for match in decision.matches] == ["exact-old", "exact-new", "near"]
    assert decision.match is decision.matches[0]
    elsewhere = decide([], matches, CLIP, 10)
    assert (elsewhere.verdict, elsewhere.match) == (Verdict.NEW, None)
    assert [match.row.id for match in elsewhere.elsewhere] == ["exact-old", "exact-new"]


def test_marks_turn_the_same_into_similar_only() -> None:
    same, other = row(replace(QUERY, sha_bytes="b", sha_pixels="p"), "same"), row(replace(STRANGER, sha_bytes="c"), "c")
    matches = [judge(Query(QUERY, 10.0), Neighbour(r, 60.0), "u", Thresholds.of(CLIP)) for r in (same, other)]
    assert [m.verdict for m in apart(matches, "a", {Mark.of("b", "a"), Mark.of("c", "a")})] == [
        Verdict.SIMILAR,
        Verdict.NEW,
    ]
    assert [m.verdict for m in apart(matches, "a", {Mark.of("b", "z")})] == [Verdict.DUPLICATE, Verdict.NEW]
