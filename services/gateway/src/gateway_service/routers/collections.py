"""POST /semantic_filter_jewelry: products for a collection, by wish and within filters."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from gateway_service.bodies import require_json
from gateway_service.openapi import PROBLEMS
from gateway_service.routers import present
from gateway_service.routers.deps import ClientsDep
from gateway_service.schemas.answers import ChosenOut, CollectionAnswer
from gateway_service.schemas.requests import CollectionRequest, Needs
from gateway_service.wishes import wish

router = APIRouter(tags=["collections"], responses=PROBLEMS, dependencies=[Depends(require_json)])


@router.post("/semantic_filter_jewelry")
async def semantic_filter_jewelry(body: CollectionRequest, clients: ClientsDep) -> CollectionAnswer:
    """Finds products and names the collection. Price, date and category filter; the rest ranks."""
    wishes = {name: getattr(body.needs, name) for name in Needs.model_fields}
    found = await clients.semantic.filter(wish(**wishes))
    ids = [match.id for match in found.matches]
    return CollectionAnswer(
        jewelry_ids=ids,
        top_jewelry_ids=ids,
        collection_title=found.title,
        collection_description=found.description,
        matches=[ChosenOut.model_validate(match) for match in found.matches],
        removed_by=dict(found.removed_by),
        relaxation=found.relaxation,
        stale=found.stale,
        provenance=present.provenance(found.adapters),
    )
