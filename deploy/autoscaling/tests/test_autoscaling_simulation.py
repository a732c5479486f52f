"""The fluid and the replay, on loads whose outcome can be worked out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped,unused-ignore]  # stubs are not installed

from deploy.autoscaling import check
from deploy.autoscaling.fleet import Curve, Fleet, curves
from deploy.autoscaling.simulate import Candidate, run

CURVE = replace(curves()["cpu"], images_per_second=10.0, cold_start_seconds=60, minimum=1, maximum=10)


def test_what_arrives_is_served_waits_or_is_refused() -> None:
    fleet = Fleet(CURVE, ready=2)
    seconds = [fleet.second(50.0 if at < 60 else 0.0) for at in range(200)]
    served, refused = sum(s.served for s in seconds), sum(s.refused for s in seconds)
    assert served + refused == pytest.approx(50 * 60)
    # Two replicas hold 15 s of their work each, and do less of it while they refuse.
    assert 15 < max(second.wait for second in seconds) < 15 / CURVE.goodput_overloaded
    assert refused > 0


def test_the_wait_at_70_percent_is_the_measured_one_and_grows() -> None:
    assert CURVE.wait(0.7) == pytest.approx(CURVE.idle_seconds * CURVE.wait_at_70_percent)
    assert CURVE.wait(0.0) == 0.0
    assert CURVE.wait(0.9) > 2 * CURVE.wait(0.7)


def test_a_replica_serves_after_its_cold_start_and_those_that_start_stop_first() -> None:
    fleet = Fleet(CURVE, ready=1)
    fleet.scale(3)
    assert [fleet.second(0).ready for _ in range(61)][58:] == [1, 3, 3]
    fleet.scale(5)
    fleet.scale(4)
    assert (fleet.ready, fleet.replicas) == (3, 4)


def test_a_steady_load_is_served_within_the_slo() -> None:
    outcome = run(Candidate("x", outstanding=1.8, wait=0.5), [50.0] * 3600, CURVE)
    assert outcome.late == 0
    # Between full use and what was begun with.
    assert {second.replicas for second in outcome.seconds} <= {6, 7, 8, 9}


def test_served_requests_do_not_show_an_overload() -> None:
    """Overloaded replicas serve 72% of their peak, as measured: a target of 70% of it never asks for more."""
    blind = run(Candidate("x", requests=7.0), [5.0] * 300 + [60.0] * 1800, CURVE)
    seeing = run(Candidate("x", outstanding=1.8), [5.0] * 300 + [60.0] * 1800, CURVE)
    assert blind.seconds[-1].replicas <= 2
    assert seeing.seconds[-1].replicas >= 7


def test_chosen_settings_are_those_of_the_manifests_where_they_are_said(tmp_path: Path) -> None:
    said = check.chosen()["cpu"]
    spec = {
        "minReplicas": said["minimum"],
        "maxReplicas": said["maximum"],
        "metrics": [
            {
                "type": "Pods",
                "pods": {
                    "metric": {"name": "m", "selector": {"matchLabels": {"lane": "interactive"}}},
                    "target": {"type": "AverageValue", "averageValue": f"{said['outstanding'] * 1000:.0f}m"},
                },
            }
        ],
        "behavior": check.behavior(),
    }
    hpa = tmp_path / "hpa.yaml"
    hpa.write_text(yaml.safe_dump({"spec": spec}), encoding="utf-8")
    assert check.manifests(tmp_path / "none.yaml", hpa) == []
    spec["maxReplicas"] = 7
    hpa.write_text(yaml.safe_dump({"spec": spec}), encoding="utf-8")
    (told,) = check.manifests(tmp_path / "none.yaml", hpa)
    assert "maximum is 7" in told


def test_curves_say_whether_they_were_measured() -> None:
    assert {name: curve.measured for name, curve in curves().items()} == {"cpu": True, "gpu": False}
    assert all(isinstance(curve, Curve) for curve in curves().values())
