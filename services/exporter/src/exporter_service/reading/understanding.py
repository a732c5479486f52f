"""Puts together what a workbook tells: the columns of its sheet, and what was not understood of it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import marketplaces
from exporter_service.model import Column, Medium
from exporter_service.reading import headers, lists, marks
from exporter_service.reading.book import Book
from exporter_service.reading.headers import Header
from exporter_service.reading.lists import Rule
from exporter_service.xlsx import cells
from marketplaces import Standing, bare, folded

MAX_COLUMNS = 2000
"""Most columns of a sheet that are looked at."""
# Names that a warning lists before it says how many more there are.
_LISTED = 15
_LIKE = 0.8
_GUESSED = "inferred"


@dataclass(frozen=True)
class Understood:
    """What a workbook tells."""

    sheet: str
    data_row: int
    columns: tuple[Column, ...]
    warnings: tuple[str, ...]
    skus: tuple[str, ...]


@dataclass(frozen=True)
class _Heads:
    """What the header says of one column."""

    number: int
    label: str
    name: str
    hint: str
    field: str = ""
    twin: str = ""


def understand(book: Book, listing: marketplaces.Listing) -> Understood:
    """Reads a workbook.

    Raises:
        errors.InvalidArgument: TEMPLATE_NO_HEADER, TEMPLATE_AMBIGUOUS, TEMPLATE_MISMATCH, TEMPLATE_TOO_LARGE.
    """
    header = headers.find(book, listing)
    heads = _matched(_heads(book, header), listing, technical=header.names != header.labels)
    sku = next(head for head in heads if head.field == listing.sku)
    data_row, skus = headers.first_free(book, header.sheet, header.first, sku.number)
    reader = _Reader(book, listing, header, heads)
    columns = reader.columns()
    warnings = [
        *_about_file(book, listing, header, len(skus)),
        *_about_columns(listing, columns, heads, reader.standings),
        *reader.warnings(columns),
    ]
    return Understood(header.sheet, data_row, tuple(columns), tuple(warnings), skus)


def _heads(book: Book, header: Header) -> list[_Heads]:
    wanted = {header.names, header.labels, header.hints}
    rows = {number: texts for number, texts in book.rows(header.sheet, 1, max(wanted)) if number in wanted}
    names, labels, hints = (rows.get(number, {}) for number in (header.names, header.labels, header.hints))
    found = []
    for number in sorted({*names, *labels}):
        label, name = _line(labels.get(number, "")), _line(names.get(number, ""))
        if number <= MAX_COLUMNS and (label or name):
            found.append(_Heads(number, label or name, name or label, _line(hints.get(number, ""))))
    return found


def _line(text: str) -> str:
    """The first line that is not empty: some marketplaces put help below the name, in the same cell."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _matched(heads: Sequence[_Heads], listing: marketplaces.Listing, technical: bool) -> list[_Heads]:
    """Each column with the field that it names; a field goes to the first column that names it.

    Technical names come before labels: with them, a label is only asked where the name is unknown.
    """
    names = listing.names
    taken: dict[str, int] = {}
    found = {head.number: head for head in heads}
    for by_label in (False, True):
        for head in heads:
            if found[head.number].field:
                continue
            candidates: tuple[str, ...]
            if by_label:
                candidates = names.by_label(head.label)
                if technical and len(candidates) > 1:
                    # Its technical name is unknown, and its label is that of several: it could be any of them.
                    continue
            else:
                candidates = tuple(filter(None, (names.by_name(head.name),)))
            free = next((each for each in candidates if each not in taken), "")
            if free:
                taken[free] = head.number
                found[head.number] = replace(head, field=free)
            elif candidates:
                found[head.number] = replace(head, twin=candidates[0])
    return [found[head.number] for head in heads]


