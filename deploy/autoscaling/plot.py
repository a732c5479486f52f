"""Replicas over time, as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from deploy.autoscaling.fleet import Curve
from deploy.autoscaling.simulate import Candidate, Outcome

matplotlib.use("Agg")


def draw(curve: Curve, outcomes: Mapping[Candidate, Mapping[str, Outcome]], path: Path) -> None:
    """A panel per load: replicas of each candidate, and what the load would fill."""
    loads = list(next(iter(outcomes.values())))
    figure = Figure(figsize=(13, 2.9 * len(loads)), layout="constrained")
    for number, load in enumerate(loads):
        axes = figure.add_subplot(len(loads), 1, number + 1)
        for candidate, by_load in outcomes.items():
            seconds = by_load[load].seconds
            every = max(1, len(seconds) // 1500)
            minutes = [at / 60 for at in range(0, len(seconds), every)]
            if candidate is next(iter(outcomes)):
                needed = [
                    sum(second.arrived for second in seconds[at : at + every]) / every / curve.images_per_second
                    for at in range(0, len(seconds), every)
                ]
                axes.fill_between(minutes, needed, color="#d8d8d8", label="load, in replicas at full use")
            axes.plot(
                minutes, [seconds[at].replicas for at in range(0, len(seconds), every)], label=candidate.name, lw=1.3
            )
        axes.set_title(f"{load}: {curve.title}", fontsize=10)
        axes.set_ylabel("replicas")
        axes.legend(fontsize=8, loc="upper right")
    axes.set_xlabel("minutes")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80, metadata={"Software": None})
