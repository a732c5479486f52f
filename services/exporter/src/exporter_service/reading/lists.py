"""Allowed values of columns: from drop-downs, named ranges, and the sheets that list them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from exporter_service.reading.book import Book, Texts
from exporter_service.xlsx.reading import Area, Validation, area
from marketplaces import TemplateRules, bare, folded

MAX_VALUES = 20_000
"""Most allowed values of a column."""
_DEEPEST = 5
_LAST_ROW = 1 << 20
_STRING = re.compile(r'"((?:[^"]|"")*)"')
_REFERENCE = re.compile(
    r"(?:(?P<quoted>'(?:[^']|'')+')|(?P<plain>[^'!()\s]+))?!?(?P<area>\$?[A-Za-z]{1,3}\$?\d*(?::\$?[A-Za-z]{1,3}\$?\d*)?)"
)
_INDIRECT = re.compile(r'INDIRECT\(\s*"((?:[^"]|"")*)"\s*(?:,\s*(?:TRUE|1)\s*)?\)', re.IGNORECASE)
_OFFSET = re.compile(r"OFFSET\(\s*([^,]+),\s*0\s*,\s*0\s*(?:,.*)?\)", re.IGNORECASE | re.DOTALL)
# `Label - [ product type ] :`, as unified templates have it.
_ROW_LABEL = re.compile(r"^(?P<label>.+?)\s*-\s*\[(?P<types>[^\]]*)\]\s*:?\s*$")
_UNNAMEABLE = re.compile(r"[\[\]=#:\s]")


@dataclass(frozen=True)
class Rule:
    """What validations say of a column.

    Attributes:
        values: allowed ones; empty where there is no list, or it was not understood.
        unclear: there is a drop-down whose values depend on something.
        kind: "whole", "decimal" or "date"; "" if none.
        minimum, maximum, max_length: bounds; "" and 0 where there are none.
    """

    values: tuple[str, ...] = ()
    unclear: bool = False
    kind: str = ""
    minimum: str = ""
    maximum: str = ""
    max_length: int = 0


class Formulas:
    """Finds the values that the formula of a drop-down stands for."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._names = book.names
        self._known: dict[tuple[str, str], tuple[str, ...]] = {}

    def values(self, formula: str, sheet: str, depth: int = 0) -> tuple[str, ...]:
        """The values; () where they depend on other cells, or the formula is not understood."""
        key = (formula, sheet)
        if key not in self._known:
            self._known[key] = () if depth > _DEEPEST else self._values(formula.strip().removeprefix("="), sheet, depth)
        return self._known[key]

    def _values(self, formula: str, sheet: str, depth: int) -> tuple[str, ...]:
        text = _STRING.fullmatch(formula)
        if text is not None:
            return _clean(text[1].replace('""', '"').split(","))
        reference = _REFERENCE.fullmatch(formula)
        if reference is not None:
            found = self._block(reference, sheet)
            if found:
                return found
        if formula.casefold() in self._names:
            return self.values(self._names[formula.casefold()], sheet, depth + 1)
        indirect = _INDIRECT.fullmatch(formula)
        if indirect is not None:
            return self.values(indirect[1].replace('""', '"'), sheet, depth + 1)
        offset = _OFFSET.fullmatch(formula)
        return self._downwards(offset[1], sheet) if offset is not None else ()

    def _block(self, reference: re.Match[str], sheet: str) -> tuple[str, ...]:
        place = area(reference["area"])
        if place is None:
            return ()
        return _clean(self._book.block(_sheet_name(reference, sheet), place))

    def _downwards(self, formula: str, sheet: str) -> tuple[str, ...]:
        """Values from a cell down to the end of its column: a list that is as long as it is filled."""
        reference = _REFERENCE.fullmatch(formula.strip())
        start = area(reference["area"]) if reference is not None else None
        if reference is None or start is None:
            return ()
        whole = Area(start.first_column, start.first_row, start.first_column, _LAST_ROW)
        return _clean(self._book.block(_sheet_name(reference, sheet), whole))

    def of_attribute(self, name: str, product_types: Sequence[str]) -> tuple[str, ...]:
        """Values of a defined name that is a product type and an attribute's name without its punctuation."""
        attribute = _UNNAMEABLE.sub("", name).casefold()
        if not attribute:
            return ()
        for key in (*(f"{each.casefold()}{attribute}" for each in product_types), attribute):
            if key in self._names:
                return self.values(self._names[key], "")
        return ()


def _sheet_name(reference: re.Match[str], otherwise: str) -> str:
    if reference["quoted"]:
        return reference["quoted"][1:-1].replace("''", "'")
    return reference["plain"] or otherwise


def by_validation(book: Book, formulas: Formulas, sheet: str, row: int, columns: Iterable[int]) -> dict[int, Rule]:
    """What the validations say of each column, in a row of products."""
    found: dict[int, Rule] = {}
    wanted = set(columns)
    for rule in book.validations(sheet):
        for place in rule.areas:
            if not place.first_row <= row <= place.last_row:
                continue
            for column in wanted.intersection(range(place.first_column, place.last_column + 1)):
                found[column] = _merged(found.get(column), _rule(rule, formulas, sheet))
    return found


