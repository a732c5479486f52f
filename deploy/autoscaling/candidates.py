"""What could be scaled on, and which of it is chosen."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.autoscaling.fleet import Curve
from deploy.autoscaling.hpa import Behavior
from deploy.autoscaling.simulate import Candidate, Outcome

# Candidates that miss no more than this share above the best are equally good; the cheapest of them is chosen.
_AS_GOOD = 0.005


def candidates(curve: Curve) -> list[Candidate]:
    """Every candidate for a curve. Images are seconds of a replica's work, so that curves can be compared."""

    def images(seconds: float) -> float:
        return round(seconds * curve.images_per_second, 1 if curve.images_per_second < 100 else None)

    found = [Candidate(f"outstanding {images(s):g}", outstanding=images(s)) for s in (0.04, 0.08, 0.13, 0.2, 0.5)]
    found += [Candidate(f"wait {wait} s", wait=wait) for wait in (0.25, 0.5)]
    found += [
        Candidate(f"outstanding {images(s):g}, wait {wait} s", outstanding=images(s), wait=wait)
        for s, wait in ((0.04, 0.5), (0.08, 0.5), (0.13, 0.5), (0.2, 0.5), (0.2, 0.25))
    ]
    found += [Candidate(f"CPU {share:.0%}", cpu=share) for share in (0.6, 0.7)]
    found += [
        Candidate(f"requests {share:.0%} of capacity", requests=share * curve.images_per_second) for share in (0.5, 0.7)
    ]
    # What the behaviour is for: the same metrics with Kubernetes' own.
    usual = f"outstanding {images(0.13):g}, wait 0.5 s, default behaviour"
    found.append(Candidate(usual, outstanding=images(0.13), wait=0.5, behavior=Behavior()))
    return found


def best(outcomes: Mapping[Candidate, Mapping[str, Outcome]]) -> Candidate:
    """The cheapest of those that miss hardly more than the best, of all loads together; then the calmest.

    Only of those that look at both images and wait: the wait costs a few percent more replicas, and sees a replica
    that is slow with few images, which a simulation of equal replicas does not have.
    """
    both = {one: by_load for one, by_load in outcomes.items() if one.outstanding is not None and one.wait is not None}
    missed = {one: sum(o.late for o in by_load.values()) / len(by_load) for one, by_load in both.items()}
    least = min(missed.values())

    def cost(candidate: Candidate) -> tuple[int, int]:
        every = outcomes[candidate].values()
        return sum(outcome.replica_seconds for outcome in every), sum(outcome.flaps for outcome in every)

    return min((one for one, share in missed.items() if share <= least + _AS_GOOD), key=cost)
