"""GET /thresholds: what counts as a duplicate, and how well that works. POST /mark_distinct: a person knows better."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter, Depends, Request

from gateway_service.bodies import require_json
from gateway_service.openapi import PROBLEMS
from gateway_service.routers.deps import ClientsDep
from gateway_service.schemas.pictures import MarkDistinctAnswer, MarkDistinctRequest, ThresholdsAnswer

router = APIRouter(tags=["pictures"], responses=PROBLEMS)

# Who is written beside a mark where the gateway asks for no key.
_NOBODY = "rest"


@router.get("/thresholds")
async def thresholds(clients: ClientsDep) -> ThresholdsAnswer:
    """The model, its distances, and the error rates of each threshold as calibration found them."""
    return ThresholdsAnswer.model_validate(asdict(await clients.vision_index.thresholds()))


@router.post("/mark_distinct", dependencies=[Depends(require_json)])
async def mark_distinct(body: MarkDistinctRequest, request: Request, clients: ClientsDep) -> MarkDistinctAnswer:
    """Remembers that two stored pictures show different products, whatever their distance; safe to repeat."""
    said_by = str(request.scope.get("jewelry.key") or _NOBODY)
    await clients.vision_index.mark_distinct(body.s3_url, body.other_s3_url, said_by=said_by, revoke=body.revoke)
    return MarkDistinctAnswer(s3_url=body.s3_url, other_s3_url=body.other_s3_url, distinct=not body.revoke)
