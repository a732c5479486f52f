"""The data model of a listing: what one marketplace wants for one category.

Everything here is read from data files (see `loader`); nothing is known in code about a single marketplace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import cached_property
from typing import Literal

from pydantic import Field as Entry
from pydantic import model_validator

from marketplaces.templates import Alias, Frozen, Names, TaxRate, TaxRules, TemplateRules, ValueOrder

Group = Literal["ai", "copy", "fixed", "seller_input", "offer", "compliance", "image", "variation"]
Kind = Literal["text", "number", "integer", "url", "date"]
HeaderContent = Literal[
    "settings", "label", "name", "type_hint", "example", "description", "title", "marker", "name_and_help"
]


class Field(Frozen):
    """A column of a listing.

    Attributes:
        name: technical name; the label where the marketplace has no technical names.
        label: what people see.
        group: who fills it: "ai" (read from pictures), "copy", "fixed" (a constant), "seller_input", "offer",
            "compliance", "image", "variation".
        required: whether the marketplace wants it; None where that is not known.
        fixed: declared fixed: `default` (which may be empty) wins over every other value.
        kind: type of the value.
        max_length: longest value in `length_unit`; None where not known.
        options: allowed values; empty: any.
        default: constant; values are joined by the listing's separator where the field takes several.
        multi: whether it takes several values, at most `max_values`.
        profile: name of the value in a seller's profile that fills it; "" if none.
        concept: meaning that does not depend on the marketplace, such as "metal_color"; "" if none.
        question: what to ask of the pictures; "" outside of group "ai".
        source, confidence, label_confidence, required_confidence, notes: where the facts come from and how
            sure they are: "seen", "seen_other_category" or "inferred".
    """

    name: str = Entry(min_length=1)
    label: str = Entry(min_length=1)
    group: Group
    required: bool | None = None
    fixed: bool = False
    kind: Kind = "text"
    max_length: int | None = Entry(default=None, gt=0)
    length_unit: Literal["characters", "bytes"] = "characters"
    options: tuple[str, ...] = ()
    default: str = ""
    multi: bool = False
    max_values: int = Entry(default=1, ge=1)
    profile: str = ""
    concept: str = ""
    question: str = ""
    source: str = ""
    confidence: str = ""
    label_confidence: str = ""
    required_confidence: str = ""
    notes: str = ""

    def length(self, text: str) -> int:
        """Length of a text in the unit that the marketplace counts in."""
        return len(text.encode()) if self.length_unit == "bytes" else len(text)

    @model_validator(mode="after")
    def _consistent(self) -> Field:
        if len({option.casefold() for option in self.options}) != len(self.options):
            raise ValueError(f"{self.name}: an option is listed twice")
        if any(not option or option != option.strip() for option in self.options):
            raise ValueError(f"{self.name}: an option is empty or has blanks around it")
        if self.group == "ai" and not self.question:
            raise ValueError(f"{self.name}: a vision field needs a question")
        return self


class CopyRules(Frozen):
    """What the marketplace takes of title, bullet points and description, and what it refuses in them.

    Lengths are in characters; 0 where the marketplace takes no such part. Words match without case, as whole
    words. `claims` pass where the seller vouches for them.
    """

    title_field: str | None = None
    bullet_fields: tuple[str, ...] = ()
    description_field: str | None = None
    title_max: int = 0
    title_limit: int = 0
    bullet_max: int = 0
    description_max: int = 0
    bullets_wanted: int = 0
    forbidden_characters: tuple[str, ...] = ()
    promotional: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()


class ImageRules(Frozen):
    """What the marketplace wants of a main picture.

    Attributes:
        least_side: shortest side in pixels that it takes.
        white_background: whether the ground must be white.
        least_span: least share of the frame that the product spans in width or height; 0 where nothing is said.
        source, confidence: where the facts come from, and "seen" or "inferred".
    """

    least_side: int = Entry(default=500, gt=0)
    white_background: bool = False
    least_span: float = Entry(default=0.0, ge=0, le=1)
    source: str = ""
    confidence: str = ""


class HeaderRow(Frozen):
    """A header row of the sheet and what it holds."""

    row: int = Entry(ge=1)
    content: HeaderContent


class Layout(Frozen):
    """How the marketplace's workbook is laid out. Rows count from 1; colours are RGB in hexadecimal.

    Attributes:
        sheet: the sheet that takes the products.
        rows: header rows and what each holds.
        data_row: first row of products.
        last_list_row: last row that has drop-downs.
        lists_sheet, lists_hidden, lists_first_row: where the values of long drop-downs are kept.
        sheets_before: sheets in front of the main one; they may include `lists_sheet`.
        settings_row, settings: row of key=value cells, 0 if there is none.
        title, markers, colours: texts and fills of the header.
    """

    sheet: str
    rows: tuple[HeaderRow, ...]
    data_row: int
    last_list_row: int
    lists_sheet: str
    lists_hidden: bool
    lists_first_row: int = 2
    sheets_before: tuple[str, ...] = ()
    settings_row: int = 0
    title: str = ""
    markers: Mapping[str, str] = {}
    colours: Mapping[str, str] = {}
    settings: Mapping[str, str] = {}

    def row_of(self, content: HeaderContent) -> int:
        """Row that holds `content`; 0 if there is none."""
        return next((row.row for row in self.rows if row.content == content), 0)


class VariationRules(Frozen):
    """How the marketplace wants families of variations; empty names where it has no such column.

    `group_values` is the form of a group's id where the marketplace has its own, such as `Group {n:02}`.
    """

    role_field: str = ""
    parent_value: str = ""
    child_value: str = ""
    parent_sku_field: str = ""
    relationship_field: str = ""
    relationship_value: str = ""
    theme_field: str = ""
    group_field: str = ""
    size_field: str = ""
    color_field: str = ""
    parent_rows: bool = True
    parent_omits: tuple[str, ...] = ()
    themes: Mapping[str, str] = {}
    group_values: str = ""


class Rule(Frozen):
    """What follows when `field` has one of `values`.

    Attributes:
        set: values for fields that nothing better fills.
        optional: fields that need not be filled then.
    """

    field: str
    values: tuple[str, ...]
    set: Mapping[str, str] = {}
    optional: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listing:
    """What one marketplace wants for one category of jewelry.

    Attributes:
        code: such as "ama_ear".
        name: name of the marketplace for people.
        marketplace: "amazon", "flipkart", "meesho" or "shopsy", or another one that was added as data.
        category: "earrings", "necklace" or "bracelet".
        fields: in column order.
        separator: between several values in one cell; "" where cells take one.
        sku, price, mrp: names of these fields.
        sku_copies: fields that take the SKU where nothing better is known.
        price_below_mrp: the price must be below the MRP; otherwise it may equal it.
        images: names of the columns for addresses of pictures, main one first.
        refused_image_hosts: hosts whose pictures the marketplace does not take.
        image_rules: what the marketplace wants of a main picture.
        copy, layout, variation, rules, template, tax: see their classes.
        tax_rates: rates by HSN code; the longest code that fits holds.
        price_orders, date_orders: fields of a row whose values stand in an order.
        spellings: other spellings of a value by field and value, as some of the marketplace's lists have them.
        extras: fields that only some of the marketplace's templates have.
        aliases: other names of the fields in templates.
    """

    code: str
    name: str
    marketplace: str
    category: str
    fields: tuple[Field, ...]
    separator: str
    sku: str
    price: str
    mrp: str
    sku_copies: tuple[str, ...]
    price_below_mrp: bool
    images: tuple[str, ...]
    refused_image_hosts: tuple[str, ...]
    copy: CopyRules
    layout: Layout
    variation: VariationRules
    rules: tuple[Rule, ...]
    template: TemplateRules = dataclass_field(default_factory=TemplateRules)
    tax: TaxRules = dataclass_field(default_factory=TaxRules)
    tax_rates: tuple[TaxRate, ...] = ()
    price_orders: tuple[ValueOrder, ...] = ()
    date_orders: tuple[ValueOrder, ...] = ()
    spellings: Mapping[str, Mapping[str, tuple[str, ...]]] = dataclass_field(default_factory=dict)
    extras: tuple[Field, ...] = ()
    aliases: tuple[Alias, ...] = ()
    image_rules: ImageRules = dataclass_field(default_factory=ImageRules)

    def spellings_of(self, field: str) -> Mapping[str, tuple[str, ...]]:
        """Other spellings of a field's values, by value."""
        return self.spellings.get(field, {})

    @cached_property
    def names(self) -> Names:
        """Finds the fields, `extras` included, that the headers of a template name."""
        known = {field.name: field.label for field in (*self.fields, *self.extras)}
        return Names(known, self.aliases, self.template.dropped_qualifiers)

    @cached_property
    def _by_name(self) -> Mapping[str, Field]:
        return {field.name: field for field in self.fields}

    def field(self, name: str) -> Field:
        """The field of that technical name; KeyError if there is none."""
        try:
            return self._by_name[name]
        except KeyError:
            raise KeyError(f"{self.code} has no field named {name!r}") from None

    @property
    def vision_fields(self) -> tuple[Field, ...]:
        """Fields that are read from pictures, in column order."""
        return tuple(field for field in self.fields if field.group == "ai")

    @property
    def copy_fields(self) -> tuple[Field, ...]:
        """Title, bullet points and description, those that the marketplace takes, in this order."""
        rules = self.copy
        names = (rules.title_field, *rules.bullet_fields, rules.description_field)
        return tuple(self.field(name) for name in names if name)

    @property
    def image_fields(self) -> tuple[Field, ...]:
        """Columns for addresses of pictures, main one first."""
        return tuple(self.field(name) for name in self.images)

    @property
    def sku_field(self) -> Field:
        """The column of the seller's SKU."""
        return self.field(self.sku)

    def __post_init__(self) -> None:
        """Refuses data that contradicts itself."""
        if len(self._by_name) != len(self.fields):
            raise ValueError(f"{self.code}: a field is listed twice")
        wanted = {self.sku, self.price, self.mrp, *self.sku_copies, *self.images, *self.copy.bullet_fields}
        wanted |= {name for name in (self.copy.title_field, self.copy.description_field) if name}
        for rule in self.rules:
            wanted |= {rule.field, *rule.set, *rule.optional}
        wanted |= {name for name in (self.tax.hsn_field, self.tax.rate_field) if name}
        for order in (*self.price_orders, *self.date_orders):
            wanted |= {order.lower, order.upper}
        unknown = sorted(wanted - set(self._by_name))
        if unknown:
            raise ValueError(f"{self.code}: no such field: {', '.join(unknown)}")
        for field in self.fields:
            if field.multi and not self.separator:
                raise ValueError(f"{self.code}: {field.name} takes several values but there is no separator")
