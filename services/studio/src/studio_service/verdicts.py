"""Matches of a picture as the screens show them; plain data in, plain data out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

# What stops an upload: the picture is stored already.
KNOWN = frozenset({"exact", "duplicate"})


@dataclass(frozen=True)
class Near:
    """A stored picture near the one asked about; `distance` is squared L2, `hash_bits` of 256."""

    url: str
    name: str
    website: str
    distance: float
    cosine: float
    hash_bits: int
    verdict: str
    reason: str
    band: str


@dataclass(frozen=True)
class Thresholds:
    """Squared distances below which the model calls a picture a duplicate, or similar."""

    duplicate: float
    similar: float


def near(match: Mapping[str, Any]) -> Near:
    """A match of an answer."""
    url = str(match.get("s3_url") or "")
    return Near(
        url=url,
        name=str(match.get("original_name") or "") or file_name(url),
        website=str(match.get("website") or ""),
        distance=float(match.get("distance") or 0.0),
        cosine=float(match.get("cosine") or 0.0),
        hash_bits=int(match.get("hash_distance") or 0),
        verdict=str(match.get("verdict") or ""),
        reason=str(match.get("reason") or "none"),
        band=str(match.get("band") or ""),
    )


def nears(answer: Mapping[str, Any], most: int = 5) -> list[Near]:
    """The nearest matches of an answer, surest first."""
    return [near(match) for match in (answer.get("matches") or [])[:most]]


def alike(found: Iterable[Near]) -> list[Near]:
    """Those that are more than merely the nearest."""
    return [one for one in found if one.verdict not in ("new", "")]


def bars(found: Iterable[Near]) -> list[dict[str, object]]:
    """Rows of the chart; a name that comes twice is told apart."""
    seen: dict[str, int] = {}
    rows: list[dict[str, object]] = []
    for one in found:
        count = seen[one.name] = seen.get(one.name, 0) + 1
        label = one.name if count == 1 else f"{one.name} ({count})"
        rows.append({"name": label, "distance": round(one.distance, 2), "verdict": one.verdict})
    return rows


def number(value: float) -> str:
    """A distance as people read it: 10.4, 201."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def file_name(url: str) -> str:
    """The last part of an address."""
    return unquote(urlsplit(url).path).rpartition("/")[2]
