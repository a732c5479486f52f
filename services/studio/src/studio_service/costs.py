"""Costs by day and marketplace as the chart shows them; plain data in, plain data out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

COLUMNS = ("day", "marketplace", "marketplace_type", "products", "calls", "input_tokens", "output_tokens", "inr")


@dataclass(frozen=True)
class Costs:
    """What products cost, one row per day and marketplace code, oldest first; money in rupees."""

    rows: tuple[Mapping[str, Any], ...]

    @property
    def rupees(self) -> float:
        """All of it."""
        return sum(float(row["inr"]) for row in self.rows)

    @property
    def products(self) -> int:
        """Products that were worked on."""
        return sum(int(row["products"]) for row in self.rows)

    def bars(self, last: date, days: int) -> list[dict[str, object]]:
        """Rupees by day and marketplace; days without any are there as well, so that the axis is one of time."""
        sums: dict[tuple[str, str], float] = {}
        for row in self.rows:
            key = (str(row["day"]), str(row["marketplace"]))
            sums[key] = sums.get(key, 0.0) + float(row["inr"])
        marketplaces = sorted({marketplace for _, marketplace in sums})
        every = [(last - timedelta(days=back)).isoformat() for back in range(days - 1, -1, -1)]
        return [
            {"day": day, "marketplace": marketplace, "inr": round(sums.get((day, marketplace), 0.0), 2)}
            for day in every
            for marketplace in marketplaces
        ]


def costs(told: Sequence[Mapping[str, Any]]) -> Costs:
    """What /system tells."""
    return Costs(
        tuple(
            {
                "day": str(one["day"]),
                "marketplace": str(one["marketplace"]),
                "marketplace_type": str(one["marketplace_type"]),
                "products": int(one["products"]),
                **{name: one["cost"].get(name, 0) for name in COLUMNS[4:]},
            }
            for one in told
        )
    )
