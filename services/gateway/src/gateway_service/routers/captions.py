"""POST /generate_caption and POST /upload-and-index: one picture in, a verdict and a description out."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from gateway_service import captions
from gateway_service.bodies import read_form
from gateway_service.model import Caption
from gateway_service.openapi import PROBLEMS, picture_body
from gateway_service.routers import present
from gateway_service.routers.deps import ClientsDep, SettingsDep
from gateway_service.schemas.answers import CaptionAnswer, CostOut, UploadAnswer
from gateway_service.schemas.requests import CaptionFields, UploadFields
from servicekit import deadlines

router = APIRouter(tags=["pictures"], responses=PROBLEMS)


@router.post(
    "/generate_caption",
    response_model=CaptionAnswer,
    response_model_exclude_none=True,
    openapi_extra=picture_body(CaptionFields),
)
async def generate_caption(request: Request, clients: ClientsDep, settings: SettingsDep) -> CaptionAnswer:
    """Stores a picture unless it is known, then names and describes the product.

    A duplicate is answered with the stored picture and is not described. With `check_duplicate=no` it is described all
    the same. Safe to repeat: the same file in the same website stays one picture.
    """
    clients.respite.check()
    deadlines.enter(settings.caption_seconds)
    form = await read_form(request)
    fields = form.parse(CaptionFields)
    file = form.require_file()
    found = await captions.describe(
        clients.vision_index,
        clients.analyzer,
        clients.respite,
        file.content,
        name=file.name,
        product_type="" if fields.type == "auto" else fields.type,
        website=clients.check_website(fields.website),
        sku=fields.sku,
        check_duplicate=fields.check_duplicate,
        duplicate_distance=fields.threshold,
    )
    shown = present.upload(found.upload, file.name)
    if found.caption is None:
        return CaptionAnswer(**shown, duplicate=present.DUPLICATE)
    return CaptionAnswer(**{**shown, **_described(found.caption, shown)})


@router.post(
    "/upload-and-index",
    response_model=UploadAnswer,
    response_model_exclude_none=True,
    openapi_extra=picture_body(UploadFields),
)
async def upload_and_index(request: Request, clients: ClientsDep) -> UploadAnswer:
    """Stores and indexes a picture unless it is known."""
    form = await read_form(request)
    fields = form.parse(UploadFields)
    file = form.require_file()
    found = await clients.vision_index.upload(
        file.content,
        website=clients.check_website(fields.website),
        original_name=file.name,
        skip_duplicate_check=not fields.check_duplicate,
        duplicate_distance=fields.threshold,
        sku=fields.sku,
    )
    stopped = fields.check_duplicate and found.decision.stops
    return UploadAnswer(**present.upload(found, file.name), duplicate=present.DUPLICATE if stopped else None)


def _described(caption: Caption, shown: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": caption.name,
        "display_name": caption.name or shown["display_name"],
        "generated_name": caption.name,
        "description": caption.description,
        "attributes": ", ".join(caption.attributes),
        "attributes_list": list(caption.attributes),
        "color": caption.color,
        "quality": caption.quality,
        "quality_reasons": list(caption.quality_reasons),
        "product_type": caption.product_type,
        "warnings": list(caption.warnings),
        "provenance": {**shown["provenance"], **present.provenance([caption.adapter])},
        "adapters": present.adapters([caption.adapter]),
        "cost": CostOut.model_validate(caption.cost),
    }
