"""Rows on their way into a run: collected outside of it, then moved in at one stroke.

A request may bring thousands of rows. They are collected in a temporary table that no other process sees, which
spills to disk when it grows, and enter the run in one short transaction: all of them or none.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import orjson

from exporter_service.model import Finding, Origin, Role, Row, Severity, Variation
from servicekit import errors

# Positions have a table of their own: to change a row means to write all of it again.
_TABLES = """
CREATE TEMP TABLE staged (place INTEGER PRIMARY KEY, sku TEXT, texts TEXT, origins TEXT, findings TEXT, family TEXT);
CREATE TEMP TABLE placed (place INTEGER PRIMARY KEY, position INTEGER);
"""
_CHUNK = 200
# Origins repeat: rows name them by number. Evidence may be another one in each cell; then it stands in the row.
_KNOWN_ORIGINS = 5_000


class Stage:
    """Rows of one request. For use in one thread."""

    def __init__(
        self, connection: sqlite3.Connection, shared: Mapping[str, str], shared_origins: Mapping[str, Origin]
    ) -> None:
        """`shared` holds the texts that all rows have unless they say otherwise, by field."""
        self._connection = connection
        self._known: dict[Origin, int] = {}
        self._places: dict[str, int] = {}
        self._shared = packed(dict(shared))
        self._shared_origins = packed({name: self._origin(origin) for name, origin in shared_origins.items()})
        self._chunk: list[tuple[str, str, str, str, str]] = []
        self.count = 0
        connection.execute("PRAGMA temp_store=FILE")
        connection.executescript(_TABLES)

    def add(self, row: Row) -> None:
        """Adds a row behind those that are here."""
        texts, origins = self._in_order(row)
        self._chunk.append((row.sku, texts, origins, _findings(row.findings), _family(row.family)))
        self.count += 1
        if len(self._chunk) >= _CHUNK:
            self._flush()

    def move(self, run_id: str) -> list[int]:
        """Moves the rows into a run, behind those that it has; a SKU that is there keeps its place, with the new row.

        Returns:
            The position of each row, from 0, in the order in which they were added.

        Raises:
            errors.FailedPrecondition: RUN_CLOSED.
        """
        self._flush()
        connection = self._connection
        connection.commit()
        connection.execute("BEGIN IMMEDIATE")
        changed = connection.execute(
            "UPDATE runs SET revision = revision + 1, changed = ? WHERE id = ? AND closed IS NULL",
            (datetime.now(UTC).isoformat(), run_id),
        )
        if changed.rowcount != 1:
            raise errors.FailedPrecondition("the run is closed: start a new one", reason="RUN_CLOSED")
        there = dict(connection.execute("SELECT sku, position FROM rows WHERE run_id = ?", (run_id,)).fetchall())
        positions = []
        for (sku,) in connection.execute("SELECT sku FROM staged ORDER BY place"):
            positions.append(there.setdefault(sku, len(there)))
        connection.executemany("INSERT INTO placed VALUES (?, ?)", enumerate(positions, start=1))
        (number,) = connection.execute(
            "SELECT coalesce(max(number), 0) + 1 FROM batches WHERE run_id = ?", (run_id,)
        ).fetchone()
        connection.execute(
            "INSERT INTO batches (run_id, number, shared, shared_origins, fields, known_origins)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                run_id,
                number,
                self._shared,
                self._shared_origins,
                packed(list(self._places)),
                packed([_told(origin) for origin in self._known]),
            ),
        )
        connection.execute(
            "INSERT OR REPLACE INTO rows (run_id, position, sku, batch, family, texts, origins, findings)"
            " SELECT ?, position, sku, ?, family, texts, origins, findings FROM placed JOIN staged USING (place)"
            " ORDER BY position",
            (run_id, number),
        )
        connection.execute(
            "DELETE FROM batches WHERE run_id = ? AND number NOT IN (SELECT batch FROM rows WHERE run_id = ?)",
            (run_id, run_id),
        )
        connection.commit()
        return positions

    def _flush(self) -> None:
        if self._chunk:
            self._connection.executemany(
                "INSERT INTO staged (sku, texts, origins, findings, family) VALUES (?, ?, ?, ?, ?)", self._chunk
            )
            self._chunk = []

    def _in_order(self, row: Row) -> tuple[str, str]:
        """Texts and origins of a row in the order of the batch's fields; as JSON."""
        places, known = self._places, self._known
        width = len(places)
        texts: list[str | None] = [None] * width
        origins: list[object] = [None] * width
        of = row.origins
        for name, text in row.texts.items():
            place = places.get(name)
            if place is None:
                place = places[name] = len(texts)
                texts.append(None)
                origins.append(None)
            texts[place] = text
            if text:
                origin = of[name]
                number = known.get(origin)
                origins[place] = self._origin(origin) if number is None else number
        return packed(texts), packed(origins)

    def _origin(self, origin: Origin) -> object:
        """The number of an origin; beyond so many, what it tells."""
        number = self._known.get(origin)
        if number is not None:
            return number
        if len(self._known) < _KNOWN_ORIGINS:
            number = self._known[origin] = len(self._known)
            return number
        return _told(origin)


def _told(origin: Origin) -> dict[str, object]:
    rank, source, confidence, evidence, model_id, prompt_version = origin
    told: dict[str, object] = {"rank": rank, "source": str(source)}
    if confidence != 1.0:
        told["confidence"] = round(confidence, 4)
    more = (("evidence", evidence), ("model_id", model_id), ("prompt_version", prompt_version))
    return told | {name: text for name, text in more if text}


def packed(value: object) -> str:
    """JSON without blanks."""
    return orjson.dumps(value).decode()


def _findings(findings: Iterable[Finding]) -> str:
    found = [[f.sku, f.field, f.rule, f.severity.value, f.message, f.suggestion] for f in findings]
    return packed(found) if found else "[]"


def finding(told: list[str]) -> Finding:
    """A finding as it was packed."""
    sku, field, rule, severity, message, suggestion = told
    return Finding(sku, field, rule, Severity(severity), message, suggestion)


def _family(family: Variation) -> str:
    if family.role is Role.ALONE and not family.group_id:
        return ""
    return packed([family.role.value, family.parent_sku, family.theme, family.group_id, family.size, family.color])


def unpacked_family(told: str) -> Variation:
    """A place in a family as it was packed."""
    role, parent_sku, theme, group_id, size, color = orjson.loads(told)
    return Variation(Role(role), parent_sku, theme, group_id, size, color)
