"""Searches for pictures: what was asked, what was found, and what a threshold would let through; no Streamlit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from jewelry_client import Client, File

from studio_service import verdicts
from studio_service.api import Api
from studio_service.describing import Photo
from studio_service.verdicts import Near

# Shares of pairs that a threshold gets wrong, as the gateway calls them.
KINDS = ("duplicate_match", "duplicate_miss_all", "similar_match", "similar_miss")


@dataclass(frozen=True)
class Search:
    """A photo, or words, to search with."""

    photo: Photo | None = None
    words: str = ""
    website: str = ""
    top_k: int = 24


@dataclass(frozen=True)
class Found:
    """What a search found, nearest first."""

    search: Search
    matches: tuple[Near, ...] = field(default=(), repr=False)
    model_id: str = ""

    def within(self, distance: float) -> list[Near]:
        """Matches up to a distance; those of words all, as their distances say nothing."""
        if self.search.photo is None:
            return list(self.matches)
        return [one for one in self.matches if one.distance <= distance]

    def without(self, url: str) -> Found:
        """The same without a picture that is gone."""
        return replace(self, matches=tuple(one for one in self.matches if one.url != url))


@dataclass(frozen=True)
class Rates:
    """Shares of labelled pairs that a threshold (squared distance) gets wrong, by kind."""

    threshold: float
    shares: Mapping[str, float]


@dataclass(frozen=True)
class Calibration:
    """The model's bounds, and the error rates of others; `rates` is empty where nobody measured them."""

    model_id: str
    duplicate: float
    similar: float
    rates: tuple[Rates, ...] = ()
    pairs: int = 0
    pictures: Mapping[str, int] = field(default_factory=dict)

    def steps(self) -> list[float]:
        """Distances for a slider: the measured ones and the model's own two, rising."""
        measured = [one.threshold for one in self.rates] or _spread(self.similar)
        return sorted({*measured, self.duplicate, self.similar})

    def at(self, distance: float) -> Rates | None:
        """Error rates of the measured threshold next to a distance."""
        return min(self.rates, key=lambda one: abs(one.threshold - distance), default=None)

    def lines(self) -> list[dict[str, object]]:
        """Rows of the plot: threshold, kind and share."""
        return [
            {"threshold": one.threshold, "kind": kind, "share": one.shares.get(kind, 0.0)}
            for one in self.rates
            for kind in KINDS
        ]


def calibration(told: Mapping[str, Any]) -> Calibration:
    """What /thresholds tells."""
    return Calibration(
        model_id=str(told.get("model_id") or ""),
        duplicate=float(told.get("duplicate_distance") or 0.0),
        similar=float(told.get("similar_distance") or 0.0),
        rates=tuple(
            Rates(float(one["threshold"]), {kind: float(one.get(kind) or 0.0) for kind in KINDS})
            for one in told.get("calibration") or ()
        ),
        pairs=int(told.get("pairs") or 0),
        pictures={str(name): int(count) for name, count in (told.get("pictures") or {}).items()},
    )


def search(api: Api, asked: Search) -> Found:
    """Searches. Raises Problem."""

    async def call(client: Client) -> dict[str, Any]:
        if asked.photo is None:
            return await client.search_text(asked.words, top_k=asked.top_k, website=asked.website)
        file = File(asked.photo.content, asked.photo.name)
        return await client.search(file, top_k=asked.top_k, website=asked.website)

    answer = api.ask(call)
    matches = tuple(verdicts.near(one) for one in answer.get("similar_images") or ())
    return Found(asked, matches, str(answer.get("model_id") or ""))


def keep_apart(api: Api, photo: Photo, other: Near) -> str:
    """Stores the photo as a product of its own and says that it is not the other one; its address.

    A mark joins two stored pictures. The very same file stays one object, however often it is stored. Raises Problem.
    """

    async def call(client: Client) -> str:
        stored = await client.upload(
            File(photo.content, photo.name), website=other.website, check_duplicate=False, sku=photo.sku
        )
        url = str(stored.get("s3_url") or "")
        await client.mark_distinct(url, other.url)
        return url

    return api.ask(call)


def delete(api: Api, url: str) -> tuple[str, str]:
    """Deletes a stored picture: what became of it, and a sentence where it was not deleted. Raises Problem."""

    async def call(client: Client) -> dict[str, Any]:
        return await client.delete([url])

    results: Sequence[Mapping[str, Any]] = api.ask(call).get("results") or []
    result = results[0] if results else {}
    return str(result.get("status") or "failed"), str(result.get("detail") or "")


def counts(found: Iterable[Near]) -> dict[str, int]:
    """How many matches have each verdict."""
    told: dict[str, int] = {}
    for one in found:
        told[one.verdict] = told.get(one.verdict, 0) + 1
    return told


def _spread(similar: float) -> list[float]:
    top = max(similar, 1.0) * 4
    return [round(math.exp(math.log(0.05) + (math.log(top) - math.log(0.05)) * step / 39), 2) for step in range(40)]
