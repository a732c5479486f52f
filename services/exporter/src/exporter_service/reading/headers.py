"""Finds the sheet that takes products and its header, by what they hold."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import marketplaces
from exporter_service.reading.book import Book, Texts
from servicekit import errors

LOOKED_AT = 25
"""Rows in which a header is looked for."""
# Fewer fields than this are a coincidence.
LEAST_FIELDS = 4
# A second row or sheet that holds so much of what the best one holds may be meant just as well.
RIVAL = 0.8
_LAST_ROW = 1 << 20
_HINT = re.compile(r"single|multi|url|drop ?down|boolean|text|integer|decimal|allowed values", re.IGNORECASE)


@dataclass(frozen=True)
class Header:
    """Where the header is.

    Attributes:
        names, labels: rows of technical names and of what people see; the same where there is one.
        hints, markers: rows of type hints and of marker texts; 0: there is none.
        first: first row below the header.
        settings: what the settings cell tells.
    """

    sheet: str
    names: int
    labels: int
    first: int
    hints: int = 0
    markers: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Found:
    """A row that may be the header: how many fields it names exactly, and at all."""

    row: int
    exact: int
    total: int
    has_sku: bool


@dataclass(frozen=True)
class _Candidate:
    """A sheet that may be the one to fill."""

    sheet: str
    rank: int
    header: Header
    total: int


def find(book: Book, listing: marketplaces.Listing) -> Header:
    """The header of the sheet that takes products.

    Raises:
        errors.InvalidArgument: TEMPLATE_NO_HEADER; TEMPLATE_AMBIGUOUS when two sheets or rows could be meant;
            TEMPLATE_MISMATCH when the workbook is for another category.
    """
    rules = listing.template
    others = [re.compile(pattern, re.IGNORECASE) for pattern in rules.other_sheets]
    candidates = []
    for sheet in book.sheets:
        if sheet.hidden or any(other.fullmatch(sheet.name.strip()) for other in others):
            continue
        header, total = _in_sheet(book, sheet.name, listing)
        if header is not None:
            candidates.append(_Candidate(sheet.name, _rank(sheet.name, rules.sheets), header, total))
    if not candidates:
        _refuse_other_category([sheet.name for sheet in book.sheets if not sheet.hidden], listing)
        shown = ", ".join(repr(sheet.name) for sheet in book.sheets[:8])
        raise errors.InvalidArgument(
            f"no sheet has a header of {listing.name}: a row that names {listing.sku_field.label!r} and at least"
            f" {LEAST_FIELDS - 1} more of its fields; looked at {shown}",
            reason="TEMPLATE_NO_HEADER",
        )
    best_rank = min(candidate.rank for candidate in candidates)
    first = [candidate for candidate in candidates if candidate.rank == best_rank]
    best = max(first, key=lambda candidate: candidate.total)
    _refuse_other_category([best.sheet], listing)
    rivals = [each for each in first if each is not best and each.total >= RIVAL * best.total]
    if rivals:
        raise errors.InvalidArgument(
            f"the sheets {best.sheet!r} and {rivals[0].sheet!r} both look like the one to fill: delete or hide the one"
            " that is not meant",
            reason="TEMPLATE_AMBIGUOUS",
        )
    return best.header


def _rank(sheet: str, patterns: Sequence[str]) -> int:
    """Place of the first pattern that a sheet's name fits; all others come last."""
    name = sheet.strip()
    return next((n for n, p in enumerate(patterns) if re.fullmatch(p, name, re.IGNORECASE)), len(patterns))


def _in_sheet(book: Book, sheet: str, listing: marketplaces.Listing) -> tuple[Header | None, int]:
    rows = dict(book.rows(sheet, 1, LOOKED_AT))
    settings = _settings(rows.get(1, {}), listing.template.settings_keys)
    found = [_weighed(row, texts, listing) for row, texts in rows.items()]
    if settings:
        header = _from_settings(sheet, settings, listing)
        told = next((each for each in found if header is not None and each.row == header.names), None)
        if header is not None and told is not None and told.has_sku:
            return header, told.total
    found = [each for each in found if each.has_sku and each.total >= LEAST_FIELDS]
    if not found:
        return None, 0
    best = max(found, key=lambda each: (each.exact, each.total))
    labels = _labels_above(best, found, listing)
    rivals = [
        each for each in found if each.row not in (best.row, labels, best.row + 1) and each.total >= RIVAL * best.total
    ]
    if rivals:
        raise errors.InvalidArgument(
            f"rows {best.row} and {rivals[0].row} of the sheet {sheet!r} both look like the header: delete the one that"
            " is not meant",
            reason="TEMPLATE_AMBIGUOUS",
        )
    return _from_rows(sheet, best, labels, rows, settings, listing), best.total


