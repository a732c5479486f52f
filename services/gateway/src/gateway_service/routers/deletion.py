"""POST /delete_image: stored pictures go, by exact address."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from gateway_service.bodies import require_json
from gateway_service.openapi import PROBLEMS
from gateway_service.orders import split_addresses
from gateway_service.routers.deps import ClientsDep
from gateway_service.schemas.answers import DeleteAnswer, DeletionOut
from gateway_service.schemas.requests import DeleteRequest
from servicekit import errors

router = APIRouter(tags=["pictures"], responses=PROBLEMS, dependencies=[Depends(require_json)])

MAX_ADDRESSES = 1000


@router.post("/delete_image")
async def delete_image(body: DeleteRequest, clients: ClientsDep) -> DeleteAnswer:
    """Deletes pictures; safe to repeat. Addresses that are not ours are refused one by one."""
    urls = [url for url in split_addresses(body.s3_url) if url]
    if not 1 <= len(urls) <= MAX_ADDRESSES:
        sentence = f"send 1 to {MAX_ADDRESSES} addresses; there are {len(urls)}"
        raise errors.InvalidArgument(sentence, fields={"s3_url": sentence})
    results = await clients.vision_index.delete(urls, dry_run=body.dry_run)
    bad = sum(result.status in ("refused", "failed") for result in results)
    return DeleteAnswer(
        status="success" if not bad else "failed" if bad == len(results) else "partial",
        dry_run=body.dry_run,
        results=[DeletionOut(s3_url=one.url, status=one.status, detail=one.detail) for one in results],
    )
