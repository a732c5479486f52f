"""Tables of the cache. Names begin with `copywriter_`, because services may share a database."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Column, Float, Index, Integer, MetaData, String, Table, Text
from sqlalchemy.engine import Row

from copywriter_service.domain import Content, Origin, Part, StoredPart

METADATA = MetaData()


def _text(length: int) -> String:
    # Pages are cut by comparing keys: bytes decide, not the locale of the database.
    return String(length).with_variant(String(length, collation="C"), "postgresql")


PARTS = Table(
    "copywriter_parts",
    METADATA,
    Column("sku", _text(200), primary_key=True),
    Column("code", _text(16), primary_key=True),
    Column("language", _text(35), primary_key=True),
    Column("part", _text(16), primary_key=True),
    # JSON: a text, or a list of texts for the bullet points.
    Column("content", Text, nullable=False),
    Column("origin", String(16), nullable=False),
    Column("model_id", String(200), nullable=False),
    Column("prompt_version", String(64), nullable=False),
    Column("picture_sha256", String(64), nullable=False),
    Column("facts_hash", String(64), nullable=False),
    Column("updated", Float, nullable=False),
)
KEY = [PARTS.c.sku, PARTS.c.code, PARTS.c.language]

IMPORTED = Table(
    "copywriter_imported",
    METADATA,
    Column("sku", _text(200), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("raw", Text, nullable=False),
)

# One row at most: how the file that was imported last was laid out, as `data_store` says it.
LAYOUT = Table(
    "copywriter_layout", METADATA, Column("id", Integer, primary_key=True), Column("layout", Text, nullable=False)
)

# The words of stored titles (`titles.words_of`), by which near-identical ones are looked up.
TITLE_WORDS = Table(
    "copywriter_title_words",
    METADATA,
    Column("sku", _text(200), primary_key=True),
    Column("code", _text(16), primary_key=True),
    Column("language", _text(35), primary_key=True),
    Column("word", _text(64), primary_key=True),
    # Words of the whole title.
    Column("size", Integer, nullable=False),
    Index("copywriter_title_words_by_word", "language", "code", "word"),
)

# Titles and descriptions of collections, by all that the model was told (`collection.fingerprint`).
COLLECTIONS = Table(
    "copywriter_collections",
    METADATA,
    Column("fingerprint", String(64), primary_key=True),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("updated", Float, nullable=False, index=True),
)

LEASES = Table(
    "copywriter_leases",
    METADATA,
    Column("name", _text(300), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("expires", Float, nullable=False),
)


def row_of(part: StoredPart, now: float) -> dict[str, Any]:
    """A part as a row; `now` is when it is stored."""
    return {
        "sku": part.sku, "code": part.code, "language": part.language, "part": part.part.value,
        "content": json.dumps(part.content, ensure_ascii=True), "origin": part.origin.value, "model_id": part.model_id,
        "prompt_version": part.prompt_version, "picture_sha256": part.picture_sha256, "facts_hash": part.facts_hash,
        "updated": now,
    }  # fmt: skip


def part_of(row: Row[Any]) -> StoredPart:
    """A row as a part."""
    content: Content = json.loads(row.content)
    return StoredPart(
        sku=row.sku, code=row.code, language=row.language, part=Part(row.part),
        content=content if isinstance(content, str) else tuple(content), origin=Origin(row.origin),
        model_id=row.model_id, prompt_version=row.prompt_version, picture_sha256=row.picture_sha256,
        facts_hash=row.facts_hash, updated=row.updated,
    )  # fmt: skip
