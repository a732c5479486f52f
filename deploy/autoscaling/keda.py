"""What KEDA adds to an HPA: from none and back to none, and a number of replicas for when metrics fail.

Source: "ScaledObject specification" and "Scaling Deployments" of KEDA's documentation, 2.17.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from deploy.autoscaling.hpa import SYNC_SECONDS, Hpa, Reading


@dataclass(frozen=True)
class Fallback:
    """Replicas where a trigger failed so many times in a row."""

    failure_threshold: int
    replicas: int
    behavior: Literal["static", "currentReplicasIfHigher"] = "static"


@dataclass
class Keda:
    """One ScaledObject. `minimum` 0: to none after `cooldown_seconds` without anything active.

    Between none and one KEDA decides itself, every `polling_seconds`; above one its HPA does, every sync.
    """

    minimum: int
    hpa: Hpa
    polling_seconds: int = 30
    cooldown_seconds: int = 300
    fallback: Fallback | None = None
    _failures: int = 0
    _active_at: float = field(default=-math.inf)

    def step(self, now: int, current: int, readings: Sequence[Reading] | None, *, active: bool) -> int:
        """Replicas from now on; called every second.

        Args:
            readings: None: they could not be read.
            active: True where a trigger is above its activation threshold.
        """
        if now % self.polling_seconds == 0:
            self._failures = self._failures + 1 if readings is None else 0
            if active:
                self._active_at = now
                if current == 0:
                    return max(1, self.minimum)
            elif self.minimum == 0 and current and now - self._active_at >= self.cooldown_seconds:
                return 0
        if current == 0 or now % SYNC_SECONDS:
            return current
        return self.hpa.sync(now, current, self._fallen_back(current) if readings is None else readings)

    def _fallen_back(self, current: int) -> list[Reading]:
        """KEDA reports the metric that gives the fallback's replicas."""
        if self.fallback is None or self._failures <= self.fallback.failure_threshold:
            return []
        replicas = self.fallback.replicas
        if self.fallback.behavior == "currentReplicasIfHigher":
            replicas = max(replicas, current)
        return [Reading("average", float(replicas), 1.0)]
