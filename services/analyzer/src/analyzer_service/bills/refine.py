"""Chooses columns and rows of a table by a plan that code carries out: no row or value can come from anywhere else."""

from __future__ import annotations

import re
from dataclasses import dataclass

from analyzer_service.bills import values
from analyzer_service.bills.layout import heading
from analyzer_service.bills.model import Cell, Row, Table
from servicekit import errors

OPERATORS = (">", ">=", "<", "<=", "=", "!=", "contains", "not contains", "starts with")
_WORDS = (
    (r"(?:is )?(?:greater|more|higher) than or equal(?: to)?|at least|not below|not under", ">="),
    (r"(?:is )?(?:less|lower|smaller) than or equal(?: to)?|at most|up to|not above|not over", "<="),
    (r"(?:is )?(?:greater|more|higher|larger) than|(?:is )?above|(?:is )?over|exceeds", ">"),
    (r"(?:is )?(?:less|lower|smaller|fewer) than|(?:is )?below|(?:is )?under", "<"),
    (r"does not contain|not contains|without", "not contains"),
    (r"contains|containing|includes|including", "contains"),
    (r"starts with|begins with", "starts with"),
    (r"is not|not equal to|<>|!=", "!="),
    (r">=|=>", ">="),
    (r"<=|=<", "<="),
    (r"==|equals|equal to|is|=", "="),
    (r">", ">"),
    (r"<", "<"),
)
_FILLER = re.compile(
    r"^(?:please |just |only |show |keep |give |get |list |filter |me |all |the |rows? |lines? |items? "
    r"|where |with |whose |that have |having |which )+",
    re.I,
)
_SORT = re.compile(r"^(?:sort(?:ed)?|order(?:ed)?) by (.+?)(?: (asc|ascending|desc|descending))?$", re.I)
_TOP = re.compile(
    r"^(top|first|bottom|lowest|highest|largest|smallest) (\d+)(?: (?:rows|items|lines))?(?: by (.+))?$", re.I
)


@dataclass(frozen=True)
class Condition:
    """A test of one cell; numbers are compared as numbers."""

    column: str
    operator: str
    value: str

    def holds(self, cell: Cell) -> bool:
        """Whether the cell passes; one that is no number passes no comparison of size."""
        number = cell.number if cell.number is not None else values.number(cell.text)
        wanted = values.number(self.value)
        text, part = cell.text.casefold(), self.value.casefold().strip()
        if self.operator in (">", ">=", "<", "<="):
            if number is None or wanted is None:
                return False
            return {
                ">": number > wanted,
                ">=": number >= wanted,
                "<": number < wanted,
                "<=": number <= wanted,
            }[self.operator]
        if self.operator in ("=", "!="):
            same = number == wanted if number is not None and wanted is not None else text.strip() == part
            return same == (self.operator == "=")
        if self.operator == "starts with":
            return text.startswith(part)
        return (part in text) == (self.operator == "contains")


@dataclass(frozen=True)
class Plan:
    """What to keep.

    Attributes:
        columns: in order; empty: all.
        conditions: all of them, or any where `any_of` is set.
        rows: numbers from 1 of rows to keep; None: all that pass.
        sort_by, descending, limit: order and number of rows; 0: no limit.
    """

    columns: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    any_of: bool = False
    rows: frozenset[int] | None = None
    sort_by: str = ""
    descending: bool = False
    limit: int = 0

    @property
    def words(self) -> str:
        """The plan in words."""
        parts = []
        if self.conditions:
            tests = [f"{test.column} {test.operator} {test.value}" for test in self.conditions]
            parts.append("rows with " + (" or " if self.any_of else " and ").join(tests))
        if self.rows is not None:
            parts.append("rows " + (", ".join(map(str, sorted(self.rows))) or "none"))
        if self.sort_by:
            parts.append(f"sorted by {self.sort_by}{', largest first' if self.descending else ''}")
        if self.limit:
            parts.append(f"the first {self.limit}")
        if self.columns:
            parts.append("columns " + ", ".join(self.columns))
        return "; ".join(parts) or "everything"


