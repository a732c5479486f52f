"""Parquet with nested columns: lists stay lists, money stays decimal."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from scrapers.output.tables import Results
from scrapers.record import Record

ROWS_PER_GROUP = 1_000

_MONEY = pa.decimal128(12, 2)
_OPTION = pa.struct([("name", pa.string()), ("value", pa.string())])
_VARIANT = pa.struct(
    [("product_id", pa.string()), ("options", pa.list_(_OPTION)), ("available", pa.bool_()), ("price", _MONEY)]
)
_SPECIFICATION = pa.struct([("group", pa.string()), ("name", pa.string()), ("value", pa.string())])
SCHEMA = pa.schema(
    [
        ("site", pa.string()),
        ("product_id", pa.string()),
        ("alternate_id", pa.string()),
        ("url", pa.string()),
        ("title", pa.string()),
        ("brand", pa.string()),
        ("price", _MONEY),
        ("price_to", _MONEY),
        ("mrp", _MONEY),
        ("currency", pa.string()),
        ("rating", pa.float64()),
        ("ratings_count", pa.int64()),
        ("availability", pa.string()),
        ("seller", pa.string()),
        ("bullets", pa.list_(pa.string())),
        ("description", pa.string()),
        ("specifications", pa.list_(_SPECIFICATION)),
        ("category_path", pa.list_(pa.string())),
        ("images", pa.list_(pa.string())),
        ("videos", pa.list_(pa.string())),
        ("variants", pa.list_(_VARIANT)),
        ("scraped_at", pa.timestamp("us", tz="UTC")),
        ("parser_version", pa.string()),
    ]
)


def write(path: Path, results: Results) -> None:
    """Writes the file, a group of rows at a time."""
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        rows = (_row(record) for record in results.records())
        for group in _groups(rows):
            writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))


def _row(record: Record) -> dict[str, Any]:
    row = record.model_dump()
    for variant in row["variants"]:
        variant["options"] = [{"name": name, "value": value} for name, value in variant["options"]]
    return row


def _groups(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while group := list(islice(rows, ROWS_PER_GROUP)):
        yield group
