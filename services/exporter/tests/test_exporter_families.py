"""A parent with two children, written into the workbook of every marketplace."""

from __future__ import annotations

import io
from collections.abc import Callable
from types import ModuleType

import pytest
from openpyxl import load_workbook

import marketplaces
from exporter_service.exporting import Exporter, Order
from exporter_service.model import Product, Role, Severity, Template, Variation
from exporter_service.templates import Templates

# The reader of these tests says that it would lose what the exporter keeps.
pytestmark = pytest.mark.filterwarnings("ignore:Data Validation extension:UserWarning")


def family(template: Template) -> tuple[tuple[str, str], list[Product]]:
    """Two colours that the workbook knows, and a parent, a child in each, and a product without a family."""
    listed = template.by_key[template.listing.variation.color_field].allowed_values
    first, second = listed[:2] or ("Gold", "Silver")
    return (first, second), [
        Product("P", variation=Variation(Role.PARENT, "P", "color")),
        Product("C1", variation=Variation(Role.CHILD, "P", "color", color=first)),
        Product("C2", variation=Variation(Role.CHILD, "P", "color", color=second)),
        Product("ALONE"),
    ]


FAULTS = {"parent_missing", "parent_childless", "variation_theme", "variation_repeated", "variation_value"}


async def written(
    exporter: Exporter, template: Template, stored: Callable[[str], bytes], *names: str
) -> tuple[list[list[object]], set[str]]:
    """Cells of some fields in every row of the family, and the rules of all findings."""
    done = await exporter.export(Order(template.code, family(template)[1], template.id))
    sheet = load_workbook(io.BytesIO(stored(done.url)))[template.sheet]
    columns = {column.key: column.number for column in template.columns if column.key}
    rows = range(template.data_row, template.data_row + done.rows)
    return [[sheet.cell(row, columns[name]).value for name in names] for row in rows], {f.rule for f in done.findings}


@pytest.mark.parametrize("kind", ["built-in", "legacy", "unified"])
@pytest.mark.parametrize("code", ["ama_ear", "ama_nec", "ama_bra"])
async def test_amazon_has_a_row_for_the_parent(
    exporter: Exporter,
    templates: Templates,
    layouts: ModuleType,
    stored: Callable[[str], bytes],
    code: str,
    kind: str,
) -> None:
    make = {"legacy": layouts.amazon_legacy, "unified": layouts.amazon_unified}.get(kind)
    template = await (templates.register(code, make(code), "a.xlsm", "") if make else templates.choose(code))
    names = ["item_sku", "parent_child", "parent_sku", "variation_theme", "color_name", "standard_price"]
    rows, rules = await written(exporter, template, stored, *names)
    (first, second), _ = family(template)
    theme = "COLOR" if kind == "unified" else "ColorName"
    assert rows == [
        ["P", "Parent", None, theme, None, None],
        ["C1", "Child", "P", theme, first, 449],
        ["C2", "Child", "P", theme, second, 449],
        ["ALONE", None, None, None, None, 449],
    ]
    assert not rules & FAULTS
    if kind != "unified":
        related, _ = await written(exporter, template, stored, "relationship_type")
        assert related == [[None], ["Variation"], ["Variation"], [None]]


@pytest.mark.parametrize("kind", ["built-in", "own"])
@pytest.mark.parametrize("code", [code for code in marketplaces.CODES if not code.startswith("ama")])
async def test_the_others_have_a_group(
    exporter: Exporter,
    templates: Templates,
    layouts: ModuleType,
    stored: Callable[[str], bytes],
    code: str,
    kind: str,
) -> None:
    template = await (
        templates.register(code, layouts.BY_CODE[code](code), "a.xlsx", "") if kind == "own" else templates.choose(code)
    )
    listing = template.listing
    group = "Group 01" if code.startswith("mee") else "P"
    rows, rules = await written(exporter, template, stored, listing.sku, "Group ID", listing.variation.color_field)
    (first, second), products = family(template)
    assert rows == [["C1", group, first], ["C2", group, second], ["ALONE", None, None]]
    assert "parent_row" in rules
    assert not rules & FAULTS
    found = await exporter.validate(Order(code, products[1:2], template.id))
    assert ("C1", "group_of_one", Severity.WARNING) in {(f.sku, f.rule, f.severity) for f in found}
