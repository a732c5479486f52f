"""The thresholds that calibration found, one entry per model, in a JSON file that people may read and change."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from servicekit import errors
from vision_index_service.model import EmbeddingModel


@dataclass(frozen=True)
class Calibrated:
    """Squared L2 distances below which pictures of a model are duplicates, or similar."""

    duplicate: float
    similar: float

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


def write(file: Path, model_id: str, found: Calibrated, about: Mapping[str, object]) -> None:
    """Puts a model's thresholds into the file, beside those of other models; ``about`` is for people."""
    read(file)  # one that cannot be read is not overwritten
    models = json.loads(file.read_text(encoding="utf-8"))["models"] if file.exists() else {}
    models[model_id] = {"duplicate_distance": found.duplicate, "similar_distance": found.similar, **about}
    file.parent.mkdir(parents=True, exist_ok=True)
    whole = file.with_name(f"{file.name}.new")
    whole.write_text(json.dumps({"models": models}, indent=2) + "\n", encoding="utf-8")
    os.replace(whole, file)


def _entry(told: Mapping[str, object]) -> Calibrated:
    duplicate, similar = (float(str(told[name])) for name in ("duplicate_distance", "similar_distance"))
    if not (math.isfinite(similar) and 0 <= duplicate <= similar):
        raise ValueError("thresholds must be numbers, duplicate_distance at most similar_distance")
    return Calibrated(duplicate, similar)


def _unusable(file: Path, what: str) -> errors.ServiceError:
    return errors.FailedPrecondition(
        f"the thresholds file {file.name} {what}; calibrate again, or change THRESHOLDS_FILE",
        reason="THRESHOLDS_FILE_UNUSABLE",
    )
