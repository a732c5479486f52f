"""Rows of a workbook from what a job has kept, a person's edits and the families of variations included."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import marketplaces
from gateway_service.jobs.model import Item, edited_fields
from gateway_service.model import Family, FieldValue, Order, Row, Variation

_THEMES = {"color": "color", "size": "size", "colorsize": "color_size"}
# Amazon's limit for a SKU.
_LONGEST_SKU = 40


def rows(order: Order, items: Sequence[Item]) -> list[Row]:
    """One row per successful item in the order of the request; a family's parent comes before its children."""
    good = {item.sku: item for item in items if item.status == "success"}
    listing = marketplaces.load(order.code)
    families = {sku: family for family in order.families for sku in family.skus}
    made: list[Row] = []
    begun: set[str] = set()
    for item in items:
        if item.sku not in good:
            continue
        family = families.get(item.sku)
        if family is None:
            made.append(_row(item))
            continue
        if family.parent_sku not in begun and listing.variation.parent_rows:
            made.append(_parent(item, family))
        begun.add(family.parent_sku)
        made += _children(item, family, listing.variation.color_field)
    return made


def parent_sku(skus: Sequence[str]) -> str:
    """SKU of a family's parent: what its children's SKUs begin with, and a mark of all of them.

    The same children, in whichever order, have the same parent.
    """
    digest = hashlib.sha256("\n".join(sorted(skus)).encode()).hexdigest()[:6].upper()
    first, last = min(skus), max(skus)
    alike = next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
    stem = first[:alike].rstrip(" -_./").strip()[: _LONGEST_SKU - len("-P-") - len(digest)]
    return f"{stem or 'FAMILY'}-P-{digest}"


def child_skus(family: Family) -> list[tuple[str, str, str]]:
    """SKU of the product, SKU of the row and size, for each row of a family's children."""
    if not family.sizes:
        return [(sku, sku, "") for sku in family.skus]
    if family.theme == "size" and len(family.sizes) == len(family.skus):
        return [(sku, sku, size) for sku, size in zip(family.skus, family.sizes, strict=True)]
    return [(sku, f"{sku}-{size.replace(' ', '')}", size) for sku in family.skus for size in family.sizes]


def _row(item: Item, sku: str = "", variation: Variation | None = None) -> Row:
    assert item.analysis is not None
    assert item.copy is not None
    edits, copy = item.edits, item.copy
    return Row(
        sku=sku or item.sku,
        image_urls=item.image_urls,
        fields=edited_fields(item.analysis.fields, edits),
        title=copy.title if edits.title is None else edits.title,
        bullet_points=copy.bullet_points if edits.bullet_points is None else edits.bullet_points,
        description=copy.description if edits.description is None else edits.description,
        variation=variation,
    )


def _parent(item: Item, family: Family) -> Row:
    """The parent looks as the first of its children that went well."""
    theme = _THEMES[family.theme]
    return _row(item, family.parent_sku, Variation("parent", family.parent_sku, theme))


def _children(item: Item, family: Family, color_field: str) -> list[Row]:
    theme = _THEMES[family.theme]
    made = []
    for sku, row_sku, size in child_skus(family):
        if sku == item.sku:
            row = _row(item, row_sku)
            color = _value(row.fields, color_field) if "color" in theme else ""
            made.append(_row(item, row_sku, Variation("child", family.parent_sku, theme, size, color)))
    return made


def _value(fields: Sequence[FieldValue], name: str) -> str:
    return next((", ".join(field.values) for field in fields if field.field == name), "")
