"""How a row lies in a Milvus collection, and how rows of older schemas become rows of this one."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from pymilvus import CollectionSchema, DataType, MilvusClient

from vision_index_service.model import Filter, Print, Row, Vector

SCHEMA_VERSION = 2
"""Part of the collections' names. Raising it needs an entry in ``UPGRADES``; see ``milvus_migration``.

1: the first. 2: one partition per bucket, ``original_key``, ``print_version``.
"""
VECTOR = "vector"
_STRINGS = {  # column: most bytes
    "url": 4096,
    "bucket": 64,
    "object_key": 1024,
    "original_key": 1024,
    "website": 64,
    "sha_bytes": 64,
    "sha_pixels": 64,
    "hash_frame": 64,
    "hash_frame_mirrored": 64,
    "hash_box": 64,
    "hash_box_mirrored": 64,
    "colors": 256,
    "content_type": 64,
    "model_id": 512,
    "sku": 512,
    "original_name": 1024,
}
_NUMBERS = {
    "width": DataType.INT64,
    "height": DataType.INT64,
    "print_version": DataType.INT64,
    "created": DataType.INT64,
    "norm": DataType.DOUBLE,
}
_FILTERED = ("object_key", "sha_pixels")
_NOT_INVERTED = re.compile(r"v?2\.[0-3]\b")
COLUMNS = ["id", *_STRINGS, *_NUMBERS]
ID_BYTES = 64

UPGRADES: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    1: lambda entity: {**entity, "original_key": "", "print_version": 1},
}
"""What makes an entity of the next schema of one of this version."""


def collection_name(base: str, model_id: str, version: int = SCHEMA_VERSION) -> str:
    """``{base}_{8 hex digits of the model's id}_v{schema}``."""
    return f"{base}_{hashlib.sha256(model_id.encode()).hexdigest()[:8]}_v{version}"


def partition_name(bucket: str) -> str:
    """The partition of a bucket's rows. Milvus takes fewer characters than S3 does."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", bucket)
    return f"b_{plain}" if plain == bucket else f"b_{plain}_{hashlib.sha256(bucket.encode()).hexdigest()[:8]}"


def partitions(where: Filter, buckets: Iterable[str]) -> list[str]:
    """The partitions that rows which pass the filter can lie in, of those of the buckets."""
    return [
        partition_name(bucket) for bucket in buckets if bucket != where.not_bucket and where.bucket in (None, bucket)
    ]


def schema(dimension: int) -> CollectionSchema:
    """The collection's columns; ``id`` is the key."""
    made = MilvusClient.create_schema(
        auto_id=False, enable_dynamic_field=False, description=f"pictures, schema {SCHEMA_VERSION}"
    )
    made.add_field("id", DataType.VARCHAR, is_primary=True, max_length=ID_BYTES)
    for name, size in _STRINGS.items():
        made.add_field(name, DataType.VARCHAR, max_length=size)
    for name, kind in _NUMBERS.items():
        made.add_field(name, kind)
    made.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=dimension)
    return made


def indexes(client: MilvusClient, of: CollectionSchema, embedded: bool, version: str = "") -> Any:
    """HNSW on a server. Milvus Lite searches exactly: it is no slower there, and misses nothing.

    Milvus before 2.4, by its ``version``, has no inverted indexes; filters only take longer there.
    """
    made = client.prepare_index_params()
    if embedded:
        made.add_index(VECTOR, index_type="FLAT", metric_type="L2")
        return made
    made.add_index(VECTOR, index_type="HNSW", metric_type="L2", params={"M": 16, "efConstruction": 200})
    if not _NOT_INVERTED.match(version):
        names = {field.name for field in of.fields}
        for column in names.intersection(_FILTERED):
            made.add_index(column, index_type="INVERTED")
    return made


def to_entity(row: Row, vector: Vector) -> dict[str, Any]:
    """The row as Milvus takes it."""
    seen = row.print
    return {
        "id": row.id,
        "url": row.url,
        "bucket": row.bucket,
        "object_key": row.key,
        "original_key": row.original_key,
        "website": row.website,
        "sha_bytes": seen.sha_bytes,
        "sha_pixels": seen.sha_pixels,
        "hash_frame": f"{seen.frame:064x}",
        "hash_frame_mirrored": f"{seen.frame_mirrored:064x}",
        "hash_box": f"{seen.box:064x}",
        "hash_box_mirrored": f"{seen.box_mirrored:064x}",
        "colors": seen.colors.hex(),
        "width": seen.width,
        "height": seen.height,
        "print_version": seen.version,
        "content_type": seen.content_type,
        "model_id": row.model_id,
        "sku": row.sku,
        "original_name": row.original_name,
        "created": row.created,
        "norm": row.norm,
        VECTOR: vector,
    }


def to_row(entity: Mapping[str, Any]) -> Row:
    """The row that Milvus gave back."""
    return Row(
        id=entity["id"],
        bucket=entity["bucket"],
        key=entity["object_key"],
        url=entity["url"],
        website=entity["website"],
        print=Print(
            sha_bytes=entity["sha_bytes"],
            sha_pixels=entity["sha_pixels"],
            width=entity["width"],
            height=entity["height"],
            content_type=entity["content_type"],
            frame=int(entity["hash_frame"], 16),
            frame_mirrored=int(entity["hash_frame_mirrored"], 16),
            box=int(entity["hash_box"], 16),
            box_mirrored=int(entity["hash_box_mirrored"], 16),
            colors=bytes.fromhex(entity["colors"]),
            version=entity["print_version"],
        ),
        model_id=entity["model_id"],
        sku=entity["sku"],
        original_name=entity["original_name"],
        created=entity["created"],
        norm=entity["norm"],
        original_key=entity["original_key"],
    )


def to_vector(entity: Mapping[str, Any]) -> Vector:
    """The vector that Milvus gave back."""
    return np.asarray(entity[VECTOR], dtype=np.float32)


def expression(where: Filter, with_bucket: bool = False) -> str:
    """The filter in Milvus's language; strings are quoted, so that no value can say more than itself.

    The bucket is left to ``partitions``, which costs nothing, unless asked for.
    """
    terms = [
        ("bucket ==", where.bucket if with_bucket else None),
        ("bucket !=", where.not_bucket if with_bucket else None),
        ("object_key ==", where.key),
        ("object_key in", where.keys),
        ("sha_pixels ==", where.sha_pixels),
        ("created >=", where.created_from),
        ("created <", where.created_before),
    ]
    return " and ".join(f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in terms if value is not None)


def id_range(low: str, high: str | None) -> str:
    """Ids from ``low`` up to, not including, ``high``; both of hex digits."""
    return f'id >= "{low}"' + (f' and id < "{high}"' if high is not None else "")
