"""From photos to a workbook: the steps that each product goes through, and whom they ask.

A product's steps take and give plain data (see `model`), each can be repeated, and none knows of the others' products:
one that fails leaves its neighbours alone, and a durable workflow can keep the result of each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway_service.model import (
    Analysis,
    Order,
    Picture,
    PictureFacts,
    ProductTask,
    Row,
    Workbook,
    WrittenCopy,
)
from servicekit import errors, images

# One message takes all pictures of a product; gRPC takes 64 MiB.
MAX_PRODUCT_BYTES = 48 * 1024 * 1024


class Images(Protocol):
    """Gives the picture at an address, ours or outside."""

    async def load(self, url: str) -> Picture:
        """The picture; raises `errors.ServiceError` with a sentence for people."""
        ...


class Analyzer(Protocol):
    """Reads a product's fields from its pictures."""

    async def analyze(self, task: ProductTask, pictures: Sequence[Picture]) -> Analysis:
        """Every vision field of the marketplace code, empty ones included."""
        ...


class Copywriter(Protocol):
    """Writes title, bullet points and description."""

    async def write_copy(self, task: ProductTask, analysis: Analysis, pictures: Sequence[Picture]) -> WrittenCopy:
        """The copy, new or from the cache."""
        ...


class Exporter(Protocol):
    """Fills workbooks."""

    async def field_options(self, order: Order) -> Mapping[str, tuple[str, ...]]:
        """Allowed values by field of the seller's own template; empty for a built-in one."""
        ...

    async def export(self, order: Order, rows: Sequence[Row]) -> Workbook:
        """Writes the rows into one workbook."""
        ...


class ProductSteps:
    """The work on one product, step by step.

    Pictures are held for as long as this object lives and are loaded again where a step is resumed without them: they
    are too large to be kept as the result of a step.
    """

    def __init__(self, task: ProductTask, pictures: Images, analyzer: Analyzer, copywriter: Copywriter) -> None:
        self._task = task
        self._images = pictures
        self._analyzer = analyzer
        self._copywriter = copywriter
        self._loaded: tuple[Picture, ...] | None = None

    async def fetch(self) -> tuple[PictureFacts, ...]:
        """Loads the pictures and checks them from their headers."""
        return tuple(_facts(picture) for picture in await self._pictures())

    async def analyze(self) -> Analysis:
        """Reads the fields from the pictures."""
        return await self._analyzer.analyze(self._task, await self._pictures())

    async def write_copy(self, analysis: Analysis) -> WrittenCopy:
        """Writes the copy from the pictures and the fields."""
        return await self._copywriter.write_copy(self._task, analysis, await self._pictures())

    async def _pictures(self) -> tuple[Picture, ...]:
        if self._loaded is None:
            if not self._task.image_urls:
                raise errors.InvalidArgument("the product has no picture; send its address", reason="IMAGE_MISSING")
            loaded = []
            size = 0
            for url in self._task.image_urls:
                loaded.append(await self._images.load(url))
                size += len(loaded[-1].content)
                if size > MAX_PRODUCT_BYTES:
                    raise errors.InvalidArgument(
                        f"the product's pictures are larger than {MAX_PRODUCT_BYTES // 2**20} MiB together; send fewer",
                        reason="IMAGE_TOO_LARGE",
                    )
            self._loaded = tuple(loaded)
        return self._loaded


def tasks(order: Order, options: Mapping[str, tuple[str, ...]]) -> list[ProductTask]:
    """One task per product, each with all that its steps need."""
    seller = order.seller
    return [
        ProductTask(
            sku=sku,
            image_urls=urls,
            code=order.code,
            notes="\n".join(note for note in (seller.notes, seller.notes_by_sku.get(sku, "")) if note),
            brand=seller.values_by_sku.get(sku, {}).get("brand", seller.brand),
            brand_voice=seller.brand_voice,
            claims=seller.claims,
            language=seller.language,
            field_options=options,
        )
        for sku, urls in order.products
    ]


def _facts(picture: Picture) -> PictureFacts:
    info = images.inspect(picture.content)
    digest = hashlib.sha256(picture.content).hexdigest()
    return PictureFacts(picture.url, digest, len(picture.content), info.content_type, info.width, info.height)