def apply(table: Table, plan: Plan) -> Table:
    """The rows and columns that the plan keeps, each as it was."""
    kept = [row for number, row in enumerate(table.rows, start=1) if _kept(table, row, number, plan)]
    if plan.sort_by:
        kept.sort(key=lambda row: _key(table.cell(row, plan.sort_by)), reverse=plan.descending)
    if plan.limit:
        kept = kept[: plan.limit]
    columns = plan.columns or table.columns
    rows = tuple(Row(tuple(table.cell(row, name) for name in columns), row.page) for row in kept)
    return Table(columns, rows)


def column(table: Table, name: str) -> str | None:
    """The table's own name of a column, however it is written; None where there is none."""
    plain = _plain(name)
    same = [own for own in table.columns if _plain(own) == plain]
    meant = heading(name)
    same = same or [own for own in table.columns if meant and heading(own) == meant]
    same = same or [own for own in table.columns if len(plain) >= 3 and _plain(own).startswith(plain)]
    return same[0] if len(same) == 1 else None


def columns(table: Table, names: list[str]) -> tuple[str, ...]:
    """The table's own names of the asked columns, each once.

    Raises:
        errors.InvalidArgument: COLUMN_UNKNOWN, with the names that there are.
    """
    found = []
    for name in names:
        own = column(table, name)
        if own is None:
            raise errors.InvalidArgument(
                f"the table has no column {name[:60]!r}; it has {', '.join(table.columns)}",
                reason="COLUMN_UNKNOWN",
                fields={"columns": f"one of {', '.join(table.columns)}"},
            )
        found.append(own)
    return tuple(dict.fromkeys(found))


def parsed(table: Table, text: str) -> Plan | None:
    """The plan of plain words such as `Amount > 1000 and Item contains stud`; None where they say more than that."""
    text = " ".join(text.split()).rstrip(".")
    if not text:
        return Plan()
    order = _ordered(table, _FILLER.sub("", text))
    if order is not None:
        return order
    both, either = re.split(r"\s+and\s+|\s*&&\s*", text, flags=re.I), re.split(r"\s+or\s+", text, flags=re.I)
    if len(both) > 1 and len(either) > 1:
        return None
    clauses = either if len(either) > 1 else both
    conditions = [_condition(table, clause) for clause in clauses]
    if any(condition is None for condition in conditions):
        return None
    return Plan(conditions=tuple(test for test in conditions if test), any_of=len(either) > 1)


def _condition(table: Table, clause: str) -> Condition | None:
    """The condition of one clause, as it stands or without the words before it: `Item` may be a column or a filler."""
    return _tested(table, clause.strip()) or _tested(table, _FILLER.sub("", clause.strip() + " ").strip())


def _tested(table: Table, clause: str) -> Condition | None:
    for pattern, operator in _WORDS:
        edge = r"\s+" if pattern[0].isalpha() or pattern[0] == "(" else r"\s*"
        found = re.match(rf"^(.*?)(?:^|{edge})(?:{pattern}){edge}(.+)$", clause, re.I)
        if not found:
            continue
        name, value = found.group(1).strip(), found.group(2).strip().strip("\"'")
        numeric = operator in (">", ">=", "<", "<=")
        own = column(table, name) if name else "amount" if numeric and "amount" in table.columns else None
        if own is None or not value or (numeric and values.number(value) is None):
            return None
        return Condition(own, operator, value)
    return None


def _ordered(table: Table, text: str) -> Plan | None:
    found = _SORT.match(text)
    if found and (own := column(table, found.group(1))):
        return Plan(sort_by=own, descending=(found.group(2) or "").lower().startswith("desc"))
    found = _TOP.match(text)
    if not found or not int(found.group(2)):
        return None
    if found.group(3) is None:
        return Plan(limit=int(found.group(2))) if found.group(1).lower() in ("top", "first") else None
    own = column(table, found.group(3))
    down = found.group(1).lower() in ("top", "highest", "largest", "first")
    return Plan(sort_by=own, descending=down, limit=int(found.group(2))) if own else None


def _kept(table: Table, row: Row, number: int, plan: Plan) -> bool:
    if plan.rows is not None and number not in plan.rows:
        return False
    if not plan.conditions:
        return True
    held = [test.holds(table.cell(row, test.column)) for test in plan.conditions]
    return any(held) if plan.any_of else all(held)


def _key(cell: Cell) -> tuple[bool, float, str]:
    number = cell.number if cell.number is not None else values.number(cell.text)
    return (number is None, number or 0.0, cell.text.casefold())


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
