"""What people look at around the work: thresholds and their error rates, counts of a wish, keys of a provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Rates:
    """Shares of labelled pairs that a threshold (squared L2) gets wrong; see the contract's `ThresholdRates`."""

    threshold: float
    duplicate_match: float
    duplicate_miss: float
    duplicate_miss_all: float
    similar_match: float
    similar_miss: float


@dataclass(frozen=True)
class Thresholds:
    """Squared L2 distances below which pictures are duplicates, or similar, and their error rates over `pairs`."""

    model_id: str
    duplicate_distance: float
    similar_distance: float
    pictures: Mapping[str, int]
    calibration: tuple[Rates, ...]
    pairs: int


@dataclass(frozen=True)
class WishCounts:
    """Products that pass the filters of a wish, of all of the catalogue."""

    passing: int
    products: int
    stale: bool


@dataclass(frozen=True)
class KeyGroup:
    """Keys of a provider that share a quota; `wait` in seconds, 0: it may be asked now."""

    label: str
    keys: int
    refused: int
    used: int
    parked: bool
    wait: float

    @property
    def state(self) -> str:
        """`free`, `waiting`, `parked` or `refused`."""
        if self.keys and self.refused >= self.keys:
            return "refused"
        return "parked" if self.parked else "waiting" if self.wait else "free"
