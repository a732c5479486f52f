"""What a person should look at in a job's products, and in which order; plain data in, plain data out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

# Severities of findings, worst first; anything else asks nothing of a person.
_RANKS = {"error": 0, "warning": 1}
# Rules about the pictures' addresses: no other text in the cell would help.
_OF_PICTURES = frozenset({"image_host"})
# The rank of what no finding is about.
_NO_RANK = 2


@dataclass(frozen=True)
class Column:
    """A column of the workbook: what it takes. `max_length` 0: unknown; `options` empty: anything."""

    field: str
    label: str
    required: bool = False
    options: tuple[str, ...] = ()
    max_length: int = 0
    position: int = 0


@dataclass(frozen=True)
class Finding:
    """What the marketplace would or may refuse."""

    severity: str
    message: str
    field: str = ""
    rule: str = ""
    cell: str = ""
    suggestion: str = ""


@dataclass(frozen=True)
class Cell:
    """One value of one product, with all that helps to judge it.

    Attributes:
        confidence: Between 0 and 1; 1 for a person's own value.
        reason: Why it should be looked at; empty where nothing asks for it.
        evidence: What of the picture speaks for the value.
        doubtful: Whether the API wants it looked at.
    """

    sku: str
    column: Column
    values: tuple[str, ...] = ()
    confidence: float = 0.0
    reason: str = ""
    suggestions: tuple[str, ...] = ()
    evidence: str = ""
    source: str = ""
    findings: tuple[Finding, ...] = ()
    doubtful: bool = False

    @property
    def rank(self) -> int:
        """0 for what is refused, 1 for what may be, 2 for the rest."""
        return min((_RANKS.get(finding.severity, _NO_RANK) for finding in self.findings), default=_NO_RANK)

    @property
    def is_open(self) -> bool:
        """True for what a person should look at: a finding, or a value or suggestion that is in doubt."""
        return self.rank < _NO_RANK or (
            self.source != "person" and self.doubtful and bool(self.values or self.suggestions)
        )

    @property
    def order(self) -> tuple[int, float, int]:
        """What is refused first, then the lowest confidence, then the order of the workbook."""
        return (self.rank, self.confidence, self.column.position)


@dataclass(frozen=True)
class Copy:
    """Title, bullet points and description."""

    title: str = ""
    bullet_points: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True)
class Product:
    """A product of a job with its cells in the order in which they should be looked at."""

    sku: str
    name: str
    status: str
    error: str = ""
    image_urls: tuple[str, ...] = ()
    cells: tuple[Cell, ...] = field(default=(), repr=False)
    findings: tuple[Finding, ...] = ()
    copy: Copy = Copy()

    @property
    def open_cells(self) -> tuple[Cell, ...]:
        """Those that a person should look at."""
        return tuple(cell for cell in self.cells if cell.is_open)

    @property
    def errors(self) -> int:
        """Cells that the marketplace would refuse."""
        return sum(cell.rank == 0 for cell in self.open_cells)

    @property
    def order(self) -> tuple[bool, tuple[int, float, int]]:
        """Products with something open first, the most urgent cell deciding."""
        first = min((cell.order for cell in self.open_cells), default=(_NO_RANK, 1.0, 0))
        return (not self.open_cells, first)


def columns(template: Mapping[str, Any]) -> dict[str, Column]:
    """Columns of a template by the field that they were matched to; the first of several with one field."""
    found: dict[str, Column] = {}
    for position, entry in enumerate(template.get("columns") or []):
        name = str(entry.get("field") or "")
        if name and name not in found:
            found[name] = Column(
                field=name,
                label=str(entry.get("label") or name),
                required=bool(entry.get("required")),
                options=tuple(str(one) for one in entry.get("allowed_values") or ()),
                max_length=int(entry.get("max_length") or 0),
                position=position,
            )
    return _told_apart(found)


def product(result: Mapping[str, Any], known: Mapping[str, Column], bound: float) -> Product:
    """A product of a job's results.

    Args:
        result: One entry of `results` of GET /jobs/{id}, or what PATCH answers.
        known: Columns of the workbook by field.
        bound: Confidence below which a value is in doubt.
    """
    sku = str(result.get("sku") or "")
    findings = [_finding(entry) for entry in result.get("issues") or []]
    reviewed = {str(entry.get("field")): entry for entry in result.get("review") or []}
    cells = {}
    for entry in result.get("fields") or []:
        name = str(entry.get("field") or "")
        column = known.get(name)
        if column is None:
            # The workbook has no such column: nothing that a person writes would arrive.
            continue
        cells[name] = _cell(sku, column, entry, reviewed.get(name, {}), bound)
    for finding in findings:
        if _is_about_a_cell(finding, known):
            cell = cells.get(finding.field) or Cell(sku, known[finding.field])
            # A finding is as old as the workbook: what was empty then may have been filled by a person since.
            if not (finding.rule == "required" and cell.source == "person" and cell.values):
                cells[finding.field] = replace(cell, findings=(*cell.findings, finding))
    written = result.get("copy") or {}
    return Product(
        sku=sku,
        name=str(result.get("name") or sku),
        status=str(result.get("status") or ""),
        error=str(result.get("error") or ""),
        image_urls=tuple(str(url) for url in result.get("image_urls") or ()),
        cells=tuple(sorted(cells.values(), key=lambda cell: cell.order)),
        findings=tuple(one for one in findings if one.severity in _RANKS and not _is_about_a_cell(one, known)),
        copy=Copy(
            str(written.get("title") or ""),
            tuple(str(one) for one in written.get("bullet_points") or ()),
            str(written.get("description") or ""),
        ),
    )


def settled(earlier: Product, answered: Product) -> Product:
    """A product after a person's edit, without the findings about what was edited.

    The findings are those of the workbook that was written last; only the next one tells what became of them.
    """
    edited = {cell.column.field for cell in answered.cells if cell.source == "person"}
    findings = {cell.column.field: cell.findings for cell in earlier.cells}
    cells = [
        replace(cell, findings=() if cell.column.field in edited else findings.get(cell.column.field, ()))
        for cell in answered.cells
    ]
    kept = {cell.column.field for cell in cells}
    cells += [cell for cell in earlier.cells if cell.column.field not in kept]
    return replace(answered, cells=tuple(sorted(cells, key=lambda cell: cell.order)), findings=earlier.findings)


def in_order(products: Iterable[Product]) -> list[Product]:
    """What is most urgent first; equal ones as the job has them."""
    return sorted((one for one in products if one.status == "success"), key=lambda one: one.order)


def open_fields(products: Sequence[Product]) -> list[Column]:
    """Columns in which something is open in any product, the most urgent first."""
    orders: dict[str, tuple[tuple[int, float, int], Column]] = {}
    for one in products:
        for cell in one.open_cells:
            name = cell.column.field
            if name not in orders or cell.order < orders[name][0]:
                orders[name] = (cell.order, cell.column)
    return [column for _, column in sorted(orders.values(), key=lambda entry: entry[0])]


def grid(products: Sequence[Product], shown: Sequence[Column]) -> list[dict[str, str]]:
    """A row per product, a column per field; several values are joined by commas."""
    rows = []
    for one in products:
        by_field = {cell.column.field: cell for cell in one.cells}
        row = {"sku": one.sku, "name": one.name}
        for column in shown:
            cell = by_field.get(column.field)
            row[column.field] = ", ".join(cell.values) if cell else ""
        rows.append(row)
    return rows


def changes(
    before: Sequence[Mapping[str, str]], after: Sequence[Mapping[str, Any]], fields: Iterable[str]
) -> dict[str, dict[str, str]]:
    """What a person changed in a grid: by SKU, then by field."""
    names = list(fields)
    found: dict[str, dict[str, str]] = {}
    for old, new in zip(before, after, strict=True):
        changed = {name: _text(new.get(name)) for name in names if _text(new.get(name)) != old.get(name, "")}
        if changed:
            found[old["sku"]] = changed
    return found


def apart(one: Product, name: str, text: str) -> list[str]:
    """The values that a text of the grid stands for; a comma separates only where there were several values."""
    several = any(cell.column.field == name and len(cell.values) > 1 for cell in one.cells)
    return [part.strip() for part in (text.split(",") if several else [text]) if part.strip()]


def accepted(cells: Iterable[Cell], given: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """What to send when a person accepts what a form shows: what was changed, and what stands though in doubt."""
    sent: dict[str, list[str]] = {}
    for cell in cells:
        values = [value.strip() for value in given.get(cell.column.field, cell.values) if value.strip()]
        if tuple(values) != cell.values or (values and cell.is_open):
            sent[cell.column.field] = values
    return sent


def _cell(sku: str, column: Column, entry: Mapping[str, Any], wanted: Mapping[str, Any], bound: float) -> Cell:
    values = tuple(str(one) for one in entry.get("values") or ())
    confidence = float(entry.get("confidence") or 0.0)
    return Cell(
        sku=sku,
        column=column,
        values=values,
        confidence=confidence,
        reason=str(wanted.get("reason") or ""),
        suggestions=tuple(str(one) for one in wanted.get("suggestions") or ()),
        evidence=str(entry.get("evidence") or ""),
        source=str(entry.get("source") or ""),
        doubtful=bool(wanted) or (bool(values) and confidence < bound),
    )


def _finding(entry: Mapping[str, Any]) -> Finding:
    return Finding(
        severity=str(entry.get("severity") or ""),
        message=str(entry.get("message") or ""),
        field=str(entry.get("field") or ""),
        rule=str(entry.get("rule") or ""),
        cell=str(entry.get("cell") or ""),
        suggestion=str(entry.get("suggestion") or ""),
    )


def _is_about_a_cell(finding: Finding, known: Mapping[str, Column]) -> bool:
    return finding.severity in _RANKS and finding.field in known and finding.rule not in _OF_PICTURES


def _told_apart(found: dict[str, Column]) -> dict[str, Column]:
    """Labels that come more than once get a number."""
    totals: dict[str, int] = {}
    for column in found.values():
        totals[column.label] = totals.get(column.label, 0) + 1
    seen: dict[str, int] = {}
    named = {}
    for name, column in found.items():
        count = seen[column.label] = seen.get(column.label, 0) + 1
        named[name] = replace(column, label=f"{column.label} {count}") if totals[column.label] > 1 else column
    return named


def _text(value: Any) -> str:
    # An empty cell of the editor is None or, from pandas, not equal to itself.
    return "" if value is None or value != value else str(value).strip()
