"""Settles what goes into one cell, and what was wrong with it. A column's rules are prepared once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import marketplaces
from exporter_service import addresses, dates
from exporter_service.merging import Candidate
from exporter_service.model import Column, Finding, Severity
from exporter_service.suggesting import Options, number_within, shortened
from exporter_service.xlsx import cells as xlsx

Settled = tuple[str, tuple[Finding, ...]]
# Few values repeat often, and they are short; copy and addresses do not. Kept for each column, as long as its template.
_KNOWN = 300
_KNOWN_LENGTH = 64


class ColumnRules:
    """What one column takes; `known` holds what was settled before."""

    def __init__(self, listing: marketplaces.Listing, field: marketplaces.Field, column: Column) -> None:
        self.field = field
        self.column = column
        self._listing = listing
        self._kind = column.kind
        self._of_kind = _BY_KIND.get(column.kind)
        self._options = Options(column.allowed_values, listing.spellings_of(field.name))
        self._soft_limit = listing.copy.title_limit if field.name == listing.copy.title_field else 0
        self._minimum = Decimal(column.minimum) if column.minimum else None
        self._maximum = Decimal(column.maximum) if column.maximum else None
        self.known: dict[tuple[str, ...], Settled] = {}

    def settle(self, candidate: Candidate) -> Settled:
        """The text that goes into the cell, "" when it is refused, and what was found; the findings lack the SKU."""
        known = self.known.get(candidate.values)
        if known is None:
            found: list[Finding] = []
            known = (self._settle(candidate.values, found), tuple(found))
            if len(self.known) < _KNOWN and len(known[0]) <= _KNOWN_LENGTH:
                self.known[candidate.values] = known
        return self._with_offers(candidate, known) if known[1] and candidate.value is not None else known

    def _with_offers(self, candidate: Candidate, settled: Settled) -> Settled:
        """What whoever answered would take instead comes before what is merely spelled alike."""
        offered = candidate.value.suggestions if candidate.value else ()
        options = self._options
        allowed = next((offer for offer in offered if offer in options), "")
        if not allowed:
            return settled
        text, findings = settled
        return text, tuple(replace(f, suggestion=allowed) if f.rule == "allowed_values" else f for f in findings)

    def _settle(self, values: tuple[str, ...], found: list[Finding]) -> str:
        if len(values) == 1:
            text = self._one(values[0], found)
        else:
            texts = [self._cleaned(value, found) for value in values]
            settled = (self._one(text, found) for text in self._first(texts, found))
            text = self._listing.separator.join(text for text in settled if text)
        if len(text) * 2 > xlsx.MAX_TEXT and xlsx.text_units(text) > xlsx.MAX_TEXT:
            self._add(found, "cell_limit", ": a cell holds at most 32,767 characters; left empty")
            return ""
        self._length(text, found)
        return text

    def _one(self, text: str, found: list[Finding]) -> str:
        """One value as the column takes it, "" when it is refused."""
        text = self._cleaned(text, found)
        if not text or text.isspace():
            return ""
        if self._options:
            text = self._option(self._options, text, found)
        if self._of_kind is not None and text:
            text = self._of_kind(self, text, found)
        return text

    def _first(self, texts: list[str], found: list[Finding]) -> list[str]:
        """As many as the cell takes."""
        texts = [text for text in texts if text.strip()]
        most = self.field.max_values
        if len(texts) > most:
            plural = "s" if most > 1 else ""
            self._add(found, "max_values", f"takes {most} value{plural}; the first are kept", Severity.WARNING)
        return texts[:most]

    def _add(
        self, found: list[Finding], rule: str, message: str, severity: Severity = Severity.ERROR, suggestion: str = ""
    ) -> None:
        blank = "" if message.startswith(":") else " "
        found.append(Finding("", self.field.name, rule, severity, f"{self.field.label}{blank}{message}", suggestion))

    def _cleaned(self, text: str, found: list[Finding]) -> str:
        clean = xlsx.clean(text)
        if clean != text:
            self._add(
                found,
                "control_characters",
                ": characters that no workbook can hold were removed",
                Severity.WARNING,
            )
        return clean

    def _option(self, options: Options, text: str, found: list[Finding]) -> str:
        option = options.same(text)
        if option is None:
            self._add(
                found,
                "allowed_values",
                f": {_short(text)} is not among the {len(options.values)} allowed values; left empty",
                suggestion=options.nearest(text),
            )
        return option or ""

    def _number(self, text: str, found: list[Finding]) -> str:
        text = text.strip()
        whole = self._kind == "integer"
        if not xlsx.is_number(text) or (whole and "." in text):
            kind = "whole number" if whole else "number"
            self._add(
                found,
                "number",
                f": {_short(text)} is not a {kind}, written with digits only; left empty",
                suggestion=number_within(text, whole),
            )
            return ""
        if self._minimum is not None and Decimal(text) < self._minimum:
            self._add(found, "number_range", f"must be at least {self.column.minimum}")
        if self._maximum is not None and Decimal(text) > self._maximum:
            self._add(found, "number_range", f"must be at most {self.column.maximum}")
        return text

    def _url(self, text: str, found: list[Finding]) -> str:
        text = text.strip()
        problem = addresses.url_problem(text, self._listing.refused_image_hosts)
        if problem is None:
            return text
        rule, message, severity = problem
        self._add(found, rule, f": {message}", severity, "" if text.isascii() else addresses.encoded(text))
        return text if severity is not Severity.ERROR else ""

    def _date(self, text: str, found: list[Finding]) -> str:
        day = dates.parsed(text)
        if day is None:
            self._add(found, "date", f": {_short(text)} is not a date; write it as 2026-01-31; left empty")
            return ""
        if day[1]:
            self._add(found, "date", f": {_short(text)} was read as {day[0]:%d %B %Y}", Severity.WARNING, str(day[0]))
        return day[0].isoformat()

    def _length(self, text: str, found: list[Finding]) -> None:
        limit = self.column.max_length
        if not limit or len(text) * 4 <= limit:
            return
        length = self.field.length(text)
        if length > limit:
            self._add(
                found,
                "max_length",
                f"has {length} {self.field.length_unit}; at most {limit} are wanted",
                Severity.WARNING if length <= self._soft_limit else Severity.ERROR,
                shortened(self.field, text, limit),
            )


_BY_KIND = {
    "number": ColumnRules._number,  # the class's own table
    "integer": ColumnRules._number,
    "url": ColumnRules._url,
    "date": ColumnRules._date,
}


def rules_of(listing: marketplaces.Listing, columns: Mapping[str, Column]) -> dict[str, ColumnRules]:
    """The rules of every column that takes values."""
    return {key: ColumnRules(listing, listing.field(key), column) for key, column in columns.items()}


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
