"""Replays a load against a candidate: a metric, its target, and how fast replicas may come and go."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.autoscaling.fleet import Curve, Fleet, Second
from deploy.autoscaling.hpa import Behavior, Hpa, Policy, Reading, Rules
from deploy.autoscaling.keda import Keda

# An image that waits longer, at p95, is late; the same as the alert on the queue wait.
SLO_SECONDS = 0.5
# Prometheus' interval (deploy/k8s/components/monitoring), and the ranges of the queries.
SCRAPE_SECONDS = 15
WAIT_RANGE = 120
RATE_RANGE = 60
# The metrics server's window.
CPU_RANGE = 30
# A change in the other direction so soon after the last is a flap.
FLAP_SECONDS = 900
# A run begins in peace: an overload at its first second would bring replicas that a later jump then finds ready.
_BEGINNING = 60
_BEGIN_USED = 0.6

BEHAVIOR = Behavior(Rules(0, (Policy("Percent", 100, 30),)), Rules(600, (Policy("Pods", 1, 60),)))
"""Up: double per 30 s. Down: one per minute after ten quiet minutes."""


@dataclass(frozen=True)
class Candidate:
    """What to scale on; a target that is None is not looked at.

    Attributes:
        outstanding: Images queued and in work per replica.
        wait: p95 of the queue wait, seconds.
        cpu: Share of the request.
        requests: Images served per second and replica.
    """

    name: str
    outstanding: float | None = None
    wait: float | None = None
    cpu: float | None = None
    requests: float | None = None
    behavior: Behavior = BEHAVIOR


@dataclass(frozen=True)
class Outcome:
    """What a run cost and missed.

    Attributes:
        late: Share of the images that were refused or came while the wait was above the SLO.
        late_seconds: Seconds with the wait above the SLO.
        refused: Share of the images.
        replica_seconds: Replicas over time, those that start included.
        flaps: Changes back within `FLAP_SECONDS`.
        most: Most replicas.
        seconds: The run, for plots.
    """

    late: float
    late_seconds: int
    refused: float
    replica_seconds: int
    flaps: int
    most: int
    seconds: Sequence[Second]


class Metrics:
    """What scalers see: samples of scrapes, some of them over a range."""

    def __init__(self) -> None:
        self._lately: deque[Second] = deque(maxlen=WAIT_RANGE + SCRAPE_SECONDS)
        self._scraped: list[Second] = []

    def add(self, now: int, second: Second) -> None:
        """A second has passed; every `SCRAPE_SECONDS` it is seen."""
        self._lately.append(second)
        if now % SCRAPE_SECONDS == 0:
            self._scraped = list(self._lately)[-WAIT_RANGE:]

    def readings(self, candidate: Candidate) -> list[Reading]:
        """The candidate's metrics as they were at the last scrape."""
        if not self._scraped:
            return []
        last = self._scraped[-1]
        found = []
        if candidate.outstanding is not None:
            found.append(Reading("average", last.outstanding, candidate.outstanding))
        if candidate.wait is not None:
            found.append(Reading("ratio", _p95_wait(self._scraped), candidate.wait))
        if candidate.cpu is not None:
            window = self._scraped[-CPU_RANGE:]
            mean = sum(second.cpu for second in window) / len(window)
            found.append(Reading("ratio", mean, candidate.cpu, max(1, last.ready)))
        if candidate.requests is not None:
            window = self._scraped[-RATE_RANGE:]
            rate = sum(second.served for second in window) / len(window)
            found.append(Reading("average", rate, candidate.requests))
        return found


def _p95_wait(seconds: Sequence[Second]) -> float:
    """p95 over the images of the range, as a quantile over a rate of buckets gives it."""
    by_wait = sorted((second.wait, second.served) for second in seconds)
    total = sum(served for _, served in by_wait)
    reached = 0.0
    for wait, served in by_wait:
        reached += served
        if reached >= 0.95 * total:
            return wait
    return 0.0


def run(candidate: Candidate, load: Sequence[float], curve: Curve) -> Outcome:
    """Replays a load, one second at a time, from as many replicas on as its beginning needs."""
    begins = sum(load[:_BEGINNING]) / len(load[:_BEGINNING])
    needed = math.ceil(begins / (_BEGIN_USED * curve.images_per_second))
    fleet = Fleet(curve, min(max(curve.minimum, needed), curve.maximum))
    scaler = Keda(curve.minimum, Hpa(curve.minimum, curve.maximum, candidate.behavior), polling_seconds=15)
    metrics = Metrics()
    seconds = []
    for now, arrived in enumerate(load):
        second = fleet.second(arrived)
        seconds.append(second)
        metrics.add(now, second)
        if now % SCRAPE_SECONDS == 0:
            # KEDA polls and the HPA syncs as often as metrics are scraped.
            fleet.scale(scaler.step(now, fleet.replicas, metrics.readings(candidate), active=True))
    return _outcome(seconds)


def _outcome(seconds: Sequence[Second]) -> Outcome:
    images = sum(second.arrived for second in seconds)
    refused = sum(second.refused for second in seconds)
    late = [second for second in seconds if second.wait > SLO_SECONDS]
    missed = sum(second.arrived for second in late) + sum(s.refused for s in seconds if s.wait <= SLO_SECONDS)
    return Outcome(
        late=missed / images,
        late_seconds=len(late),
        refused=refused / images,
        replica_seconds=sum(second.replicas for second in seconds),
        flaps=_flaps([second.replicas for second in seconds]),
        most=max(second.replicas for second in seconds),
        seconds=seconds,
    )


def _flaps(replicas: Sequence[int]) -> int:
    flaps = 0
    last_at, last_direction = -FLAP_SECONDS, 0
    for at in range(1, len(replicas)):
        change = replicas[at] - replicas[at - 1]
        if not change:
            continue
        direction = 1 if change > 0 else -1
        if last_direction and direction != last_direction and at - last_at < FLAP_SECONDS:
            flaps += 1
        last_at, last_direction = at, direction
    return flaps
