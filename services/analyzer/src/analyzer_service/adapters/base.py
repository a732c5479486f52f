"""What the domain needs of an analyzer of pictures and of an embedder of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from analyzer_service.fields import Answer
from analyzer_service.pixels import Facts
from analyzer_service.pricing import Cost
from marketplaces import Field


class Task(Enum):
    """What a text embedding is for."""

    DOCUMENT = "document"
    QUERY = "query"


@dataclass(frozen=True)
class View:
    """One picture of a product, decoded.

    Attributes:
        picture: upright RGB, longest side at most `VisionAnalyzer.wanted_side` or as in the file.
        facts: what was measured in its pixels.
        name: such as "front"; may be empty.
    """

    picture: Image.Image
    facts: Facts
    name: str = ""


@dataclass(frozen=True)
class AdapterInfo:
    """Who answers.

    Attributes:
        role: such as "vision" or "text_embedding".
        name: such as "gemini" or "local".
        embedded: whether it stands in for the real system.
        model_id: model or version.
        detail: what an operator should know.
        shutdown_date: ISO date at which the model ends; empty when none is known.
    """

    role: str
    name: str
    embedded: bool
    model_id: str = ""
    detail: str = ""
    shutdown_date: str = ""


@dataclass(frozen=True)
class Reading:
    """Answers to all fields.

    Attributes:
        answers: by technical name of the field.
        model_id, prompt_version: who was asked what; empty where no model was asked.
        category: "earrings", "necklace", "bracelet", "ring"; empty when not known.
        warnings: sentences for people.
    """

    answers: Mapping[str, Answer]
    model_id: str = ""
    prompt_version: str = ""
    category: str = ""
    warnings: tuple[str, ...] = ()
    cost: Cost = field(default_factory=Cost)


@dataclass(frozen=True)
class CaptionDraft:
    """A name and a description; empty where not known."""

    name: str = ""
    description: str = ""
    attributes: tuple[str, ...] = ()
    color: str = ""
    product_type: str = ""
    warnings: tuple[str, ...] = ()
    cost: Cost = field(default_factory=Cost)


class VisionAnalyzer(Protocol):
    """Reads pictures."""

    @property
    def wanted_side(self) -> int:
        """Longest side in pixels that it makes use of."""
        ...

    async def read_fields(self, fields: Sequence[Field], views: Sequence[View], facts: Facts, notes: str) -> Reading:
        """Answers every field; what cannot be seen gets an empty answer with its reason."""
        ...

    async def caption(self, views: Sequence[View], facts: Facts, product_type: str) -> CaptionDraft:
        """Names and describes a product."""
        ...

    async def info(self) -> AdapterInfo:
        """Who answers."""
        ...


class TextEmbedder(Protocol):
    """Turns texts into vectors."""

    @property
    def model_id(self) -> str:
        """Model and size; vectors of two ids are never compared."""
        ...

    async def embed(self, texts: Sequence[str], task: Task) -> tuple[NDArray[np.float32], Cost]:
        """Unit vectors, shape (texts, dimensions), in the order of the texts."""
        ...

    async def info(self) -> AdapterInfo:
        """Who answers."""
        ...
