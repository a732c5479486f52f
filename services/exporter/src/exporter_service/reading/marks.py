"""Which columns the marketplace wants: from marker texts, colours of the header, or a sheet of definitions."""

from __future__ import annotations

import re
from collections.abc import Mapping

from exporter_service.reading.book import Book
from exporter_service.reading.headers import Header
from marketplaces import Layout, Standing, TemplateRules, folded

_REQUIRED: dict[str, Standing] = {
    "required": "required",
    "conditionally required": "conditional",
    "recommended": "optional",
    "preferred": "optional",
    "optional": "optional",
}
_LAST_ROW = 1 << 20


def by_column(book: Book, header: Header, rules: TemplateRules, layout: Layout) -> dict[int, Standing]:
    """The standing of each column that has a mark."""
    if header.markers and rules.markers:
        return _by_marker(book, header, rules)
    if rules.colours:
        return _by_colour(book, header, rules, layout)
    return {}


def _by_marker(book: Book, header: Header, rules: TemplateRules) -> dict[int, Standing]:
    patterns = [(standing, re.compile(pattern, re.IGNORECASE)) for standing, pattern in rules.markers.items()]
    found: dict[int, Standing] = {}
    for _, texts in book.rows(header.sheet, header.markers, header.markers):
        for column, text in texts.items():
            standing = next((standing for standing, pattern in patterns if pattern.search(text.strip())), None)
            if standing is not None:
                found[column] = standing
    return found


def _by_colour(book: Book, header: Header, rules: TemplateRules, layout: Layout) -> dict[int, Standing]:
    meanings: dict[Standing, str] = {
        standing: layout.colours[standing]
        for standing in ("required", "conditional", "optional", "reserved")
        if standing in layout.colours
    }
    found: dict[int, Standing] = {}
    for column, colour in book.fills(header.sheet, header.labels).items():
        distance, standing = min((_distance(colour, meant), standing) for standing, meant in meanings.items())
        if distance <= rules.colour_distance:
            found[column] = standing
    return found


def _distance(one: str, other: str) -> float:
    """Distance of two colours in RGB."""
    pairs = zip(*(tuple(int(colour[at : at + 2], 16) for at in (0, 2, 4)) for colour in (one, other)), strict=True)
    return float(sum((a - b) ** 2 for a, b in pairs) ** 0.5)


def by_definition(book: Book, rules: TemplateRules) -> Mapping[str, Standing]:
    """The standing of each field in the sheet of definitions, by its folded technical name."""
    sheet = next(
        (s.name for s in book.sheets if rules.definitions and folded(s.name) == folded(rules.definitions)), None
    )
    if sheet is None:
        return {}
    found: dict[str, Standing] = {}
    name_column = required_column = 0
    for _, texts in book.rows(sheet, 1, _LAST_ROW):
        if not required_column:
            heads = {folded(text).rstrip("?"): column for column, text in texts.items()}
            name_column, required_column = heads.get("field name", 0), heads.get("required", 0)
            continue
        standing = _REQUIRED.get(folded(texts.get(required_column, "")))
        name = folded(texts.get(name_column, ""))
        if standing is not None and name:
            found[name] = standing
    return found
