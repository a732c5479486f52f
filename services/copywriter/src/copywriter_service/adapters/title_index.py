"""The index of stored titles by their words, kept in step with the parts in the same transaction."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from copywriter_service import titles
from copywriter_service.adapters.cache import Key
from copywriter_service.adapters.cache_tables import PARTS, TITLE_WORDS
from copywriter_service.domain import Part

_INDEXED = [TITLE_WORDS.c.sku, TITLE_WORDS.c.code, TITLE_WORDS.c.language]
_TITLED = [PARTS.c.sku, PARTS.c.code, PARTS.c.language]
# Keys of one statement: both databases take a few thousand values.
_CHUNK = 300
# A word in so many titles is not worth counting further: counting must not take longer than looking up.
_COMMON = 2_000
# What floats may add; the likeness itself is looked at again in Python.
_ROUNDING = 1e-6


def refresh(connection: Connection, keys: Iterable[Key], insert: Any) -> None:
    """Indexes the titles of these entries as they are stored now.

    Args:
        connection: In a transaction that has changed them.
        keys: SKU, marketplace code and language of each entry.
        insert: The dialect's INSERT into the index.
    """
    for chunk in _chunks(sorted(set(keys))):
        connection.execute(sa.delete(TITLE_WORDS).where(sa.tuple_(*_INDEXED).in_(chunk)))
        _add(connection, sa.tuple_(*_TITLED).in_(chunk), insert)


def forget(connection: Connection, sku: str, code: str | None) -> None:
    """Takes the titles of a SKU out, those of one code or all."""
    where = [TITLE_WORDS.c.sku == sku] + ([] if code is None else [TITLE_WORDS.c.code == code])
    connection.execute(sa.delete(TITLE_WORDS).where(*where))


def fill(connection: Connection, insert: Any) -> None:
    """Indexes everything in a database that was made before there was an index."""
    if connection.execute(sa.select(TITLE_WORDS.c.sku).limit(1)).first() is None:
        _add(connection, sa.true(), insert)


def candidates(
    connection: Connection, words: Collection[str], probes: int, language: str, codes: Collection[str], sku: str,
    limit: int,
) -> list[tuple[str, str]]:  # fmt: skip
    """SKU and title of entries of other SKUs whose title is alike; the newest first.

    Args:
        words: Of the title that others are compared with (`titles.words_of`).
        probes: How many of them an alike title cannot lack all (`titles.probes`).
    """
    among = sa.and_(TITLE_WORDS.c.language == language, TITLE_WORDS.c.code.in_(sorted(codes)))
    least = titles.least_likeness()
    probed = _rarest(connection, words, probes, among)
    at_hand = sa.select(TITLE_WORDS.c.sku, TITLE_WORDS.c.code).where(among, TITLE_WORDS.c.word.in_(probed))
    shared = (
        sa.select(*_INDEXED)
        .where(
            among,
            TITLE_WORDS.c.word.in_(sorted(words)),
            TITLE_WORDS.c.sku != sku,
            sa.tuple_(TITLE_WORDS.c.sku, TITLE_WORDS.c.code).in_(at_hand),
        )
        .group_by(*_INDEXED, TITLE_WORDS.c.size)
        # Shared words over all words, without a division.
        .having(sa.func.count() * (1 + least) >= least * (TITLE_WORDS.c.size + len(words)) - _ROUNDING)
        .subquery()
    )
    same = [one == other for one, other in zip(shared.c, _TITLED, strict=True)]
    query = (
        sa.select(PARTS.c.sku, PARTS.c.content)
        .join(shared, sa.and_(*same, PARTS.c.part == Part.TITLE.value))
        .order_by(PARTS.c.updated.desc(), PARTS.c.sku)
        .limit(limit)
    )
    return [(row.sku, str(json.loads(row.content))) for row in connection.execute(query)]


def _rarest(connection: Connection, words: Collection[str], count: int, among: sa.ColumnElement[bool]) -> list[str]:
    """So many of the words as stand in the fewest titles; beyond `_COMMON` titles all are equally common."""

    def titles_with(word: str) -> sa.Select[str, int]:
        some = sa.select(TITLE_WORDS.c.sku).where(among, TITLE_WORDS.c.word == word).limit(_COMMON).subquery()
        return sa.select(sa.literal(word).label("word"), sa.func.count().label("titles")).select_from(some)

    counted = sa.union_all(*map(titles_with, sorted(words)))
    frequencies = {row.word: row.titles for row in connection.execute(counted)}
    return sorted(words, key=lambda item: (frequencies.get(item, 0), item))[:count]


def _add(connection: Connection, where: sa.ColumnElement[bool], insert: Any) -> None:
    query = sa.select(*_TITLED, PARTS.c.content).where(PARTS.c.part == Part.TITLE.value, where)
    rows = []
    for row in connection.execute(query):
        words = titles.words_of(str(json.loads(row.content)))
        entry = {"sku": row.sku, "code": row.code, "language": row.language, "size": len(words)}
        rows += [{**entry, "word": word} for word in words]
    if rows:
        connection.execute(insert.on_conflict_do_nothing(), rows)


def _chunks(keys: list[Key]) -> Iterable[list[Key]]:
    rest = iter(keys)
    while chunk := list(itertools.islice(rest, _CHUNK)):
        yield chunk
