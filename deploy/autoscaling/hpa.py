"""The formulas of the HorizontalPodAutoscaler, autoscaling/v2, as Kubernetes publishes them.

Source: "Horizontal Pod Autoscaling" of the Kubernetes documentation (algorithm details, configurable scaling behavior),
and for rounding `pkg/controller/podautoscaler` of Kubernetes 1.29 to 1.34.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

SYNC_SECONDS = 15
TOLERANCE = 0.1


@dataclass(frozen=True)
class Reading:
    """What a metric says at a sync; of several, the one that asks for most replicas decides.

    Attributes:
        kind: `average`: `value` is a total, to be shared by replicas, as of an external metric with AverageValue.
            `ratio`: `value` is what `target` should be, as a mean of pods, a utilisation, or with Value.
        ready: With `ratio`: replicas that `value` was read from; those that start count as 0 where it asks for more.
    """

    kind: Literal["average", "ratio"]
    value: float
    target: float
    ready: int = 0


@dataclass(frozen=True)
class Policy:
    """At most so many `Pods`, or `Percent` of the replicas, within a period."""

    type: Literal["Pods", "Percent"]
    value: int
    period_seconds: int


@dataclass(frozen=True)
class Rules:
    """Of one direction; the policy that allows most change is taken, as by default."""

    stabilization_seconds: int
    policies: tuple[Policy, ...]


DEFAULT_UP = Rules(0, (Policy("Percent", 100, 15), Policy("Pods", 4, 15)))
DEFAULT_DOWN = Rules(300, (Policy("Percent", 100, 15),))


@dataclass(frozen=True)
class Behavior:
    """How fast replicas may come and go."""

    up: Rules = DEFAULT_UP
    down: Rules = DEFAULT_DOWN


def proposed(current: int, reading: Reading) -> int:
    """Replicas that one metric asks for, before behaviour and bounds."""
    if reading.kind == "average":
        if abs(reading.value / (reading.target * current) - 1) <= TOLERANCE:
            return current
        return math.ceil(reading.value / reading.target)
    ratio = reading.value / reading.target
    if abs(ratio - 1) <= TOLERANCE:
        return current
    starting = max(0, current - reading.ready) if reading.ready else 0
    if ratio > 1 and starting:
        # Those that start are taken to use nothing. If that turns the direction, nothing is done.
        ratio = ratio * reading.ready / current
        return current if ratio <= 1 + TOLERANCE else math.ceil(ratio * current)
    return math.ceil(ratio * (reading.ready or current))


@dataclass
class Hpa:
    """The controller of one workload; `sync` is called every `SYNC_SECONDS`."""

    minimum: int
    maximum: int
    behavior: Behavior = Behavior()
    _recommended: list[tuple[float, int]] = field(default_factory=list)
    _changes: list[tuple[float, int]] = field(default_factory=list)

    def sync(self, now: float, current: int, readings: Sequence[Reading]) -> int:
        """Replicas from now on.

        Args:
            now: Seconds.
            current: Replicas that the workload asks for now.
            readings: Without any, which is metrics that cannot be read, nothing changes.
        """
        if current == 0 or not readings:
            return current
        wanted = max(proposed(current, reading) for reading in readings)
        wanted = min(max(wanted, self.minimum), self.maximum)
        wanted = self._stabilized(now, current, wanted)
        wanted = min(max(self._limited(now, current, wanted), self.minimum), self.maximum)
        if wanted != current:
            self._changes.append((now, wanted - current))
        return wanted

    def _stabilized(self, now: float, current: int, wanted: int) -> int:
        """The least of what was asked for lately on the way up, the most on the way down."""
        self._recommended.append((now, wanted))
        up, down = self.behavior.up.stabilization_seconds, self.behavior.down.stabilization_seconds
        self._recommended = [one for one in self._recommended if one[0] > now - max(up, down, 1)]
        lately_up = min([wanted, *(one for at, one in self._recommended if at > now - up)])
        lately_down = max([wanted, *(one for at, one in self._recommended if at > now - down)])
        return min(max(current, lately_up), lately_down)

    def _limited(self, now: float, current: int, wanted: int) -> int:
        if wanted > current:
            return min(wanted, max(self._ceiling(now, current, policy) for policy in self.behavior.up.policies))
        if wanted < current:
            return max(wanted, min(self._floor(now, current, policy) for policy in self.behavior.down.policies))
        return wanted

    def _ceiling(self, now: float, current: int, policy: Policy) -> int:
        start = current - self._changed(now, policy)
        if policy.type == "Pods":
            return start + policy.value
        return math.ceil(start * (100 + policy.value) / 100)

    def _floor(self, now: float, current: int, policy: Policy) -> int:
        start = current - self._changed(now, policy)
        if policy.type == "Pods":
            return start - policy.value
        return start * (100 - policy.value) // 100

    def _changed(self, now: float, policy: Policy) -> int:
        """Replicas that came, less those that went, within the policy's period."""
        longest = max(one.period_seconds for rules in (self.behavior.up, self.behavior.down) for one in rules.policies)
        self._changes = [one for one in self._changes if one[0] > now - longest]
        return sum(change for at, change in self._changes if at > now - policy.period_seconds)
