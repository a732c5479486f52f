"""What is configured about models: what calls cost, when models end, how much may be asked of them."""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from analyzer_service.quota import Limits
from servicekit import errors


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


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Price(_Entry):
    """Dollars per million tokens; `image`: of tokens that are made pictures; `until`: last day that it holds."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    image: float | None = Field(None, ge=0)
    until: datetime.date | None = None


class _Quota(_Entry):
    requests_per_minute: int | None = Field(None, ge=1)
    tokens_per_minute: int | None = Field(None, ge=1)
    requests_per_day: int | None = Field(None, ge=1)
    tokens_per_day: int | None = Field(None, ge=1)


class _Table(_Entry):
    prices: dict[str, list[_Price]] = {}
    shutdown: dict[str, datetime.date] = {}
    quotas: dict[str, _Quota] = {}
    groups: dict[str, dict[str, _Quota]] = {}


class Models:
    """The table of models: `data/models.toml`, and a file of the seller's over it.

    Args:
        path: A file of the same form; its entries win.
        defaults: Limits where the table says nothing.
        inr_per_usd: Rupees for a dollar.
        today: The date, injected in tests.

    Raises:
        errors.FailedPrecondition: The file cannot be read (BAD_SETTINGS).
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        defaults: Limits | None = None,
        inr_per_usd: float = 90.0,
        today: Callable[[], datetime.date] = datetime.date.today,
    ) -> None:
        table = _read(files("analyzer_service").joinpath("data/models.toml").read_text(encoding="utf-8"))
        if path is not None:
            own = _from_file(path)
            table = _Table(
                prices=table.prices | own.prices,
                shutdown=table.shutdown | own.shutdown,
                quotas=table.quotas | own.quotas,
                groups=table.groups | own.groups,
            )
        self._table = table
        self._defaults = defaults or Limits()
        self._inr_per_usd = inr_per_usd
        self._today = today

    def cost(self, model: str, input_tokens: int, output_tokens: int, image_tokens: int = 0) -> Cost:
        """The cost of one call; `image_tokens` are those of the output that are made pictures."""
        price = self._price(model)
        usd_micros = 0.0
        if price is not None:
            # Dollars per million tokens x tokens = millionths of a dollar.
            image = price.output if price.image is None else price.image
            usd_micros = price.input * input_tokens + price.output * (output_tokens - image_tokens)
            usd_micros += image * image_tokens
        return Cost(1, input_tokens, output_tokens, round(usd_micros * self._inr_per_usd))

    def shutdown_date(self, model: str) -> str:
        """ISO date at which the provider ends a model, as far as it was announced; empty when none is known."""
        date = self._table.shutdown.get(model)
        return date.isoformat() if date else ""

    def limits(self, group: str, model: str) -> Limits:
        """What a group may ask of a model: its own limits, else the model's, else the defaults, each by itself.

        The list of models is no model: it has no quota of this kind.
        """
        if model == "models.list":
            return Limits()
        own = self._table.groups.get(group, {}).get(model, _Quota())
        common = self._table.quotas.get(model, _Quota())
        names = ("requests_per_minute", "tokens_per_minute", "requests_per_day", "tokens_per_day")
        return Limits(*(getattr(own, n) or getattr(common, n) or getattr(self._defaults, n) for n in names))

    def _price(self, model: str) -> _Price | None:
        today = self._today()
        for price in self._table.prices.get(model, []):
            if price.until is None or today <= price.until:
                return price
        return None


def _read(text: str) -> _Table:
    return _Table.model_validate(tomllib.loads(text))


def _from_file(path: Path) -> _Table:
    try:
        return _read(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        where = "; ".join(".".join(map(str, item["loc"])) for item in error.errors()) if (
            isinstance(error, ValidationError)
        ) else str(error)  # fmt: skip
        raise errors.FailedPrecondition(
            f"MODELS_FILE {path} cannot be used: {where}; see analyzer_service/data/models.toml for its form",
            reason="BAD_SETTINGS",
        ) from None
