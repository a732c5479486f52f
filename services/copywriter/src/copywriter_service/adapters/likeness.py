"""Embeddings of pictures for the resemblance check: the Protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Embedded:
    """Vectors of pictures, shape (pictures, dimension), not normalised.

    Attributes:
        similar_distance: Squared L2 below which two pictures show similar products; the model's own.
        knows_products: False for a descriptor that compares whole photos, not what they show.
    """

    vectors: Vectors
    similar_distance: float
    knows_products: bool


class Embedder(Protocol):
    """Turns pictures into vectors."""

    async def embed(self, pictures: Sequence[bytes]) -> Embedded:
        """Vectors of encoded pictures.

        Raises:
            errors.ServiceError: The service cannot be reached, is slow, or cannot read one of them.
        """
        ...

    async def close(self) -> None:
        """Ends connections."""
        ...
