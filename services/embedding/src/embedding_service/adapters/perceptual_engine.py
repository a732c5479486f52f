"""The perceptual descriptor as an engine: no weights, no device, no text tower."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from embedding_service import descriptor
from embedding_service.decoding import decoded
from embedding_service.engine import ModelCard, Vectors
from servicekit import errors

# JPEGs are decoded at a reduced scale down to this side: the descriptor looks no closer.
_MIN_SIDE = 448


def describe_file(data: bytes) -> NDArray[np.float32]:
    """Encoded file to its descriptor, float32 (512,)."""
    with decoded(data, _MIN_SIDE) as (_, image):
        return descriptor.describe(image)


class PerceptualEngine:
    """Everything happens in `preprocess`.

    Args:
        max_batch: Most pictures in one pass.
        detail: Why this engine answers, for operators.
    """

    preprocess = staticmethod(describe_file)

    def __init__(self, *, max_batch: int = 64, detail: str = "") -> None:
        calibrated = thresholds()
        recipe = {"descriptor": descriptor.VERSION, "min_side": _MIN_SIDE}
        self.max_batch = max_batch
        self.card = ModelCard(
            name="perceptual",
            revision=str(descriptor.VERSION),
            weights_sha256="",
            preprocessing_sha256=hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest(),
            dtype="float32",
            engine="perceptual",
            device="cpu",
            dimension=descriptor.DIMENSION,
            has_text_tower=False,
            duplicate_distance=calibrated["duplicate_distance"],
            similar_distance=calibrated["similar_distance"],
            detail=detail,
        )

    def infer(self, batch: Sequence[NDArray[np.float32]]) -> Vectors:
        """Stacks what is already computed."""
        return np.stack(batch)

    def tokenize(self, text: str) -> NDArray[np.float32]:
        """There is no text tower."""
        raise errors.Unimplemented("the perceptual descriptor embeds pictures only", reason="NO_TEXT_TOWER")

    def infer_texts(self, batch: Sequence[NDArray[np.float32]]) -> Vectors:
        """There is no text tower."""
        raise errors.Unimplemented("the perceptual descriptor embeds pictures only", reason="NO_TEXT_TOWER")

    def warm_up(self) -> None:
        """Nothing to warm."""

    def close(self) -> None:
        """Nothing to release."""


def thresholds() -> dict[str, float]:
    """The calibrated thresholds that ship with the descriptor, squared L2."""
    text = resources.files("embedding_service").joinpath("perceptual_thresholds.json").read_text(encoding="utf-8")
    parsed = json.loads(text)
    if parsed["descriptor"] != descriptor.VERSION:
        raise errors.FailedPrecondition(
            f"the thresholds are of descriptor {parsed['descriptor']}, not {descriptor.VERSION}: calibrate again",
            reason="THRESHOLDS_STALE",
        )
    return {name: float(parsed[name]) for name in ("duplicate_distance", "similar_distance")}
