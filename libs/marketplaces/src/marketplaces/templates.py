"""What is known of the workbooks that a marketplace hands out: how to find one's way in them, and under which names
they have the fields. All of it is data; nothing here reads a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict
from pydantic import Field as Entry

Standing = Literal["required", "conditional", "optional", "reserved"]


class Frozen(BaseModel):
    """Base of all data classes: immutable, and a name that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TemplateRules(Frozen):
    """How to read a workbook of the marketplace. Patterns are regular expressions that ignore case.

    Attributes:
        sheets: names that the sheet of products has; the first that fits wins over the others.
        other_sheets: names of sheets that are never the one to fill, though their header may look the same.
        settings_keys: names of the label row, the attribute row and the data row in a settings cell of row 1;
            empty where the marketplace has no such cell.
        rows_below: rows between the header and the first product.
        hint_below, marker_above: rows from the header to the row of type hints or of marker texts; 0: there is none.
        markers: what a marker text means, by pattern.
        colours: whether the header's fill tells which columns are wanted (`Layout.colours`).
        colour_distance: largest distance in RGB at which two fills are the same.
        lists: names of sheets that hold allowed values beside a field's name or label.
        column_lists: name of a sheet with the values of one column; its group is the column's number from 0.
        free_hints: type hints whose columns take any text although a `column_lists` sheet has their number.
        boolean_hint: type hint of a column that takes Yes and No.
        number_hints, date_hints, url_hints: type hints of such columns.
        definitions: sheet that lists the fields with a column that says which are wanted.
        dropped_qualifiers: parts in brackets of an attribute's name that do not tell fields apart.
        ids: identifiers of the marketplace in attribute names; another one means another country.
        product_types: names that the category has in a template.
    """

    sheets: tuple[str, ...] = ()
    other_sheets: tuple[str, ...] = ()
    settings_keys: tuple[str, str, str] | tuple[()] = ()
    rows_below: int = Entry(default=0, ge=0)
    hint_below: int = Entry(default=0, ge=0)
    marker_above: int = Entry(default=0, ge=0)
    markers: Mapping[Standing, str] = {}
    colours: bool = False
    colour_distance: int = Entry(default=40, ge=0)
    lists: tuple[str, ...] = ()
    column_lists: str = ""
    free_hints: str = ""
    boolean_hint: str = ""
    number_hints: str = ""
    date_hints: str = ""
    url_hints: str = ""
    definitions: str = ""
    dropped_qualifiers: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    product_types: tuple[str, ...] = ()


class TaxRules(Frozen):
    """Where a row says its tax, and what the marketplace's codes for rates mean in percent."""

    hsn_field: str = ""
    rate_field: str = ""
    rates: Mapping[str, str] = {}


class TaxRate(Frozen):
    """Rates in percent of the goods whose HSN code starts with `hsn`."""

    hsn: str
    rates: tuple[str, ...]
    source: str = ""


class ValueOrder(Frozen):
    """Two fields of one row whose values stand in an order; `strict`: they may not be equal."""

    lower: str
    upper: str
    strict: bool = False
    severity: Literal["error", "warning"] = "error"


class Alias(Frozen):
    """Another name of a field. `{n}`, `{name}` and `{part}` stand for the same in both."""

    field: str
    alias: str
    source: str = ""


def folded(name: str) -> str:
    """A name as it is compared: first line that is not empty, without case, marks and repeated blanks."""
    line = next((line for line in name.splitlines() if line.strip()), "")
    return " ".join(line.casefold().split()).strip("*: ")


def bare(name: str) -> str:
    """A folded name without punctuation: the weakest comparison."""
    return re.sub(r"[^a-z0-9%#]+", " ", folded(name)).strip()


class Names:
    """Finds the field that a header names."""

    def __init__(self, fields: Mapping[str, str], aliases: Iterable[Alias], dropped: Iterable[str]) -> None:
        """`fields` holds the label of each field by its technical name."""
        self._fields = fields
        self._dropped = [re.compile(rf"\[{pattern}\]", re.IGNORECASE) for pattern in dropped]
        self._patterns: list[tuple[re.Pattern[str], str]] = []
        self._plain: dict[str, str] = {}
        for alias in aliases:
            if "{" in alias.alias:
                self._patterns.append((_pattern(alias.alias), alias.field))
            else:
                self._plain.setdefault(folded(alias.alias), alias.field)

    def by_name(self, text: str) -> str:
        """The field whose technical name, or an alias of it, the text is; "" if none."""
        name = folded(text)
        for pattern in self._dropped:
            name = pattern.sub("", name)
        found = self._names.get(name) or self._plain.get(name, "")
        if found:
            return found
        for shape, field in self._patterns:
            match = shape.fullmatch(name)
            if match:
                candidate = self._names.get(field.format(**match.groupdict()).casefold(), "")
                if candidate:
                    return candidate
        return self._bare.get(bare(name), "")

    def by_label(self, text: str) -> tuple[str, ...]:
        """Fields whose label the text is, in column order: numbered fields often share one."""
        return self._labels.get(folded(text), ()) or self._bare_labels.get(bare(text), ())

    @cached_property
    def _names(self) -> dict[str, str]:
        return {folded(name): name for name in self._fields}

    @cached_property
    def _bare(self) -> dict[str, str]:
        """Names without punctuation, those that are still unlike."""
        found: dict[str, list[str]] = {}
        for key, name in (*self._plain.items(), *((name, name) for name in self._fields)):
            found.setdefault(bare(key), []).append(name)
        return {key: names[0] for key, names in found.items() if key and len(set(names)) == 1}

    @cached_property
    def _labels(self) -> dict[str, tuple[str, ...]]:
        return _grouped((folded(label), name) for name, label in self._fields.items())

    @cached_property
    def _bare_labels(self) -> dict[str, tuple[str, ...]]:
        return _grouped((bare(label), name) for name, label in self._fields.items())


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for key, name in pairs:
        if key:
            found[key] = (*found.get(key, ()), name)
    return found


def _pattern(alias: str) -> re.Pattern[str]:
    shape = re.escape(alias.casefold())
    for placeholder, text in (("n", r"\d+"), ("name", r"[a-z0-9_]+"), ("part", r"[a-z0-9_]+")):
        shape = shape.replace(re.escape("{" + placeholder + "}"), f"(?P<{placeholder}>{text})")
    return re.compile(shape)
