"""Reads a picture that comes in: its print, and its vector from the embedding service."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from objectstore.threads import Threads
from servicekit import errors, images
from vision_index_service import thresholds_file
from vision_index_service.fingerprint import fingerprint
from vision_index_service.model import Embedder, EmbeddingModel, Print, Vector
from vision_index_service.shown import shown_jpeg
from vision_index_service.thresholds_file import Calibrated, Curve
from vision_index_service.verdict import Thresholds


@dataclass(frozen=True)
class Policy:
    """What an operator may set; None leaves it to the model. Distances are squared L2.

    ``calibrated`` holds the thresholds of the thresholds file, by model id.
    """

    duplicate_distance: float | None = None
    similar_distance: float | None = None
    cross_website: str = "report"
    calibrated: Mapping[str, Calibrated] = field(default_factory=dict)


class Reader:
    """Prints in threads, vectors from the service, and the thresholds that belong to them."""

    def __init__(self, embedder: Embedder, policy: Policy) -> None:
        self._embedder, self._policy = embedder, policy
        self._decoders = Threads("the picture decoder", "DECODER", workers=2, waiting=64, timeout=30.0)

    async def model(self) -> EmbeddingModel:
        """The model that answers now."""
        return await self._embedder.model()

    async def print(self, image: bytes) -> Print:
        """The picture's print. Raises ``errors.InvalidArgument`` for what is no picture, or a damaged one."""
        return await self._decoders.run(lambda: fingerprint(image))

    async def shown(self, image: bytes) -> bytes | None:
        """A JPEG for browsers and marketplaces, where they do not take the file itself; else None."""
        return await self._decoders.run(lambda: shown_jpeg(image))

    async def vector(self, image: bytes) -> tuple[Vector, EmbeddingModel]:
        """The picture's vector and its model. Raises ``errors.Internal`` for a vector that cannot be used."""
        images.inspect(image)
        return _checked(*await self._embedder.embed_image(image))

    async def both(self, image: bytes) -> tuple[Print, Vector, EmbeddingModel]:
        """Print and vector at once."""
        seen, (vector, model) = await asyncio.gather(self.print(image), self.vector(image))
        return seen, vector, model

    async def vectors(self, images: Sequence[bytes]) -> tuple[list[Vector | errors.ServiceError], EmbeddingModel]:
        """A vector, or why there is none, for each picture, behind those that people wait for."""
        outcomes, model = await self._embedder.embed_bulk(images)
        return [_checked_or_error(outcome, model) for outcome in outcomes], model

    async def text_vector(self, text: str) -> tuple[Vector, EmbeddingModel]:
        """The text's vector in the space of the pictures."""
        return _checked(*await self._embedder.embed_text(text))

    def curve(self, model: EmbeddingModel) -> Curve | None:
        """The model's error rates by threshold: the calibrated ones over those that come with the system."""
        calibrated = self._policy.calibrated.get(model.id)
        return (calibrated.curve if calibrated else None) or thresholds_file.shipped().get(model.id)

    def thresholds(self, model: EmbeddingModel, asked: float | None = None) -> Thresholds:
        """The request's threshold over the configured over the calibrated over the model's own."""
        if calibrated := self._policy.calibrated.get(model.id):
            model = calibrated.of(model)
        return Thresholds.of(model, self._policy.duplicate_distance, self._policy.similar_distance, asked)

    async def close(self) -> None:
        """Lets go of the decoders' threads."""
        self._decoders.close()


def _checked(vector: Vector, model: EmbeddingModel) -> tuple[Vector, EmbeddingModel]:
    """A vector that is not what the model promises would poison every search."""
    if vector.shape != (model.dimension,) or not np.isfinite(vector).all():
        raise errors.Internal(
            f"the embedding model {model.id} gave a vector that cannot be used", reason="VECTOR_INVALID"
        )
    return vector, model


def _checked_or_error(outcome: Vector | errors.ServiceError, model: EmbeddingModel) -> Vector | errors.ServiceError:
    if isinstance(outcome, errors.ServiceError):
        return outcome
    try:
        return _checked(outcome, model)[0]
    except errors.Internal as error:
        return error
