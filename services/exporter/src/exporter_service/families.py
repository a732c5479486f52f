"""Families of variations: the ids of groups, and whether parents and children fit together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import marketplaces
from exporter_service.model import Column, Finding, Role, Severity, Variation

Members = Mapping[str, Variation]


class Groups:
    """Gives out the ids that the marketplace has for groups, in the order in which families appear.

    A family that names one of the marketplace's own ids keeps it.
    """

    def __init__(
        self, listing: marketplaces.Listing, columns: Mapping[str, Column], there: Iterable[Variation]
    ) -> None:
        """`there` are the families that the run has already, in their order."""
        self._form = listing.variation.group_values
        column = columns.get(listing.variation.group_field)
        self._allowed = frozenset(column.allowed_values) if column else frozenset()
        self._given: dict[str, str] = {}
        self._used: set[str] = set()
        if self._form:
            for family in there:
                name = name_of(family)
                if name:
                    self(name)

    def __call__(self, family: str) -> str:
        """The id of a family."""
        if not self._form:
            return family
        known = self._given.get(family)
        if known is None:
            known = family if family in self._allowed else self._next()
            self._given[family] = known
            self._used.add(known)
        return known

    def _next(self) -> str:
        number = len(self._given) + 1
        while self._form.format(n=number) in self._used:
            number += 1
        return self._form.format(n=number)


def name_of(family: Variation) -> str:
    """What ties the members of a family together."""
    return family.group_id or family.parent_sku


def check(listing: marketplaces.Listing, columns: Mapping[str, Column], members: Members) -> list[Finding]:
    """What does not fit in the families of a workbook.

    Args:
        listing: of the template.
        columns: of the template.
        members: place of each product by SKU, those of the run's earlier rows included; only products that belong to
            a family.
    """
    rules = listing.variation
    parents = {sku: family for sku, family in members.items() if family.role is Role.PARENT}
    found: list[Finding] = []
    children: dict[str, list[str]] = {}
    for sku, family in members.items():
        if family.role is not Role.PARENT and name_of(family):
            children.setdefault(_key(rules, family), []).append(sku)
    if rules.parent_rows and rules.parent_sku_field in columns:
        found += _parents(rules, members, parents, children)
    for skus in children.values():
        found += _alike(rules, members, skus)
        if not rules.parent_rows and len(skus) == 1:
            message = "the group has one product: give its variations the same group, or leave the group out"
            found.append(Finding(skus[0], rules.group_field, "group_of_one", Severity.WARNING, message))
    found += _attributes(rules, columns, members)
    return found


def _key(rules: marketplaces.VariationRules, family: Variation) -> str:
    return family.parent_sku if rules.parent_rows else name_of(family)


def _parents(
    rules: marketplaces.VariationRules,
    members: Members,
    parents: Mapping[str, Variation],
    children: Mapping[str, list[str]],
) -> list[Finding]:
    """Every child has its parent's row, every parent has children, and they vary in the same."""
    found = []
    for sku, family in members.items():
        if family.role is Role.PARENT:
            if sku not in children:
                message = "the parent has no children: add products that name it, or leave it out"
                found.append(Finding(sku, rules.role_field, "parent_childless", Severity.WARNING, message))
            if not family.theme:
                message = "a parent names what its children vary in: color, size or both"
                found.append(Finding(sku, rules.theme_field, "variation_theme", Severity.ERROR, message))
            continue
        if family.role is not Role.CHILD:
            continue
        field = rules.parent_sku_field
        parent = parents.get(family.parent_sku)
        if not family.parent_sku:
            found.append(Finding(sku, field, "parent_missing", Severity.ERROR, "a child names the SKU of its parent"))
        elif family.parent_sku == sku:
            message = "the product names itself as its parent"
            found.append(Finding(sku, field, "parent_missing", Severity.ERROR, message))
        elif parent is None:
            message = (
                f"the parent {family.parent_sku} has no row in this workbook: add it, unless the marketplace has it"
            )
            severity = Severity.ERROR if family.parent_sku in members else Severity.WARNING
            found.append(Finding(sku, field, "parent_missing", severity, message))
        elif parent.theme and family.theme and parent.theme != family.theme:
            message = f"the child varies in {family.theme}, its parent in {parent.theme}"
            found.append(Finding(sku, rules.theme_field, "variation_theme", Severity.ERROR, message))
    return found


def _alike(rules: marketplaces.VariationRules, members: Members, skus: list[str]) -> list[Finding]:
    """No two of a family may be the same in all that they vary in."""
    kinds = Counter((members[sku].color.casefold(), members[sku].size.casefold()) for sku in skus)
    return [
        Finding(
            sku,
            rules.color_field if members[sku].color else rules.size_field or rules.group_field,
            "variation_repeated",
            Severity.ERROR,
            "another product of the family has the same colour and size",
        )
        for sku in skus
        if any((members[sku].color, members[sku].size))
        and kinds[(members[sku].color.casefold(), members[sku].size.casefold())] > 1
    ]


def _attributes(rules: marketplaces.VariationRules, columns: Mapping[str, Column], members: Members) -> list[Finding]:
    """A child says what it varies in."""
    found = []
    for sku, family in members.items():
        if family.role is not Role.CHILD:
            continue
        for part, text, field in (
            ("color", family.color, rules.color_field),
            ("size", family.size, rules.size_field),
        ):
            if part in family.theme.split("_") and not text and field in columns:
                message = f"the family varies in {part}: say the {part} of this product"
                found.append(Finding(sku, field, "variation_value", Severity.ERROR, message))
    return found
