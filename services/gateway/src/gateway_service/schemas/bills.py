"""Bodies of the paths that read and refine tables."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from gateway_service.schemas.answers import AdapterOut, Answer, CostOut
from gateway_service.schemas.requests import JsonRequest, Request, Text

Value = str | int | float | bool | None


class BillFields(Request):
    """Fields beside the pages of a bill."""

    prompt: Text = Field("", description="What to look for beside the table.", examples=["also the delivery address"])


class CheckOut(Answer):
    """An arithmetic or checksum test of a bill."""

    rule: str = Field(examples=["line_amount"])
    row: int = Field(description="Row from 1; 0: the bill as a whole.")
    passed: bool
    unsure: bool = Field(description="A value that it needs could not be read.")
    detail: str = Field(examples=["12 x 45.00 is 540.00, the bill says 504.00"])


class BillAnswer(Answer):
    """What a bill holds."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "columns": ["description", "qty", "rate", "amount"],
                    "table": [{"description": "Stud", "qty": 12, "rate": 45, "amount": 540}],
                    "confidence": [[0.98, 0.97, 0.97, 0.99]],
                    "extracted_data": {"invoice_no": "A-17", "date": "2026-11-02", "total": "540.00"},
                    "extras": {},
                    "checks": [
                        {"rule": "line_amount", "row": 1, "passed": True, "unsure": False, "detail": "12 x 45 = 540"}
                    ],
                    "provenance": {"bills": "gemini"},
                    "adapters": [],
                    "cost": {"calls": 1, "input_tokens": 900, "output_tokens": 200, "inr": 0.11},
                }
            ]
        }
    )

    columns: list[str] = Field(description="Names of the columns in the order of the bill.")
    table: list[dict[str, Value]] = Field(description="Rows by column; numbers where a cell is one.")
    confidence: list[list[float]] = Field(description="Confidence of each cell, between 0 and 1.")
    extracted_data: dict[str, str] = Field(description="Header fields and totals.")
    extras: dict[str, str] = Field(description="What the prompt asked for beside the table.")
    checks: list[CheckOut]
    provenance: dict[str, str] = Field(description="Who answered, by role.")
    adapters: list[AdapterOut]
    cost: CostOut


class RefineRequest(JsonRequest):
    """A table to refine."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "data": [{"Item": "Stud", "Qty": 2, "Amount": 1200}, {"Item": "Hoop", "Qty": 5, "Amount": 800}],
                    "columns": ["Item", "Amount"],
                    "manual": "Amount > 1000",
                }
            ]
        }
    )

    data: list[dict[str, Value]] = Field(description="Rows by name of the column.")
    columns: str | list[str] = Field(
        default_factory=list, description="Columns to keep, in order: a comma string or an array; empty: all."
    )
    manual: Text = Field(
        "",
        description="The refinement. Plain conditions need no model: `Amount > 1000`, `Qty <= 2 and Item = Stud`, "
        "`Item contains hoop`.",
    )


class RefineAnswer(Answer):
    """Rows and columns that were asked for, with the values that were sent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "data": [{"Item": "Stud", "Amount": 1200}],
                    "filtered_csv": "Item,Amount\r\nStud,1200\r\n",
                    "columns": ["Item", "Amount"],
                    "understood": "Amount > 1000",
                    "provenance": {"bills": "conditions"},
                    "cost": {"calls": 0, "input_tokens": 0, "output_tokens": 0, "inr": 0.0},
                }
            ]
        }
    )

    data: list[dict[str, Value]]
    filtered_csv: str = Field(description="The same as CSV; no cell can be taken for a formula.")
    columns: list[str]
    understood: str = Field(description="How the words were understood.")
    provenance: dict[str, str]
    cost: CostOut
