"""Bodies of /templates."""

from __future__ import annotations

from pydantic import AliasChoices, ConfigDict, Field

from gateway_service.schemas.answers import Answer
from gateway_service.schemas.requests import Code, Request, Website


class TemplateFields(Request):
    """Fields beside a seller's own workbook."""

    marketplace_type: Code = Field("", description="One of the ten codes.")
    marketplace: Code = Field("", description="With `type` in place of `marketplace_type`.", examples=["amazon"])
    type: Code = Field("", validation_alias=AliasChoices("type", "product_type"), examples=["earrings"])
    website: Website = ""


class ColumnOut(Answer):
    """A column of a workbook."""

    letters: str = Field(examples=["AB"])
    label: str
    name: str
    field: str = Field(description="Field that it was matched to; empty: not understood.")
    required: bool
    allowed_values: list[str] = Field(description="Empty: any.")
    max_length: int = Field(description="0: unknown.")


class TemplateSummary(Answer):
    """A template as lists show it."""

    template_id: str
    marketplace_type: str
    version: int
    built_in: bool
    original_name: str
    created: str = Field(description="RFC 3339; empty for a built-in one.")
    warnings: list[str] = Field(description="What was not understood.")


class TemplateAnswer(TemplateSummary):
    """A template with what was understood of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "template_id": "ama_ear-7f3a",
                    "marketplace_type": "ama_ear",
                    "version": 1,
                    "built_in": False,
                    "original_name": "earrings.xlsm",
                    "created": "2026-11-22T10:00:00Z",
                    "warnings": ["the column `Gift wrap` was not understood"],
                    "sheet": "Template",
                    "data_row": 4,
                    "columns": [
                        {
                            "letters": "B",
                            "label": "Metal Type",
                            "name": "metal_type",
                            "field": "metal_type",
                            "required": True,
                            "allowed_values": ["Brass", "Copper"],
                            "max_length": 0,
                        }
                    ],
                    "required": ["metal_type"],
                    "allowed_values": {"metal_type": ["Brass", "Copper"]},
                }
            ]
        }
    )

    sheet: str
    data_row: int = Field(description="First row of products, from 1.")
    columns: list[ColumnOut]
    required: list[str] = Field(description="Names of the columns that the marketplace wants filled.")
    allowed_values: dict[str, list[str]] = Field(description="By name of the column.")


class TemplatesAnswer(Answer):
    """Templates, newest first, built-in ones included."""

    templates: list[TemplateSummary]
