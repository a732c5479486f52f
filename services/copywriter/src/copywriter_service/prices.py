"""What tokens cost, from `data/prices.toml` and the operator's settings."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from copywriter_service.domain import Cost
from copywriter_service.rulebook import DATA

OPERATOR = "set by the operator"


@dataclass(frozen=True)
class Price:
    """Rupees per million tokens, which are millionths of a rupee per token; `source` says who told them."""

    input: float
    output: float
    source: str

    def cost(self, input_tokens: int, output_tokens: int) -> Cost:
        """The cost of one call."""
        micros = round(input_tokens * self.input + output_tokens * self.output)
        return Cost(1, input_tokens, output_tokens, micros)


@dataclass(frozen=True)
class Tariff:
    """The price of one model, or that it is not known.

    Attributes:
        settings: Names of the variables that set it, for people.
    """

    model: str
    price: Price | None
    settings: str

    def cost(self, input_tokens: int, output_tokens: int) -> Cost:
        """The cost of one call; without a price its money is 0, and `note` says so."""
        if self.price is None:
            return Cost(1, input_tokens, output_tokens)
        return self.price.cost(input_tokens, output_tokens)

    @property
    def note(self) -> str:
        """What an operator should know; empty where a price is known."""
        if self.price is not None:
            return ""
        return f"no price is known for {self.model}: costs are told in tokens; set {self.settings}"


def tariff(model: str, input_price: float | None, output_price: float | None, settings: str) -> Tariff:
    """The tariff of a model.

    Args:
        model: Id of the model.
        input_price, output_price: Rupees per million tokens as the operator set them; both or none.
        settings: Names of the variables behind them.
    """
    if input_price is not None and output_price is not None:
        return Tariff(model, Price(input_price, output_price, OPERATOR), settings)
    listed = _table()["models"].get(model)
    return Tariff(model, Price(**listed) if listed else None, settings)


def planned_tokens(pictures: int, quality: str, width: int, height: int) -> tuple[int, int]:
    """Tokens that one made picture is expected to read and to write; rather too many than too few."""
    plan = _table()["picture_plan"]
    area = width * height / 1024**2
    read = plan["prompt_tokens"] + pictures * plan["input_tokens_per_picture"]
    return read, round(plan["output_tokens"][quality] * max(1.0, area))


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    with (DATA / "prices.toml").open("rb") as file:
        return tomllib.load(file)
