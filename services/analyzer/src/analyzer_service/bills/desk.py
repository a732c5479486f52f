"""What the service does with bills: reads one into a table and tests it, refines a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from analyzer_service.adapters.base import AdapterInfo
from analyzer_service.bills import checks, refine
from analyzer_service.bills.model import Bill, Check, Table
from analyzer_service.bills.refine import Plan
from analyzer_service.pricing import Cost
from servicekit import errors

MOST_PROMPT = 2000
MOST_ROWS = 5000
MOST_COLUMNS = 100
MOST_CELL = 2000
# A model is shown at most this many rows.
_MOST_ROWS_FOR_MODEL = 500
RULES = AdapterInfo("bills", "rules", True, "", "plain conditions, carried out by code")


class Reader(Protocol):
    """Reads the pages of a bill."""

    async def read(self, files: Sequence[bytes], prompt: str) -> tuple[Bill, Cost]:
        """The bill."""
        ...

    async def info(self) -> AdapterInfo:
        """Who answers."""
        ...

    async def close(self) -> None:
        """Ends what runs."""
        ...


class Planner(Protocol):
    """Understands free wishes."""

    async def plan(self, table: Table, wish: str) -> tuple[Plan | None, Cost]:
        """A plan; None where the wish cannot be met by choosing."""
        ...

    async def info(self) -> AdapterInfo:
        """Who answers."""
        ...


@dataclass(frozen=True)
class ReadBill:
    """A bill with its tests."""

    bill: Bill
    checks: tuple[Check, ...]
    adapter: AdapterInfo
    cost: Cost


@dataclass(frozen=True)
class Refined:
    """A refined table, and how the words were understood."""

    table: Table
    understood: str
    adapter: AdapterInfo
    cost: Cost


@dataclass
class Bills:
    """The domain of bills; without a planner only plain conditions are understood."""

    reader: Reader
    planner: Planner | None = None

    async def read(self, files: Sequence[bytes], prompt: str) -> ReadBill:
        """Reads and tests a bill.

        Raises:
            errors.InvalidArgument: The pages cannot be read or show no bill (NOT_A_BILL), or a limit is passed.
            errors.ServiceError: As the reader.
        """
        if len(prompt) > MOST_PROMPT:
            raise errors.InvalidArgument(
                f"the prompt has {len(prompt)} characters; at most {MOST_PROMPT} are taken",
                fields={"prompt": f"at most {MOST_PROMPT} characters"},
            )
        bill, cost = await self.reader.read(files, prompt.strip())
        if not bill.table.rows and not any(item.name in ("invoice_no", "total") for item in bill.fields):
            raise errors.InvalidArgument(
                "no bill was found on these pages; send a straight, sharp picture of the whole bill",
                reason="NOT_A_BILL",
            )
        bill, found = checks.checked(bill)
        return ReadBill(bill, found, await self.reader.info(), cost)

    async def refine(self, table: Table, columns: list[str], wish: str) -> Refined:
        """Chooses columns and rows.

        Raises:
            errors.InvalidArgument: A limit is passed, a row has another number of cells than there are columns, or a
                column is unknown (COLUMN_UNKNOWN), or the wish cannot be met by choosing (REFINEMENT_NOT_UNDERSTOOD).
            errors.FailedPrecondition: The words need a model and there is no key (MODEL_NEEDED).
        """
        _check_table(table, wish)
        wanted = refine.columns(table, columns)
        plan, cost, adapter = refine.parsed(table, wish), Cost(), RULES
        if plan is None:
            if self.planner is None:
                raise errors.FailedPrecondition(
                    "these words need a model; set GOOGLE_API_KEY, or write conditions such as `Amount > 1000 and "
                    "Description contains stud`",
                    reason="MODEL_NEEDED",
                )
            plan, cost = await self.planner.plan(replace(table, rows=table.rows[:_MOST_ROWS_FOR_MODEL]), wish)
            adapter = await self.planner.info()
            if plan is None:
                raise errors.InvalidArgument(
                    "this wish cannot be met by choosing rows and columns of the table; write a condition such as "
                    "`Amount > 1000`",
                    reason="REFINEMENT_NOT_UNDERSTOOD",
                    fields={"refinement": "not understood"},
                )
        plan = replace(plan, columns=wanted or plan.columns)
        return Refined(refine.apply(table, plan), plan.words, adapter, cost)


def _check_table(table: Table, wish: str) -> None:
    problem = ""
    if not table.columns or len(table.columns) > MOST_COLUMNS or len(set(table.columns)) != len(table.columns):
        problem = f"give 1 to {MOST_COLUMNS} columns, each name once"
    elif len(table.rows) > MOST_ROWS:
        problem = f"the table has {len(table.rows)} rows; at most {MOST_ROWS} are taken"
    elif any(len(row.cells) != len(table.columns) for row in table.rows):
        problem = "every row needs one cell per column"
    elif any(len(cell.text) > MOST_CELL for row in table.rows for cell in row.cells):
        problem = f"a cell has more than {MOST_CELL} characters"
    elif len(wish) > MOST_PROMPT:
        problem = f"the refinement has more than {MOST_PROMPT} characters"
    if problem:
        raise errors.InvalidArgument(problem, reason="TABLE_INVALID", fields={"table": problem})
