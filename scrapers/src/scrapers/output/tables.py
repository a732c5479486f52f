"""The tables that every format draws from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from scrapers.outcome import Failure, Picture, Upload
from scrapers.record import Record

Cell = str | int | float | Decimal | bool | datetime | None
PictureKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Results:
    """All that a run has to show. `records` is called for each pass, so that no format needs them all in memory."""

    records: Callable[[], Iterable[Record]]
    pictures: Mapping[PictureKey, Picture] = field(default_factory=dict)
    uploads: Mapping[PictureKey, Upload] = field(default_factory=dict)
    failures: Sequence[Failure] = ()


PRODUCT_COLUMNS = (
    "site",
    "product_id",
    "alternate_id",
    "url",
    "title",
    "brand",
    "price",
    "price_to",
    "mrp",
    "currency",
    "rating",
    "ratings_count",
    "availability",
    "seller",
    "category_path",
    "bullets",
    "description",
    "specifications",
    "image",
    "images",
    "image_count",
    "videos",
    "variants",
    "scraped_at",
    "parser_version",
)
IMAGE_COLUMNS = ("product_id", "place", "kind", "url", "file", "media_type", "width", "height", "bytes", "problem")
SPECIFICATION_COLUMNS = ("product_id", "group", "name", "value")
VARIANT_COLUMNS = ("product_id", "variant_id", "options", "available", "price")
CATALOGUE_COLUMNS = ("product_id", "url", "status", "verdict", "stored_url", "matches", "problem")
FAILURE_COLUMNS = ("kind", "key", "url", "status", "reason")


def product_row(record: Record, separator: str) -> list[Cell]:
    """One product in PRODUCT_COLUMNS; lists are joined by the separator."""
    joined: dict[str, Cell] = {
        "category_path": " > ".join(record.category_path),
        "bullets": separator.join(record.bullets),
        "specifications": separator.join(f"{row.name}: {row.value}" for row in record.specifications),
        "image": record.images[0] if record.images else "",
        "images": separator.join(record.images),
        "image_count": len(record.images),
        "videos": separator.join(record.videos),
        "variants": separator.join(options(variant.options) for variant in record.variants),
    }
    return [joined[name] if name in joined else getattr(record, name) for name in PRODUCT_COLUMNS]


def options(pairs: Iterable[tuple[str, str]]) -> str:
    """A variant's options in one text."""
    return ", ".join(f"{name}: {value}" for name, value in pairs)


def image_rows(results: Results) -> Iterator[list[Cell]]:
    """One row per picture and video; file and sizes where pictures were downloaded."""
    for record in results.records():
        for place, url in enumerate(record.images, 1):
            had = results.pictures.get((record.product_id, url), Picture(record.product_id, url))
            sizes: list[Cell] = [had.width or None, had.height or None, had.bytes or None]
            yield [record.product_id, place, "image", url, had.file, had.media_type, *sizes, had.reason]
        for place, url in enumerate(record.videos, 1):
            yield [record.product_id, place, "video", url, "", "", None, None, None, ""]


def specification_rows(results: Results) -> Iterator[list[Cell]]:
    """One row per specification."""
    for record in results.records():
        for row in record.specifications:
            yield [record.product_id, row.group, row.name, row.value]


def variant_rows(results: Results) -> Iterator[list[Cell]]:
    """One row per variant."""
    for record in results.records():
        for variant in record.variants:
            said: list[Cell] = [options(variant.options), variant.available, variant.price]
            yield [record.product_id, variant.product_id, *said]


def catalogue_rows(results: Results) -> Iterator[list[Cell]]:
    """One row per picture that was sent to the catalogue."""
    for sent in results.uploads.values():
        said: list[Cell] = [sent.status, sent.verdict, sent.stored_url, sent.matches, sent.reason]
        yield [sent.product_id, sent.url, *said]


def failure_rows(results: Results) -> Iterator[list[Cell]]:
    """One row per page that could not be had."""
    for failure in results.failures:
        yield [failure.kind, failure.key, failure.url, failure.status, failure.reason]
