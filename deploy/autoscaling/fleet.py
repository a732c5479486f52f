"""The embedders as a fluid: images arrive, wait, are described or refused; second by second.

One queue for all replicas, as round robin shares arrivals out evenly. Below saturation the wait follows a queue with
even service times (M/D/1), scaled to the one point that was measured; above it, it is the backlog over the capacity.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

CURVES = Path(__file__).with_name("curves.toml")
# Of a queue with even service times: mean wait in units of the time of service, at utilisation 0.7.
_MD1_AT_70 = 0.7 / (2 * (1 - 0.7))
# Beyond it the formula goes to infinity within seconds that it does not describe; the backlog takes over.
_HIGHEST = 0.98


@dataclass(frozen=True)
class Curve:
    """What one replica does; the fields are those of `curves.toml`, seconds and images."""

    title: str
    measured: bool
    images_per_second: float
    idle_seconds: float
    wait_at_70_percent: float
    goodput_overloaded: float
    outstanding_limit: int
    longest_wait_seconds: float
    cold_start_seconds: int
    cpu_at_full_load: float
    minimum: int
    maximum: int

    def wait(self, utilisation: float) -> float:
        """p95 of the wait in seconds, without a backlog."""
        rho = min(utilisation, _HIGHEST)
        return self.idle_seconds * self.wait_at_70_percent * (rho / (2 * (1 - rho))) / _MD1_AT_70


def curves() -> dict[str, Curve]:
    """Every curve by name."""
    return {name: Curve(**values) for name, values in tomllib.loads(CURVES.read_text(encoding="utf-8")).items()}


class Second(NamedTuple):
    """What a second was like.

    Attributes:
        arrived, served, refused: Images.
        outstanding: Images queued and in work at its end, of all replicas.
        wait: p95 of the queue wait, seconds.
        cpu: Mean use of the ready replicas, of their request.
        ready: Replicas that serve.
        replicas: Replicas that are there, those that start included.
    """

    arrived: float
    served: float
    refused: float
    outstanding: float
    wait: float
    cpu: float
    ready: int
    replicas: int


@dataclass
class Fleet:
    """Replicas that come and go."""

    curve: Curve
    ready: int
    queue: float = 0.0
    _starting: list[int] = field(default_factory=list)

    @property
    def replicas(self) -> int:
        """All of them."""
        return self.ready + len(self._starting)

    def scale(self, replicas: int) -> None:
        """Starts replicas, or stops some: those first that do not serve yet, as a ReplicaSet does."""
        while self.replicas < replicas:
            self._starting.append(self.curve.cold_start_seconds)
        while self.replicas > replicas and self._starting:
            self._starting.remove(max(self._starting))
        self.ready = min(self.ready, replicas)

    def second(self, arrived: float) -> Second:
        """One second of arrivals; what is queued with a replica that stops is served within its drain."""
        if self._starting:
            self._starting = [left - 1 for left in self._starting]
            self.ready += sum(left <= 0 for left in self._starting)
            self._starting = [left for left in self._starting if left > 0]
        if not self.ready:
            self.queue += arrived
            return Second(arrived, 0.0, 0.0, self.queue, self.queue, 0.0, 0, self.replicas)
        capacity = self.ready * self.curve.images_per_second
        room = self.ready * min(
            float(self.curve.outstanding_limit), self.curve.longest_wait_seconds * self.curve.images_per_second
        )
        refused = max(0.0, self.queue + arrived - capacity - room)
        # To refuse costs the CPU that describes, in the share that was measured at three times the capacity.
        spent = min(1.0, refused / (2 * capacity)) * (1 - self.curve.goodput_overloaded)
        served = min(self.queue + arrived - refused, capacity * (1 - spent))
        self.queue += arrived - refused - served
        utilisation = min(1.0, served / capacity)
        without_backlog = self.curve.wait(utilisation)
        wait = without_backlog + self.queue / capacity
        inside = served * (self.curve.idle_seconds + without_backlog)
        cpu = self.curve.cpu_at_full_load * (1.0 if self.queue else utilisation)
        return Second(arrived, served, refused, self.queue + inside, wait, cpu, self.ready, self.replicas)
