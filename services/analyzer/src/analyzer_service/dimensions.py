"""Sizes of a product beside a ruler: the ruler's ticks give the scale, the product's outline the sizes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from analyzer_service.adapters.base import AdapterInfo
from analyzer_service.pricing import Cost
from analyzer_service.prompts import CATEGORIES
from servicekit import errors, images

MOST_PICTURES = 8
SIDE = 1600
# No piece of jewelry is longer than a metre, and none is measured below half a millimetre.
LEAST_MM, MOST_MM = 0.5, 1000.0


@dataclass(frozen=True)
class Measurement:
    """A length in millimetres with half the width of its error bar, and what it was measured against."""

    name: str
    millimetres: float
    error: float
    evidence: str


@dataclass(frozen=True)
class Sizes:
    """Measurements; empty, with the reasons, where no picture has a scale."""

    measurements: tuple[Measurement, ...] = ()
    warnings: tuple[str, ...] = ()
    cost: Cost = field(default_factory=Cost)


class Measurer(Protocol):
    """Measures products in pictures."""

    async def measure(self, pictures: Sequence[bytes], product_type: str) -> Sizes:
        """Sizes; empty where no scale is seen."""
        ...

    async def info(self) -> AdapterInfo:
        """Who answers."""
        ...


@dataclass
class Dimensions:
    """The domain of sizes."""

    measurer: Measurer

    async def measure(self, pictures: Sequence[bytes], product_type: str) -> tuple[Sizes, AdapterInfo]:
        """Measures a product.

        Raises:
            errors.InvalidArgument: A picture cannot be read, or the product type is unknown.
            errors.ServiceError: As the adapter.
        """
        if not 1 <= len(pictures) <= MOST_PICTURES:
            raise errors.InvalidArgument(
                f"give 1 to {MOST_PICTURES} pictures of one product", fields={"pictures": f"1 to {MOST_PICTURES}"}
            )
        if product_type and product_type not in CATEGORIES:
            raise errors.InvalidArgument(
                f"product_type must be empty or one of {', '.join(CATEGORIES)}",
                reason="UNKNOWN_PRODUCT_TYPE",
                fields={"product_type": f"not one of {', '.join(CATEGORIES)}"},
            )
        for number, data in enumerate(pictures):
            try:
                await asyncio.to_thread(images.decode_rgb, data, min_side=64)
            except errors.InvalidArgument as error:
                raise errors.InvalidArgument(
                    f"picture {number + 1}: {error.message}",
                    reason=error.reason,
                    fields={f"pictures[{number}].content": error.message},
                ) from error
        sizes = await self.measurer.measure(pictures, product_type)
        kept = tuple(
            item
            for item in sizes.measurements
            if LEAST_MM <= item.millimetres <= MOST_MM and 0 < item.error < item.millimetres
        )
        return Sizes(kept, sizes.warnings, sizes.cost), await self.measurer.info()
