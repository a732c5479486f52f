"""What calls cost, in millionths of a rupee, from `data/models.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Cost:
    """What a request cost; `inr_micros` are millionths of a rupee, 0 where no price is known."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    inr_micros: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.inr_micros + other.inr_micros,
        )


@lru_cache(maxsize=1)
def _models() -> dict[str, Any]:
    return tomllib.loads(files("analyzer_service").joinpath("data/models.toml").read_text(encoding="utf-8"))


def cost_of(model: str, input_tokens: int, output_tokens: int, inr_per_usd: float) -> Cost:
    """The cost of one call."""
    price = _models()["prices"].get(model)
    # Dollars per million tokens x tokens = millionths of a dollar.
    usd_micros = price["input"] * input_tokens + price["output"] * output_tokens if price else 0.0
    return Cost(1, input_tokens, output_tokens, round(usd_micros * inr_per_usd))


def shutdown_date(model: str) -> str:
    """ISO date at which the provider ends a model, as far as it was announced; empty when none is known."""
    return str(_models()["shutdown"].get(model, ""))
