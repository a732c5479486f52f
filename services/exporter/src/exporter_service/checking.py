"""What a marketplace would refuse of a product, known before it does."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import replace
from decimal import Decimal

import marketplaces
from exporter_service import taxing
from exporter_service.merging import Candidate, Merged, Merger
from exporter_service.model import Column, Finding, Origin, Product, Role, Row, Severity
from exporter_service.settling import ColumnRules
from exporter_service.xlsx import cells as xlsx

MAX_SKU = 200
# Written as pictures, seldom as letters: dingbats, symbols, pictographs and what joins them.
_PICTOGRAPHS = "\u2600-\u27bf\u2b00-\u2bff\ufe0f\U0001f000-\U0001faff"
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,200}>")


class Checker:
    """Settles the cells of one template. What is the same for all products of a request is settled once."""

    def __init__(
        self,
        listing: marketplaces.Listing,
        columns: Mapping[str, Column],
        merger: Merger,
        rules: Mapping[str, ColumnRules],
    ) -> None:
        """`columns` by the name under which values reach them, and the rules of each."""
        self.listing = listing
        self.columns = columns
        self._merger = merger
        self._rules = rules
        self.shared: dict[str, str] = {}
        self.shared_origins: dict[str, Origin] = {}
        self._shared_findings: dict[str, tuple[Finding, ...]] = {}
        self._shared_dropped: list[str] = []
        for name, candidate in merger.shared.items():
            self._share(name, candidate)
        self._wanted = frozenset(name for name, column in columns.items() if self._is_wanted(name, column))
        self._still_wanted = tuple(name for name in columns if name in self._wanted and name not in self.shared)
        self._row_checks = _RowChecks(listing, columns)

    def check(self, product: Product, merged: Merged) -> Row:
        """Checks every cell of a product, then its row as a whole."""
        sku = product.sku
        texts: dict[str, str] = {}
        origins: dict[str, Origin] = {}
        found: list[Finding] = []
        dropped = [*merged.dropped, *self._shared_dropped]
        rules = self._rules
        for name, candidate in merged.cells.items():
            column = rules.get(name)
            if column is None:
                if candidate.values:
                    dropped.append(name)
                continue
            known = column.known.get(candidate.values)
            text, findings = known if known is not None and not known[1] else column.settle(candidate)
            texts[name] = text
            if text:
                origins[name] = origin(candidate)
            if findings:
                found += findings
        for name, findings in self._shared_findings.items():
            if name not in texts:
                found += findings
        self._required(product, merged, texts, found)
        self._row_checks.run(product, _Cells(texts, self.shared), found)
        return Row(
            sku,
            texts,
            origins,
            tuple([replace(finding, sku=sku) for finding in found]),
            tuple(dropped),
            product.variation,
        )

    def whole(self, row: Row) -> dict[str, str]:
        """All texts of a row, those included that all products share."""
        return {name: text for name, text in (self.shared | dict(row.texts)).items() if text}

    def _share(self, name: str, candidate: Candidate) -> None:
        rules = self._rules.get(name)
        if rules is None:
            self._shared_dropped.append(name)
            return
        text, findings = rules.settle(candidate)
        if text:
            self.shared[name] = text
            self.shared_origins[name] = origin(candidate)
        if findings:
            self._shared_findings[name] = findings

    def _is_wanted(self, name: str, column: Column) -> bool:
        field = self.listing.field(name)
        return column.required and not field.fixed and column.kind != "url"

    def _required(self, product: Product, merged: Merged, texts: Mapping[str, str], found: list[Finding]) -> None:
        missing = [name for name in self._still_wanted if not texts.get(name)]
        missing += [name for name, text in texts.items() if not text and name in self._wanted and name in self.shared]
        if not missing:
            return
        optional = self._merger.optional(product, merged.cells)
        for name in missing:
            if name in optional:
                continue
            field = self.listing.field(name)
            sure = self.columns[name].sure
            why = "its value was refused" if name in texts or name in self._shared_findings else "it is empty"
            found.append(
                Finding(
                    "",
                    name,
                    "required",
                    Severity.ERROR if sure else Severity.WARNING,
                    f"{field.label} is wanted by {self.listing.name}; {why}",
                )
            )


class _Cells:
    """Texts of a row by field: its own before those that all share."""

    __slots__ = ("own", "shared")

    def __init__(self, own: Mapping[str, str], shared: Mapping[str, str]) -> None:
        self.own = own
        self.shared = shared

    def get(self, name: str) -> str:
        text = self.own.get(name)
        return self.shared.get(name, "") if text is None else text


class _RowChecks:
    """Checks what concerns several cells of a row."""

    def __init__(self, listing: marketplaces.Listing, columns: Mapping[str, Column]) -> None:
        self._listing = listing
        self._prices = [name for name in (listing.price, listing.mrp) if name in columns]
        self._orders = [order for order in listing.price_orders if {order.lower, order.upper} <= set(columns)]
        if len(self._prices) == 2:
            own = marketplaces.ValueOrder(lower=listing.price, upper=listing.mrp, strict=listing.price_below_mrp)
            self._orders.insert(0, own)
        self._date_orders = [o for o in listing.date_orders if {o.lower, o.upper} <= set(columns)]
        self._images = [name for name in listing.images if name in columns]
        copy = listing.copy
        self._lines = [name for name in (copy.title_field, *copy.bullet_fields) if name and name in columns]
        self._description = copy.description_field if copy.description_field in columns else ""
        self._forbidden = re.compile(f"[{re.escape(''.join(copy.forbidden_characters))}{_PICTOGRAPHS}]")
        self._tax = taxing.TaxCheck(listing, columns)

    def run(self, product: Product, cells: _Cells, found: list[Finding]) -> None:
        self._money(cells, found)
        self._dates(cells, found)
        self._pictures(product, cells, found)
        self._copy(product, cells, found)
        problem = self._tax.problem(cells.get)
        if problem is not None:
            found.append(problem)

    def _money(self, cells: _Cells, found: list[Finding]) -> None:
        for name in self._prices:
            text = cells.get(name)
            if text and float(text) <= 0:
                found.append(_found(name, "number", f"{self._label(name)} must be above 0"))
        for order in self._orders:
            lower, upper = cells.get(order.lower), cells.get(order.upper)
            if not lower or not upper:
                continue
            over = Decimal(lower) - Decimal(upper)
            if over > 0 or (over == 0 and order.strict):
                relation = "below" if order.strict else "at most"
                main = (order.lower, order.upper) == (self._listing.price, self._listing.mrp)
                what = "the price" if main else self._label(order.lower)
                limit = "the MRP" if main else self._label(order.upper)
                found.append(
                    _found(
                        order.lower,
                        "price_above_mrp" if main else "price_order",
                        f"{what} {lower} must be {relation} {limit} {upper}",
                        Severity(order.severity),
                    )
                )

    def _dates(self, cells: _Cells, found: list[Finding]) -> None:
        for order in self._date_orders:
            lower, upper = cells.get(order.lower), cells.get(order.upper)
            # ISO dates stand in the order of their texts.
            if lower and upper and (lower > upper or (lower == upper and order.strict)):
                message = f"{self._label(order.lower)} {lower} is after {self._label(order.upper)} {upper}"
                found.append(_found(order.lower, "date_order", message, Severity(order.severity)))

    def _pictures(self, product: Product, cells: _Cells, found: list[Finding]) -> None:
        if not self._images:
            return
        main = self._images[0]
        if not cells.get(main):
            message = f"{self._label(main)} is empty: give the address of a picture"
            found.append(_found(main, "image_url", message))
        urls = product.image_urls
        spare = len(urls) - len(self._images)
        if spare > 0:
            message = f"the template has no column for the last {spare} of {len(urls)} pictures"
            found.append(_found(main, "image_count", message, Severity.WARNING))
        if len(set(urls)) < len(urls):
            message = "the same picture is given more than once"
            found.append(_found(main, "image_repeated", message, Severity.WARNING))

    def _copy(self, product: Product, cells: _Cells, found: list[Finding]) -> None:
        for name in self._lines:
            text = cells.get(name)
            if text and self._forbidden.search(text):
                shown = " ".join(sorted(set(self._forbidden.findall(text)))[:10])
                message = f"{self._label(name)} should not contain {shown}"
                clean = " ".join(self._forbidden.sub(" ", text).split())
                found.append(_found(name, "forbidden_characters", message, Severity.WARNING, clean))
        if self._description:
            tag = _TAG.search(cells.get(self._description))
            if tag is not None:
                message = f"{self._label(self._description)} should not contain markup such as {tag[0][:30]}"
                found.append(_found(self._description, "forbidden_characters", message, Severity.WARNING))
        bullets = self._listing.copy.bullet_fields
        spare = len(product.copy.bullet_points) - len(bullets)
        if bullets and spare > 0:
            message = f"the template has no column for the last {spare} bullet points"
            found.append(_found(bullets[-1], "bullet_count", message, Severity.WARNING))

    def _label(self, name: str) -> str:
        return self._listing.field(name).label


def _found(field: str, rule: str, message: str, severity: Severity = Severity.ERROR, suggestion: str = "") -> Finding:
    return Finding("", field, rule, severity, message, suggestion)


def sku_problem(sku: str) -> str | None:
    """Why a SKU cannot be used; None if it can."""
    if not sku.strip():
        return "the product has no SKU: give it one"
    if len(sku) > MAX_SKU or sku != sku.strip() or sku != xlsx.clean(sku) or "\n" in sku or "\t" in sku:
        return f"the SKU must be one line of at most {MAX_SKU} characters without tabs, or blanks around it"
    return None


def unwritable(
    listing: marketplaces.Listing, product: Product, seen: Set[str], there: Set[str] = frozenset()
) -> Finding | None:
    """The finding that keeps a whole product out of the workbook; None if it may be written.

    Args:
        listing: of the template.
        product: the product.
        seen: SKUs of the products before it in the request.
        there: SKUs of the products that the template came with.
    """
    problem = sku_problem(product.sku)
    rule, severity = "sku", Severity.ERROR
    if problem is None and product.sku in seen:
        rule, problem = "duplicate_sku", "another product of this request has the same SKU; this one was not written"
    elif problem is None and product.sku in there:
        rule, problem = "duplicate_sku", "the template has a row with this SKU already; this one was not written"
    elif problem is None and product.variation.role is Role.PARENT and not listing.variation.parent_rows:
        rule, severity = "parent_row", Severity.INFO
        problem = f"{listing.name} has no rows for parents; this one was not written"
    return None if problem is None else Finding(product.sku, listing.sku, rule, severity, problem)


def origin(candidate: Candidate) -> Origin:
    """Where a value came from."""
    value = candidate.value
    if value is None:
        return (candidate.rank, candidate.source, 1.0, "", "", "")
    return (
        candidate.rank,
        candidate.source,
        value.confidence,
        value.evidence,
        value.model_id,
        value.prompt_version,
    )