class _Reader:
    """Reads what the columns take."""

    def __init__(self, book: Book, listing: marketplaces.Listing, header: Header, heads: Sequence[_Heads]) -> None:
        self._book = book
        self._listing = listing
        self._rules = listing.template
        self._header = header
        self._heads = heads
        numbers = [head.number for head in heads]
        self._formulas = lists.Formulas(book)
        self._validations = lists.by_validation(book, self._formulas, header.sheet, header.first, numbers)
        texts = (text for head in heads for text in (head.label, head.name))
        self._lists = lists.ListSheets(book, self._rules, texts)
        self._formats = book.formats(header.sheet, header.first)
        self._computed = book.formula_columns(header.sheet, header.first)
        marked = marks.by_column(book, header, self._rules, listing.layout)
        defined = marks.by_definition(book, self._rules)
        self._marked = bool(marked or defined)
        self.standings: dict[int, Standing] = {
            head.number: standing
            for head in heads
            if (standing := marked.get(head.number) or defined.get(folded(head.name)))
        }
        self._values = {head.number: self._allowed(head) for head in heads}
        self._has_lists = any(self._values.values())

    def columns(self) -> list[Column]:
        """The columns in order."""
        fields = {field.name: field for field in (*self._listing.fields, *self._listing.extras)}
        used: set[str] = {head.field for head in self._heads if head.field}
        found = []
        for head in self._heads:
            field = fields.get(head.field)
            key = head.field
            if not key and not head.twin and head.name not in {*used, *fields}:
                key = head.name
                used.add(key)
            reserved = self.standings.get(head.number) == "reserved" and key != self._listing.sku
            if head.number in self._computed or reserved:
                key = ""
            found.append(self._column(head, field, key))
        return found

    def _column(self, head: _Heads, field: marketplaces.Field | None, key: str) -> Column:
        rule = self._validations.get(head.number, Rule())
        standing = self.standings.get(head.number)
        required = standing == "required" if self._marked else bool(field and field.required)
        kind = field.kind if field is not None else self._kind(head, rule)
        return Column(
            number=head.number,
            letters=cells.letters(head.number),
            label=head.label,
            name=head.name,
            field=head.field,
            key=key,
            required=required,
            sure=self._marked or bool(field and field.required_confidence != _GUESSED),
            allowed_values=self._values[head.number] or self._table_values(field),
            max_length=rule.max_length or (field.max_length or 0 if field else 0),
            kind=kind,
            serial=kind == "date" and self._formats.get(head.number) == "date",
            minimum=rule.minimum if kind in ("number", "integer") else "",
            maximum=rule.maximum if kind in ("number", "integer") else "",
            multi=field.multi if field is not None else _is(self._rules.free_hints and "multi", head.hint),
        )

    def _allowed(self, head: _Heads) -> tuple[str, ...]:
        """Allowed values, from the strongest source that has any."""
        rule = self._validations.get(head.number, Rule())
        if rule.values:
            return rule.values
        if not _is(self._rules.free_hints, head.hint):
            values = self._lists.of_column(head.number)
            if values:
                return values
        values = self._formulas.of_attribute(head.name, self._rules.product_types)
        values = values or self._lists.of_name(head.label, head.name)
        if not values and _is(self._rules.boolean_hint, head.hint):
            return ("Yes", "No")
        return values

    def _table_values(self, field: marketplaces.Field | None) -> tuple[str, ...]:
        """The marketplace's own table serves a workbook that has no lists at all."""
        return field.options if field is not None and not self._has_lists else ()

    def _kind(self, head: _Heads, rule: Rule) -> marketplaces.Kind:
        rules = self._rules
        if rule.kind == "date" or self._formats.get(head.number) == "date" or _is(rules.date_hints, head.hint):
            return "date"
        if rule.kind == "whole":
            return "integer"
        if rule.kind == "decimal" or _is(rules.number_hints, head.hint):
            return "number"
        return "url" if _is(rules.url_hints, head.hint) else "text"

    def warnings(self, columns: Sequence[Column]) -> list[str]:
        """What was not understood of what the columns take."""
        found = []
        unclear = [
            column
            for column in columns
            if self._validations.get(column.number, Rule()).unclear and not self._values[column.number]
        ]
        if unclear:
            found.append(
                "the drop-downs of these columns depend on other cells, their values are not checked: "
                + _listed(_shown(column) for column in unclear)
            )
        computed = [column for column in columns if column.number in self._computed]
        if computed:
            found.append("these columns hold formulas and are left as they are: " + _listed(map(_shown, computed)))
        if not self._has_lists:
            found.append("no list of allowed values was found; those known of the marketplace are used")
        if not self._marked:
            found.append("no marks of required columns were found; what is known of the marketplace is used")
        return found


