"""Products of a request, merged and checked one after the other, on their way into a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from exporter_service import checking, families, text_files
from exporter_service.checking import Checker
from exporter_service.keeping import Kept
from exporter_service.merging import Merger
from exporter_service.model import Finding, Origin, Product, Role, Row, SellerValue, Severity, Template, Variation
from exporter_service.settling import ColumnRules, rules_of
from servicekit import deadlines

MAX_FINDINGS = 20_000
"""Most findings that an answer holds; the review copy has all of them."""
_LOOK_AT_CLOCK = 64


# What a column takes is the same for every request; weighed as what its known values may take at most.
_RULES_BYTES = 256 * 1024 * 1024
_rules: Kept[Template, dict[str, ColumnRules]] = Kept(_RULES_BYTES, lambda rules: 100_000 * len(rules))


class Taker(Protocol):
    """Takes finished rows."""

    def add(self, row: Row) -> None:
        """Takes a row."""
        ...


@dataclass
class Prepared:
    """What became of the products of a request.

    Attributes:
        skus: of the rows, in their order.
        findings: of each row that has any, by its place among the rows.
        kept_out: findings of products that were not written.
        spare: how many findings are not told.
        dropped: names of values that no column takes.
        members: places in families, by SKU, those of the run included.
    """

    skus: list[str] = field(default_factory=list)
    findings: dict[int, tuple[Finding, ...]] = field(default_factory=dict)
    kept_out: list[Finding] = field(default_factory=list)
    spare: int = 0
    dropped: tuple[str, ...] = ()
    members: dict[str, Variation] = field(default_factory=dict)


class Preparation:
    """Merges and checks the products of one request for one template."""

    def __init__(
        self,
        template: Template,
        seller_values: Iterable[SellerValue],
        profile: Mapping[str, str],
        there: Mapping[str, Variation],
        extension: str,
    ) -> None:
        """
        Args:
            template: that is filled.
            seller_values: of the request.
            profile: the seller's values of the website by field.
            there: the run's families by SKU.
            extension: of the file that is written; text files hold less than workbooks.
        """
        self._listing = template.listing
        self._columns = template.by_key
        self._there = there
        self._skus = frozenset(template.skus)
        self._extension = extension
        groups = families.Groups(self._listing, self._columns, there.values())
        self._merger = Merger(self._listing, seller_values, profile, groups)
        rules = _rules.get(template, lambda: rules_of(self._listing, self._columns))
        self._checker = Checker(self._listing, self._columns, self._merger, rules)

    @property
    def shared(self) -> Mapping[str, str]:
        """Texts by field that all rows have unless they say otherwise."""
        return self._checker.shared

    @property
    def shared_origins(self) -> Mapping[str, Origin]:
        """Where the shared texts came from."""
        return self._checker.shared_origins

    def run(self, products: Sequence[Product], taker: Taker | None) -> Prepared:
        """Hands every row to `taker`; nothing of it is kept but what was found.

        Raises:
            errors.DeadlineExceeded: the caller's time is over.
        """
        done = Prepared(members=dict(self._there))
        seen: set[str] = set()
        dropped: dict[str, None] = {}
        told = 0
        for number, product in enumerate(products):
            if number % _LOOK_AT_CLOCK == 0:
                deadlines.shaved(1.0)
            problem = checking.unwritable(self._listing, product, seen, self._skus)
            if problem is not None:
                done.kept_out.append(problem)
                continue
            seen.add(product.sku)
            row = self._row(product)
            dropped |= dict.fromkeys(row.dropped)
            if row.findings:
                left = max(0, MAX_FINDINGS - told)
                done.findings[len(done.skus)] = row.findings[:left]
                told += len(row.findings)
            done.skus.append(row.sku)
            if row.family != _ALONE:
                done.members[row.sku] = row.family
            else:
                done.members.pop(row.sku, None)
            if taker is not None:
                taker.add(row)
        done.spare = max(0, told - MAX_FINDINGS)
        done.dropped = tuple(dropped)
        self._add_families(done)
        return done

    def _row(self, product: Product) -> Row:
        row = self._checker.check(product, self._merger.merge(product))
        if self._extension in ("txt", "csv"):
            found = text_files.findings(self._checker.whole(row), tabs=self._extension == "txt")
            row = replace(row, findings=(*row.findings, *(replace(each, sku=row.sku) for each in found)))
        family = row.family
        if family == _ALONE:
            return row
        rules = self._listing.variation
        return replace(
            row,
            family=replace(
                family,
                color=family.color or self._text(row, rules.color_field),
                size=family.size or self._text(row, rules.size_field),
            ),
        )

    def _text(self, row: Row, name: str) -> str:
        own = row.texts.get(name)
        return self.shared.get(name, "") if own is None else own

    def _add_families(self, done: Prepared) -> None:
        """Findings about families, of the products of this request only."""
        if len(done.members) == 0:
            return
        places = {sku: place for place, sku in enumerate(done.skus)}
        for finding in families.check(self._listing, self._columns, done.members):
            place = places.get(finding.sku)
            if place is not None:
                done.findings[place] = (*done.findings.get(place, ()), finding)


_ALONE = Variation(Role.ALONE)


def located(template: Template, prepared: Prepared, positions: Sequence[int]) -> tuple[Finding, ...]:
    """All findings, each with the row and the cell that it speaks of; products kept out have none.

    Args:
        template: that is filled.
        prepared: what was found.
        positions: of each row among those of the run, from 0.
    """
    found: list[Finding] = []
    for place, findings in sorted(prepared.findings.items()):
        found += in_row(template, findings, positions[place])
    found += prepared.kept_out
    if prepared.spare:
        message = f"{prepared.spare} more findings are not listed here: ask for the review copy, or send fewer products"
        found.append(Finding("", "", "more_findings", Severity.INFO, message))
    return tuple(found)


def in_row(template: Template, findings: Iterable[Finding], position: int) -> Iterator[Finding]:
    """Findings with their row and cell."""
    columns = template.by_key
    number = template.data_row + position
    for each in findings:
        cell = f"{columns[each.field].letters}{number}" if each.field in columns else ""
        yield replace(each, row=number, cell=cell)
