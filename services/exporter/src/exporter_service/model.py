"""What the exporter speaks of: products, cells with their origin, findings, templates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property

import marketplaces
from servicekit import errors

# Most values in a cell of a column that only the template knows.
_MANY = 20


class Source(StrEnum):
    """Where a value came from."""

    # That of an enumeration runs Python code, millions of times in a large workbook.
    __hash__ = str.__hash__

    IMAGE = "image"
    RULE = "rule"
    CONSTANT = "constant"
    PERSON = "person"
    COPY = "copy"
    SELLER = "seller"


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Role(StrEnum):
    """Place of a row in a family of variations."""

    ALONE = "alone"
    PARENT = "parent"
    CHILD = "child"


class Format(StrEnum):
    """File format of a workbook; `OWN` is the template's."""

    OWN = "own"
    XLSX = "xlsx"
    TSV = "tsv"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Value:
    """A field's value with its evidence; `confidence` is between 0 and 1."""

    field: str
    values: tuple[str, ...]
    source: Source = Source.IMAGE
    confidence: float = 1.0
    evidence: str = ""
    model_id: str = ""
    prompt_version: str = ""
    suggestions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy of a product."""

    title: str = ""
    bullet_points: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Variation:
    """Family of a product; `theme` is "color", "size", "color_size" or ""."""

    role: Role = Role.ALONE
    parent_sku: str = ""
    theme: str = ""
    group_id: str = ""
    size: str = ""
    color: str = ""


@dataclass(frozen=True, slots=True)
class Product:
    """A row to be written."""

    sku: str
    image_urls: tuple[str, ...] = ()
    fields: tuple[Value, ...] = ()
    copy: Copy = Copy()
    variation: Variation = Variation()


@dataclass(frozen=True, slots=True)
class SellerValue:
    """A value that the seller gave with the request; `sku` is "" for all products."""

    name: str
    value: str
    sku: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What the marketplace would refuse, or may refuse. `row` counts from 1; 0 when nothing was written."""

    sku: str
    field: str
    rule: str
    severity: Severity
    message: str
    suggestion: str = ""
    row: int = 0
    cell: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a template.

    Attributes:
        number: from 1; `letters` are those of it.
        label, name: what its header says; the name is the label where the marketplace has no technical names.
        field: field of the marketplace's data that it was matched to; "" where it was not understood.
        key: under which values reach it: its field, or its own name; "" where nothing is ever written.
        required: whether the marketplace wants it filled; `sure` tells a mark of the template from a guess.
        allowed_values: empty: any.
        max_length: in the field's unit; 0: unknown.
        kind: "text", "number", "integer", "url" or "date".
        serial: dates are written as numbers of days, as the column's format wants them.
        minimum, maximum: bounds of a number; "" where there are none.
        multi: whether it takes several values.
    """

    number: int
    letters: str
    label: str
    name: str
    field: str
    key: str = ""
    required: bool = False
    sure: bool = True
    allowed_values: tuple[str, ...] = ()
    max_length: int = 0
    kind: marketplaces.Kind = "text"
    serial: bool = False
    minimum: str = ""
    maximum: str = ""
    multi: bool = False


class Medium(StrEnum):
    """File format of a template."""

    XLSX = "xlsx"
    XLSM = "xlsm"
    XLS = "xls"
    TXT = "txt"


@dataclass(frozen=True, eq=False)
class Template:
    """A workbook that takes products. Equal only to itself: what was made of one is kept by it.

    Attributes:
        data_row: first row of products, from 1; below the products that it came with.
        epoch_1904: days are counted from 1904, not from 1900.
        skus: of the products that it came with; they stay above.
        website: whose it is; "" for a built-in one.
        warnings: what was not understood.
    """

    id: str
    code: str
    version: int
    built_in: bool
    original_name: str
    sheet: str
    data_row: int
    created: datetime
    columns: tuple[Column, ...]
    content: bytes = field(repr=False)
    warnings: tuple[str, ...] = ()
    medium: Medium = Medium.XLSX
    website: str = ""
    epoch_1904: bool = False
    skus: tuple[str, ...] = ()

    @cached_property
    def by_key(self) -> Mapping[str, Column]:
        """Columns by the name under which values reach them."""
        return {column.key: column for column in self.columns if column.key}

    @cached_property
    def listing(self) -> marketplaces.Listing:
        """The marketplace's listing as this template has it: with the columns that are its own, and without a
        place for pictures and bullet points that it does not have."""
        return fitted(listing_of(self.code), self.by_key)


Origin = tuple[str, str, float, str, str, str]
"""Where a cell's value came from: step of the precedence that won, source, confidence, evidence, model, prompt."""


@dataclass(frozen=True, slots=True)
class Row:
    """A product merged and checked, ready to be kept.

    Attributes:
        texts: of the cells in which it differs from what all products of the request share; "" empties one.
        origins: of the values that its cells have, by field.
        family: its place in a family of variations.
    """

    sku: str
    texts: Mapping[str, str]
    origins: Mapping[str, Origin]
    findings: tuple[Finding, ...] = ()
    dropped: tuple[str, ...] = ()
    family: Variation = Variation()


def fitted(listing: marketplaces.Listing, columns: Mapping[str, Column]) -> marketplaces.Listing:
    """A listing cut to the columns that there are, with a field for each column that it lacks."""
    names = {each.name for each in listing.fields}
    extras = {each.name: each for each in listing.extras}
    more = tuple(extras.get(key) or _own_field(listing, column) for key, column in columns.items() if key not in names)
    bullets = tuple(name for name in listing.copy.bullet_fields if name in columns)
    return replace(
        listing,
        fields=(*listing.fields, *more),
        images=tuple(name for name in listing.images if name in columns) or listing.images,
        copy=listing.copy.model_copy(update={"bullet_fields": bullets, "bullets_wanted": len(bullets)}),
    )


def _own_field(listing: marketplaces.Listing, column: Column) -> marketplaces.Field:
    multi = column.multi and bool(listing.separator)
    return marketplaces.Field(
        name=column.key,
        label=column.label,
        group="seller_input",
        kind=column.kind,
        multi=multi,
        max_values=_MANY if multi else 1,
        max_length=column.max_length or None,
    )


def listing_of(code: str) -> marketplaces.Listing:
    """The listing of a code.

    Raises:
        errors.InvalidArgument: UNKNOWN_MARKETPLACE; the message lists the codes.
    """
    try:
        return marketplaces.load(code)
    except marketplaces.UnknownCode as error:
        raise errors.InvalidArgument(
            str(error), reason="UNKNOWN_MARKETPLACE", fields={"marketplace_code": str(error)}
        ) from error