def _is(pattern: str, hint: str) -> bool:
    return bool(pattern and hint and re.search(pattern, hint, re.IGNORECASE))


def _about_file(book: Book, listing: marketplaces.Listing, header: Header, there: int) -> list[str]:
    found = []
    rules = listing.template
    if rules.sheets and book.medium is not Medium.TXT:
        expected = any(re.fullmatch(each, header.sheet.strip(), re.IGNORECASE) for each in rules.sheets)
        if not expected:
            found.append(
                f"the sheet {header.sheet!r} has another name than {listing.name}'s own, {listing.layout.sheet!r}"
            )
    declared = headers.declared_types(header.settings)
    known = {each.casefold() for each in rules.product_types}
    if declared and known and not known & {each.casefold() for each in declared}:
        found.append(f"the template is for {', '.join(declared[:5])}: check that it is meant for {listing.category}")
    if there:
        plural = "s" if there > 1 else ""
        found.append(f"the sheet holds {there} product{plural} already; new ones are written below")
    return [*found, *book.notes]


def _about_columns(
    listing: marketplaces.Listing,
    columns: Sequence[Column],
    heads: Sequence[_Heads],
    standings: Mapping[int, Standing],
) -> list[str]:
    found = []
    unknown = [c for c, head in zip(columns, heads, strict=True) if not c.field and not head.twin]
    wanted = [column for column in unknown if column.required]
    reserved = [column for column in unknown if standings.get(column.number) == "reserved"]
    rest = [column for column in unknown if column not in wanted and column not in reserved]
    for group, sentence in (
        (
            wanted,
            "the marketplace wants these columns, which match no field; give their values under their own names: ",
        ),
        (rest, "these columns match no field and are filled only with values given under their own names: "),
        (reserved, "these columns are the marketplace's own and stay empty: "),
    ):
        if group:
            found.append(sentence + _listed(_with_nearest(column, listing) for column in group))
    twins = [(c, head) for c, head in zip(columns, heads, strict=True) if head.twin]
    if twins:
        told = (f"{_shown(column)} like {head.twin!r}" for column, head in twins)
        found.append("these columns name a field that another column has already, and stay empty: " + _listed(told))
    there = {column.field for column in columns}
    missing = [
        field.label
        for field in listing.fields
        if field.name not in there
        and (field.required or field.name in (listing.price, listing.mrp, *listing.images[:1]))
    ]
    if missing:
        found.append("the template has no column for: " + _listed(missing))
    ids = {match for head in heads for match in re.findall(r"marketplace_id=([A-Z0-9]+)", head.name)}
    foreign = sorted(ids - set(listing.template.ids)) if listing.template.ids else []
    if foreign:
        found.append(
            f"the template is for another country's marketplace ({', '.join(foreign)}), not for {listing.name}"
        )
    return found


def _with_nearest(column: Column, listing: marketplaces.Listing) -> str:
    labels = {bare(field.label): field.label for field in listing.fields}
    close = difflib.get_close_matches(bare(column.label), list(labels), 1, _LIKE)
    return f"{_shown(column)}, much like {labels[close[0]]!r}" if close else _shown(column)


def _shown(column: Column) -> str:
    return f"{column.letters} {column.label[:60]!r}"


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - _LISTED} more" if len(every) > _LISTED else ""
    return "; ".join(every[:_LISTED]) + more


def changes(before: Sequence[Column], after: Sequence[Column]) -> list[str]:
    """How the header of a template differs from that of the version before."""
    old, new = ([column.name for column in columns] for columns in (before, after))
    if old == new:
        return []
    found = []
    added, removed = ([name for name in one if name not in set(other)] for one, other in ((new, old), (old, new)))
    if added:
        found.append("added " + _listed(repr(name) for name in added))
    if removed:
        found.append("gone " + _listed(repr(name) for name in removed))
    places = {column.name: column.number for column in before}
    moved = [c for c in after if c.name in places and places[c.name] != c.number]
    if moved:
        found.append(f"{len(moved)} in another place")
    return found or ["columns repeated or put in another order"]
