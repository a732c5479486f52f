"""POST and GET /templates: sellers' own workbooks."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError

from gateway_service.bodies import read_form
from gateway_service.model import Template
from gateway_service.openapi import PROBLEMS, picture_body
from gateway_service.orders import resolve_code
from gateway_service.routers.deps import ClientsDep
from gateway_service.schemas.templates import (
    ColumnOut,
    TemplateAnswer,
    TemplateFields,
    TemplatesAnswer,
    TemplateSummary,
)

router = APIRouter(tags=["templates"], responses=PROBLEMS)

_BODY = picture_body(TemplateFields, kinds=("application/octet-stream",), pictures=False)


@router.post("/templates", openapi_extra=_BODY)
async def register_template(request: Request, clients: ClientsDep) -> TemplateAnswer:
    """Takes a seller's own workbook and says what was understood of it. From then on it is the one that is filled."""
    form = await read_form(request, file_names=("file", "template"), raw_kinds=("application/vnd.",))
    fields = form.parse(TemplateFields)
    if form.file is None or not form.file.content:
        raise RequestValidationError(
            [{"type": "missing", "loc": ("body", "file"), "msg": "send the workbook as the field `file`"}]
        )
    code = resolve_code(fields.marketplace_type, fields.marketplace, fields.type)
    website = clients.check_website(fields.website)
    return _shown(await clients.exporter.register_template(code, form.file.content, form.file.name, website))


@router.get("/templates")
async def list_templates(
    clients: ClientsDep,
    marketplace_type: Annotated[str, Query(max_length=64, description="Only of this code.", examples=["ama_ear"])] = "",
    website: Annotated[str, Query(max_length=64, description="Only of this website.", examples=["alya"])] = "",
) -> TemplatesAnswer:
    """Templates, newest first, built-in ones included."""
    code = resolve_code(marketplace_type) if marketplace_type.strip() else ""
    found = await clients.exporter.templates(code, clients.check_website(website.strip()))
    return TemplatesAnswer(templates=[TemplateSummary.model_validate(_summary(one)) for one in found])


@router.get("/templates/{template_id}")
async def describe_template(template_id: str, clients: ClientsDep) -> TemplateAnswer:
    """One template with its columns."""
    return _shown(await clients.exporter.template(template_id))


def _summary(template: Template) -> dict[str, object]:
    return {
        "template_id": template.id,
        "marketplace_type": template.code,
        "version": template.version,
        "built_in": template.built_in,
        "original_name": template.original_name,
        "created": template.created,
        "warnings": list(template.warnings),
    }


def _shown(template: Template) -> TemplateAnswer:
    columns = [ColumnOut.model_validate(column) for column in template.columns]
    return TemplateAnswer.model_validate(
        {
            **_summary(template),
            "sheet": template.sheet,
            "data_row": template.data_row,
            "columns": columns,
            "required": [column.name for column in columns if column.required],
            "allowed_values": {column.name: column.allowed_values for column in columns if column.allowed_values},
        }
    )