def _weighed(row: int, texts: Texts, listing: marketplaces.Listing) -> _Found:
    names = listing.names
    exact, known = set(), set()
    for text in texts.values():
        field_name = names.by_name(text)
        if field_name:
            exact.add(field_name)
        for each in (field_name,) if field_name else names.by_label(text)[:1]:
            known.add(each)
    return _Found(row, len(exact), len(known), listing.sku in known)


def _labels_above(best: _Found, found: Sequence[_Found], listing: marketplaces.Listing) -> int:
    """The row of labels right above technical names; `best.row` where there is none."""
    technical = any(field.name != field.label for field in listing.fields)
    above = next((each for each in found if each.row == best.row - 1), None)
    return above.row if technical and above is not None else best.row


def _from_rows(
    sheet: str,
    best: _Found,
    labels: int,
    rows: Mapping[int, Texts],
    settings: Mapping[str, str],
    listing: marketplaces.Listing,
) -> Header:
    rules = listing.template
    hints = best.row + rules.hint_below if rules.hint_below else 0
    if hints and not _are_hints(rows.get(hints, {})):
        hints = 0
    below = rules.rows_below if hints or not rules.hint_below else 0
    markers = max(0, best.row - rules.marker_above) if rules.marker_above else 0
    return Header(sheet, best.row, labels, best.row + 1 + below, hints, markers, settings)


def _are_hints(texts: Texts) -> bool:
    told = [text for text in texts.values() if text.strip()]
    return bool(told) and sum(bool(_HINT.search(text)) for text in told) >= len(told) / 2


def _settings(texts: Texts, keys: Sequence[str]) -> dict[str, str]:
    """What a cell of settings in the first row tells, such as `settings=attributeRow=3&dataRow=4`."""
    told: dict[str, str] = {}
    if not keys:
        return told
    for text in texts.values():
        if "=" not in text:
            continue
        if any(f"{key}=" in text for key in keys):
            told |= dict(parse_qsl(text.strip().removeprefix("settings="), keep_blank_values=True))
        else:
            key, _, value = text.partition("=")
            told.setdefault(key.strip(), value.strip())
    return told


def _from_settings(sheet: str, settings: Mapping[str, str], listing: marketplaces.Listing) -> Header | None:
    label_key, name_key, data_key = listing.template.settings_keys or ("", "", "")
    try:
        labels, names, first = (int(settings[key]) for key in (label_key, name_key, data_key))
    except (KeyError, ValueError):
        return None
    if not 0 < labels <= names < first <= LOOKED_AT:
        return None
    return Header(sheet, names, labels, first, settings=settings)


def declared_types(settings: Mapping[str, str]) -> list[str]:
    """Product types that the settings tell, packed in base64."""
    for key in ("ptds", "TemplateSignature"):
        packed = settings.get(key, "")
        if packed:
            try:
                text = base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True).decode()
            except (binascii.Error, UnicodeDecodeError, ValueError):
                continue
            return [part.strip() for part in re.split(r"[,;]", text) if part.strip()]
    return []


def _refuse_other_category(names: Sequence[str], listing: marketplaces.Listing) -> None:
    """Tells of a workbook for another category of the same marketplace, by the names of its sheets."""
    for code in marketplaces.CODES:
        other = marketplaces.load(code)
        if code == listing.code or other.marketplace != listing.marketplace or not other.template.sheets:
            continue
        theirs = [name for name in names if name.strip().casefold() == other.layout.sheet.casefold()]
        if theirs and other.layout.sheet != listing.layout.sheet:
            raise errors.InvalidArgument(
                f"the sheet {theirs[0]!r} is that of {code}, not of {listing.code}: register the workbook for {code}",
                reason="TEMPLATE_MISMATCH",
            )


def first_free(book: Book, sheet: str, first: int, column: int) -> tuple[int, tuple[str, ...]]:
    """The row below the products that a workbook came with, and their SKUs.

    Args:
        book: the workbook.
        sheet: its sheet.
        first: first row below the header.
        column: that of the SKU.
    """
    free = first
    skus = []
    for number, texts in book.rows(sheet, first, _LAST_ROW):
        sku = texts.get(column, "").strip()
        if sku:
            free = number + 1
            skus.append(sku)
    return free, tuple(skus)
