"""The formulas against examples of the Kubernetes documentation, worked out by hand."""

from __future__ import annotations

import itertools

import pytest

from deploy.autoscaling.hpa import DEFAULT_DOWN, DEFAULT_UP, Behavior, Hpa, Policy, Reading, Rules, proposed
from deploy.autoscaling.keda import Fallback, Keda


def ratio(value: float, target: float, ready: int = 0) -> Reading:
    return Reading("ratio", value, target, ready)


@pytest.mark.parametrize(
    ("current", "value", "target", "replicas"),
    [
        # "if the current metric value is 200m, and the desired value is 100m, the number of replicas will be doubled"
        (3, 200, 100, 6),
        # "If the current value is instead 50m, you'll halve the number of replicas"
        (4, 50, 100, 2),
        # 50 replicas at 90% of a target of 75%: 50 x 90 / 75 (Kubernetes' blog on tolerance).
        (50, 90, 75, 60),
        # Within the tolerance of 0.1.
        (10, 109, 100, 10),
        (10, 91, 100, 10),
        # Just outside; rounded up.
        (10, 111, 100, 12),
        (3, 70, 100, 3),
    ],
)
def test_desired_replicas(current: int, value: float, target: float, replicas: int) -> None:
    assert proposed(current, ratio(value, target)) == replicas


@pytest.mark.parametrize(
    ("current", "total", "target", "replicas"),
    [(2, 640, 64, 10), (10, 640, 64, 10), (10, 690, 64, 10), (10, 60, 64, 1)],
)
def test_an_external_average_is_a_total_shared_by_replicas(
    current: int, total: float, target: float, replicas: int
) -> None:
    assert proposed(current, Reading("average", total, target)) == replicas


def test_pods_that_start_count_as_idle_on_the_way_up_and_never_turn_it() -> None:
    # 4 ready at twice the target, 4 starting: 2 x 4 / 8 = 1, nothing to do.
    assert proposed(8, ratio(200, 100, ready=4)) == 8
    assert proposed(8, ratio(300, 100, ready=4)) == 12


def test_of_several_metrics_the_largest_proposal_is_taken() -> None:
    hpa = Hpa(1, 100, Behavior(up=Rules(0, (Policy("Percent", 1000, 15),))))
    assert hpa.sync(0, 4, [ratio(200, 100), ratio(300, 100), ratio(50, 100)]) == 12


def test_ten_percent_or_four_pods_a_minute_from_80_to_10() -> None:
    """The documentation's example: 8 go, then 72 x 10% = 7.2 are rounded up to 8; below 40 the 4 pods allow more."""
    rules = Rules(0, (Policy("Pods", 4, 60), Policy("Percent", 10, 60)))
    hpa = Hpa(10, 100, Behavior(down=rules))
    seen = [80]
    for minute in range(40):
        seen.append(hpa.sync(minute * 61, seen[-1], [ratio(1, 100)]))
    assert seen[:4] == [80, 72, 64, 57]
    after_40 = [one for one in seen if 14 <= one < 40]
    assert all(before - after == 4 for before, after in itertools.pairwise(after_40))
    assert seen[-1] == 10


def test_the_default_allows_four_pods_or_double_within_15_seconds() -> None:
    hpa = Hpa(1, 1000)
    assert DEFAULT_UP.stabilization_seconds == 0
    assert hpa.sync(0, 1, [ratio(100, 1)]) == 5
    assert hpa.sync(15, 5, [ratio(100, 1)]) == 10
    assert hpa.sync(30, 10, [ratio(100, 1)]) == 20


def test_double_per_30_seconds_over_two_syncs() -> None:
    hpa = Hpa(2, 100, Behavior(up=Rules(0, (Policy("Percent", 100, 30),))))
    assert hpa.sync(0, 4, [ratio(100, 1)]) == 8
    assert hpa.sync(15, 8, [ratio(100, 1)]) == 8, "the period began with 4"
    assert hpa.sync(30, 8, [ratio(100, 1)]) == 16


def test_scaling_down_waits_for_the_most_of_the_window() -> None:
    hpa = Hpa(1, 100)
    assert DEFAULT_DOWN.stabilization_seconds == 300
    assert hpa.sync(0, 10, [ratio(100, 100)]) == 10
    for at in range(15, 300, 15):
        assert hpa.sync(at, 10, [ratio(10, 100)]) == 10
    assert hpa.sync(300, 10, [ratio(10, 100)]) == 1


def test_without_metrics_nothing_changes() -> None:
    assert Hpa(1, 100).sync(0, 7, []) == 7


def keda(minimum: int = 0, fallback: Fallback | None = None) -> Keda:
    return Keda(minimum, Hpa(max(1, minimum), 50), polling_seconds=30, cooldown_seconds=300, fallback=fallback)


def test_from_none_at_the_next_poll_and_back_after_the_cooldown() -> None:
    scaler = keda()
    replicas = 0
    at_one = at_none = None
    for now in range(1000):
        replicas = scaler.step(now, replicas, [], active=100 <= now <= 200)
        if replicas and at_one is None:
            at_one = now
        if at_one and not replicas and at_none is None:
            at_none = now
    assert at_one == 120
    # Active last at the poll of 180.
    assert at_none == 480


@pytest.mark.parametrize(("behavior", "replicas"), [("static", 6), ("currentReplicasIfHigher", 20)])
def test_fallback_after_more_failures_than_the_threshold(behavior: str, replicas: int) -> None:
    fallback = Fallback(3, 6, behavior)  # type: ignore[arg-type]
    scaler = keda(2, fallback)
    current = 20
    for now in range(1200):
        current = scaler.step(now, current, None, active=True)
        if now < 90:
            assert current == 20
    assert current == replicas
