"""What computes vectors: one small Protocol, and the identity that goes with every vector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class ModelCard:
    """Identity of a model; vectors of two ids are never compared.

    Attributes:
        name: Hub id, folder name, or `perceptual`.
        revision: Commit of a hub checkpoint; empty when unknown.
        weights_sha256: Over the weight files; empty for the perceptual descriptor.
        preprocessing_sha256: Over everything that decides how a file becomes the model's input.
        dtype: float32, bfloat16 or int8.
        engine: What computes: torch, openvino, perceptual.
        device: cpu or cuda:N.
        dimension: Numbers in a vector.
        has_text_tower: Whether texts can be embedded into the same space.
        duplicate_distance: Squared L2 below which two pictures show the same photo.
        similar_distance: Squared L2 below which two pictures show similar products.
        detail: Anything an operator should know.
    """

    name: str
    revision: str
    weights_sha256: str
    preprocessing_sha256: str
    dtype: str
    engine: str
    device: str
    dimension: int
    has_text_tower: bool
    duplicate_distance: float
    similar_distance: float
    detail: str = ""

    @property
    def id(self) -> str:
        """`name@weights/preprocessing`, hashes shortened; the key of collections and thresholds."""
        weights = f"@{self.weights_sha256[:12]}" if self.weights_sha256 else ""
        return f"{self.name}{weights}/{self.preprocessing_sha256[:8]}"


class Engine(Protocol):
    """A model on a device.

    `preprocess` and `tokenize` run on many threads at once and touch no device; `infer` and
    `infer_texts` run on one thread at a time.
    """

    card: ModelCard
    # Most items that `infer` takes.
    max_batch: int

    @property
    def preprocess(self) -> Callable[[bytes], Any]:
        """A function from an encoded file to the model's input, an array of the same size for every picture.

        It can be pickled without the engine, since it is called in other processes too, and raises
        `errors.InvalidArgument` where the file cannot be read or breaks a limit.
        """

    def infer(self, batch: Sequence[Any]) -> Vectors:
        """Inputs to vectors, float32 (len(batch), dimension), not normalised."""

    def tokenize(self, text: str) -> Any:
        """A text to the model's input; only where the card has a text tower."""

    def infer_texts(self, batch: Sequence[Any]) -> Vectors:
        """Tokenised texts to vectors, float32 (len(batch), dimension), not normalised."""

    def warm_up(self) -> None:
        """Makes the first real batch as fast as any; a failure here keeps the service from starting."""

    def close(self) -> None:
        """Releases the device."""