def _rule(rule: Validation, formulas: Formulas, sheet: str) -> Rule:
    if rule.kind == "list":
        values = formulas.values(rule.formula1, sheet)
        return Rule(values, unclear=not values)
    lower, upper = _bounds(rule)
    if rule.kind in ("whole", "decimal"):
        return Rule(kind=rule.kind, minimum=lower, maximum=upper)
    if rule.kind == "date":
        return Rule(kind="date")
    if rule.kind == "textLength" and upper:
        return Rule(max_length=int(float(upper)))
    return Rule()


def _bounds(rule: Validation) -> tuple[str, str]:
    """Smallest and largest value, where they are plain numbers."""
    first, second = (text if re.fullmatch(r"-?\d+(?:\.\d+)?", text) else "" for text in (rule.formula1, rule.formula2))
    if rule.operator == "between":
        return first, second
    if rule.operator == "equal":
        return first, first
    if rule.operator == "greaterThanOrEqual":
        return first, ""
    if rule.operator == "lessThanOrEqual":
        return "", first
    return "", ""


def _merged(one: Rule | None, other: Rule) -> Rule:
    if one is None:
        return other
    # Excel applies one rule to a cell; an extension rule beside an empty one is the one that counts.
    return one if one.values or (one.kind and not other.values) else other


class ListSheets:
    """The sheets that list values beside or below a field's name."""

    def __init__(self, book: Book, rules: TemplateRules, names: Iterable[str]) -> None:
        """`names` are the labels and technical names of the columns."""
        self._known = {key for name in names for key in (folded(name), bare(name)) if key}
        self._by_name: dict[str, tuple[str, ...]] = {}
        self._by_column: dict[int, tuple[str, ...]] = {}
        for sheet in book.sheets:
            name = sheet.name.strip()
            if rules.column_lists and (match := re.fullmatch(rules.column_lists, name, re.IGNORECASE)):
                first = Area(1, 1, 1, _LAST_ROW)
                self._by_column[int(match[1]) + 1] = _clean(book.block(sheet.name, first))
            elif any(re.fullmatch(pattern, name, re.IGNORECASE) for pattern in rules.lists):
                self._read(dict(book.rows(sheet.name, 1, _LAST_ROW)), rules.product_types)

    def of_column(self, number: int) -> tuple[str, ...]:
        """Values from the sheet of a column."""
        return self._by_column.get(number, ())

    def of_name(self, *names: str) -> tuple[str, ...]:
        """Values beside or below one of the names."""
        for name in names:
            for key in (folded(name), bare(name)):
                if key and key in self._by_name:
                    return self._by_name[key]
        return ()

    def _read(self, rows: Mapping[int, Texts], product_types: Sequence[str]) -> None:
        across = self._across(rows, product_types)
        for name, values in (across or self._down(rows)).items():
            self._by_name.setdefault(name, values)

    def _across(self, rows: Mapping[int, Texts], product_types: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Lists that lie in rows: a label with the product type it is for, then its values."""
        wanted = {each.casefold() for each in product_types}
        found: dict[str, tuple[str, ...]] = {}
        other: dict[str, tuple[str, ...]] = {}
        for texts in rows.values():
            for column in sorted(texts)[:2]:
                match = _ROW_LABEL.match(texts[column].strip())
                if match is None:
                    continue
                values = _clean(texts[each] for each in sorted(texts) if each > column)
                types = {part.strip().casefold() for part in re.split(r"[,;]", match["types"])}
                target = found if not wanted or types & wanted else other
                target.setdefault(folded(match["label"]), values)
                break
        return {**other, **found}

    def _down(self, rows: Mapping[int, Texts]) -> dict[str, tuple[str, ...]]:
        """Lists that lie in columns, below the name of their field."""
        top = [number for number in sorted(rows) if number <= _DEEPEST]
        known = {n: sum(self._is_known(text) for text in rows[n].values()) for n in top}
        if not any(known.values()):
            return {}
        # The lowest of equals: captions of groups stand above.
        head = max(top, key=lambda number: (known[number], number))
        columns: dict[int, list[str]] = {column: [] for column in rows[head]}
        for number in sorted(rows):
            if number > head:
                for column, text in rows[number].items():
                    if column in columns:
                        columns[column].append(text)
        found: dict[str, tuple[str, ...]] = {}
        for column, values in columns.items():
            found.setdefault(folded(rows[head][column]), _clean(values))
        return {name: values for name, values in found.items() if values}

    def _is_known(self, text: str) -> bool:
        return folded(text) in self._known or bare(text) in self._known


def _clean(values: Iterable[str]) -> tuple[str, ...]:
    """Values without blanks around them, empty ones and repeats."""
    seen: dict[str, None] = {}
    for value in values:
        text = value.strip()
        if text:
            seen.setdefault(text)
        if len(seen) >= MAX_VALUES:
            break
    return tuple(seen)
