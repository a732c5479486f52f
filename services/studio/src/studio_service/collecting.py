"""Collections: what is asked for, what was found; no Streamlit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

CATEGORIES = ("", "earrings", "necklace", "bracelet", "ring")
AUDIENCES = ("", "women", "men", "girls", "boys", "kids")
COLUMNS = ("place", "id", "score", "similarity", "style", "words", "pinned", "why")


@dataclass(frozen=True)
class Wish:
    """What a collection should hold; empty values are no wish. Prices in rupees."""

    category: str = ""
    min_price: float | None = None
    max_price: float | None = None
    start: date | None = None
    end: date | None = None
    in_stock: bool = False
    color: str = ""
    audience: str = ""
    words: str = ""
    styles: str = ""
    pinned: str = ""
    hidden: str = ""
    size: int = 20

    @property
    def filters(self) -> dict[str, Any]:
        """What leaves products out, as the gateway takes it."""
        found = {
            "category": self.category,
            "start_price": self.min_price,
            "end_price": self.max_price,
            "start_date": self.start.isoformat() if self.start else "",
            "end_date": self.end.isoformat() if self.end else "",
            "hidden_jewelry": entries(self.hidden),
            "in_stock": self.in_stock,
        }
        return {name: value for name, value in found.items() if value not in ("", None, [], False)}

    @property
    def needs(self) -> dict[str, Any]:
        """All of it."""
        found = {
            **self.filters,
            "color": self.color.strip(),
            "target_audience": self.audience,
            "manual_prompt": self.words.strip(),
            "category_description": entries(self.styles),
            "extra_jewelry": entries(self.pinned),
            "collection_size": self.size,
        }
        return {name: value for name, value in found.items() if value not in ("", None, [])}

    @property
    def counted(self) -> tuple[tuple[str, Any], ...]:
        """The filters as something that can be a key."""
        return tuple(
            (name, tuple(value) if isinstance(value, list) else value) for name, value in sorted(self.filters.items())
        )


def entries(text: str) -> list[str]:
    """Entries of a list that is written with commas or on lines of their own."""
    return [entry.strip() for entry in text.replace("\n", ",").split(",") if entry.strip()]


def rows(answer: Mapping[str, Any]) -> list[dict[str, object]]:
    """Rows of the file, best first."""
    return [
        {
            "place": place,
            "id": str(match.get("id") or ""),
            "score": round(float(match.get("score") or 0.0), 4),
            "similarity": round(float(match.get("similarity") or 0.0), 4),
            "style": str(match.get("style") or ""),
            "words": ", ".join(match.get("words") or ()),
            "pinned": "yes" if match.get("pinned") else "",
            "why": str(match.get("why") or ""),
        }
        for place, match in enumerate(answer.get("matches") or (), start=1)
    ]
