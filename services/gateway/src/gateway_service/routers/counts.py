"""POST /collection_counts: how many products the filters of a collection leave, before anybody chooses among them."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from gateway_service.bodies import require_json
from gateway_service.openapi import PROBLEMS
from gateway_service.routers.deps import ClientsDep
from gateway_service.schemas.counts import CountsAnswer
from gateway_service.schemas.requests import CollectionRequest, Needs
from gateway_service.wishes import wish

router = APIRouter(tags=["collections"], responses=PROBLEMS, dependencies=[Depends(require_json)])


@router.post("/collection_counts")
async def collection_counts(body: CollectionRequest, clients: ClientsDep) -> CountsAnswer:
    """Counts only: takes what /semantic_filter_jewelry takes, ranks nothing and asks no model."""
    wishes = {name: getattr(body.needs, name) for name in Needs.model_fields}
    return CountsAnswer.model_validate(await clients.semantic.count(wish(**wishes)))
