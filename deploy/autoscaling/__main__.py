"""Prints what each candidate metric would have cost and missed, and whether the manifests are as chosen.

Usage: python -m deploy.autoscaling [--plot PATH]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deploy.autoscaling import check
from deploy.autoscaling.candidates import best, candidates
from deploy.autoscaling.fleet import Curve, curves
from deploy.autoscaling.loads import LOADS
from deploy.autoscaling.plot import draw
from deploy.autoscaling.simulate import SLO_SECONDS, Candidate, Outcome, run

# The peak asks for this share of `maximum` replicas at full use: 1,000 images/s of the measured curve.
PEAK_SHARE = 0.75
PLOT = Path("docs/autoscaling.png")

Outcomes = dict[Candidate, dict[str, Outcome]]


def simulate(curve: Curve) -> Outcomes:
    """Every candidate under every load."""
    peak = PEAK_SHARE * curve.maximum * curve.images_per_second
    replayed = {name: load(peak) for name, load in LOADS.items()}
    return {
        candidate: {name: run(candidate, load, curve) for name, load in replayed.items()}
        for candidate in candidates(curve)
    }


def table(outcomes: Outcomes) -> str:
    """As Markdown: images late or refused; replica-hours; flaps; most replicas."""
    lines = [f"| scaled on | {' | '.join(LOADS)} |", f"|---|{'---|' * len(LOADS)}"]
    for candidate, by_load in outcomes.items():
        cells = [
            f"{outcome.late:.1%}, {outcome.late_seconds} s; {outcome.replica_seconds / 3600:.0f} h; "
            f"{outcome.flaps}; {outcome.most}"
            for outcome in by_load.values()
        ]
        lines.append(f"| {candidate.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """1 where the choice or the manifests are not what `chosen.toml` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", type=Path, default=PLOT)
    plot = parser.parse_args().plot
    print("Each cell: images late or refused, and seconds so; replica-hours; flaps; most replicas.")
    print(f"Late: more than {SLO_SECONDS} s of queue wait at p95.\n")
    problems = []
    taken = -1
    # Measured curves first: what was only assumed decides nothing.
    for name, curve in sorted(curves().items(), key=lambda item: not item[1].measured):
        peak = PEAK_SHARE * curve.maximum * curve.images_per_second
        print(f"## {curve.title}\n\nPeak {peak:,.0f} images/s, {curve.cold_start_seconds} s to start.", end=" ")
        print("Measured." if curve.measured else "Assumed, not measured.", end="\n\n")
        outcomes = simulate(curve)
        print(table(outcomes))
        chosen = best(outcomes)
        print(f"\nBest: {chosen.name}\n")
        every = list(outcomes)
        if curve.measured:
            taken = every.index(chosen)
        else:
            # The same seconds of work per replica; candidates stand in the same order for every curve.
            chosen = every[taken]
            print(f"Taken, as on the measured curve: {chosen.name}\n")
        problems += check.against_choice(name, chosen)
        if curve.measured:
            shown = [chosen, *(one for one in outcomes if one.cpu == 0.7 or (one.requests and "50%" in one.name))]
            draw(curve, {one: outcomes[one] for one in shown}, plot)
            print(f"plot: {plot}\n")
    problems += check.manifests()
    for problem in problems:
        print(problem)
    print("chosen.toml, the simulation and the manifests agree" if not problems else f"{len(problems)} differences")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
