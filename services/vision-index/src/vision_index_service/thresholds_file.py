"""The thresholds that calibration found, one entry per model, in a JSON file that people may read and change."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from servicekit import errors
from vision_index_service.model import EmbeddingModel

# Curves of the embedded model over the labelled samples; see `calibrate --curve`.
_SHIPPED = Path(__file__).with_name("curves.json")


@dataclass(frozen=True)
class Rates:
    """Shares of pairs that a threshold gets wrong.

    ``duplicate_match``: other photos below it. ``duplicate_miss``: one photo's variants that are not below it;
    ``duplicate_miss_all``: of those, what bytes, pixels and hashes do not tell either. ``similar_match``: different
    products below it. ``similar_miss``: other views of one product that are not.
    """

    threshold: float
    duplicate_match: float
    duplicate_miss: float
    duplicate_miss_all: float
    similar_match: float
    similar_miss: float


@dataclass(frozen=True)
class Curve:
    """Error rates by rising threshold, and how many pairs they were measured with."""

    pairs: int
    rates: tuple[Rates, ...]

    def told(self) -> dict[str, object]:
        """As it stands in a file."""
        return {"pairs": self.pairs, "rates": [[round(value, 4) for value in astuple(one)] for one in self.rates]}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Curve | None:
        """The curve of an entry; None for one that has none."""
        if not told.get("rates"):
            return None
        rates = tuple(Rates(*(float(value) for value in one)) for one in told["rates"])
        return cls(int(told.get("pairs") or 0), rates)


@dataclass(frozen=True)
class Calibrated:
    """Squared L2 distances below which pictures of a model are duplicates, or similar."""

    duplicate: float
    similar: float
    curve: Curve | None = None

    def of(self, model: EmbeddingModel) -> EmbeddingModel:
        """The model with these thresholds instead of those that it came with."""
        return replace(model, duplicate_distance=self.duplicate, similar_distance=self.similar)


def read(file: Path, must_exist: bool = False) -> dict[str, Calibrated]:
    """Thresholds by model id; none when there is no file.

    Raises ``errors.FailedPrecondition`` for a file that cannot be used, and for a missing one that ``must_exist``.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        if not must_exist:
            return {}
        raise _unusable(file, "does not exist") from None
    except OSError as error:
        raise _unusable(file, "cannot be read") from error
    try:
        return {str(model_id): _entry(told) for model_id, told in json.loads(text)["models"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unusable(
            file, 'is not like {"models": {"<model id>": {"duplicate_distance": 5, "similar_distance": 25}}}'
        ) from error


@cache
def shipped() -> dict[str, Curve]:
    """Curves of models that come with the system, by model id."""
    entries = json.loads(_SHIPPED.read_text(encoding="utf-8"))["models"]
    return {model_id: curve for model_id, told in entries.items() if (curve := Curve.of(told))}


def write(file: Path, model_id: str, found: Calibrated, about: Mapping[str, object]) -> None:
    """Puts a model's thresholds into the file, beside those of other models; ``about`` is for people."""
    read(file)  # one that cannot be read is not overwritten
    models = json.loads(file.read_text(encoding="utf-8"))["models"] if file.exists() else {}
    models[model_id] = {"duplicate_distance": found.duplicate, "similar_distance": found.similar, **about}
    _replace(file, models)


def write_curve(file: Path, model_id: str, curve: Curve) -> None:
    """Puts a model's curve into a file of curves, beside those of other models."""
    models = json.loads(file.read_text(encoding="utf-8"))["models"] if file.exists() else {}
    models[model_id] = curve.told()
    _replace(file, models)


def _replace(file: Path, models: Mapping[str, object]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    whole = file.with_name(f"{file.name}.new")
    # One entry a line: a curve is for programs, and has many numbers.
    lines = ",\n".join(f"  {json.dumps(model_id)}: {json.dumps(entry)}" for model_id, entry in models.items())
    whole.write_text(f'{{"models": {{\n{lines}\n}}}}\n', encoding="utf-8")
    os.replace(whole, file)


def _entry(told: Mapping[str, Any]) -> Calibrated:
    duplicate, similar = (float(str(told[name])) for name in ("duplicate_distance", "similar_distance"))
    if not (math.isfinite(similar) and 0 <= duplicate <= similar):
        raise ValueError("thresholds must be numbers, duplicate_distance at most similar_distance")
    return Calibrated(duplicate, similar, Curve.of(told))


def _unusable(file: Path, what: str) -> errors.ServiceError:
    return errors.FailedPrecondition(
        f"the thresholds file {file.name} {what}; calibrate again, or change THRESHOLDS_FILE",
        reason="THRESHOLDS_FILE_UNUSABLE",
    )
