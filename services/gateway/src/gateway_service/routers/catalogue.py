"""POST /catalog-ai and /catalog_ai_variations: products into a workbook; POST /clear_excel_file: the next workbook."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from gateway_service.bodies import require_json
from gateway_service.clients import Clients
from gateway_service.families import with_families
from gateway_service.idempotency import SCOPE_KEY
from gateway_service.jobs.model import CATALOGUE, VARIATIONS
from gateway_service.jobs.service import Asked, Jobs
from gateway_service.model import Order
from gateway_service.openapi import PROBLEMS
from gateway_service.orders import order, resolve_code
from gateway_service.routers import products
from gateway_service.routers.deps import ClientsDep, JobsDep, SettingsDep
from gateway_service.schemas.answers import CatalogueAnswer, CloseRunAnswer
from gateway_service.schemas.jobs import EstimateAnswer, JobAnswer
from gateway_service.schemas.requests import CatalogueRequest, CloseRunRequest, VariationsRequest
from gateway_service.settings import Settings
from servicekit import context

router = APIRouter(tags=["catalogue"], responses=PROBLEMS, dependencies=[Depends(require_json)])

_ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {
        "model": JobAnswer,
        "description": "With `Prefer: respond-async`: the job, at once; `Location` says where to look.",
        "headers": {"Location": {"schema": {"type": "string"}}, "Preference-Applied": {"schema": {"type": "string"}}},
    }
}


@router.post("/catalog-ai", response_model_exclude_none=True, responses=_ACCEPTED)
async def catalog_ai(
    body: CatalogueRequest,
    request: Request,
    response: Response,
    jobs: JobsDep,
    clients: ClientsDep,
    settings: SettingsDep,
) -> CatalogueAnswer | JobAnswer | EstimateAnswer:
    """Reads, describes and exports every product. One that fails says why and leaves the others alone.

    Waits for the result, or with `Prefer: respond-async` answers 202 with a job. A client that leaves does not stop it.
    """
    asked = _order(body, clients, settings)
    return await _answer(body, asked, CATALOGUE, request, response, jobs)


@router.post("/catalog_ai_variations", response_model_exclude_none=True, responses=_ACCEPTED)
async def catalog_ai_variations(
    body: VariationsRequest,
    request: Request,
    response: Response,
    jobs: JobsDep,
    clients: ClientsDep,
    settings: SettingsDep,
) -> CatalogueAnswer | JobAnswer | EstimateAnswer:
    """The same for products that are colours or sizes of one another; a parent is a row where there are such rows."""
    asked = with_families(
        _order(body, clients, settings),
        number_of_grps=body.number_of_grps,
        group_sizes=body.group_sizes,
        variations_category=body.variations_category,
        size_available=body.size_available,
    )
    return await _answer(body, asked, VARIATIONS, request, response, jobs)


@router.post("/clear_excel_file")
async def clear_excel_file(body: CloseRunRequest, clients: ClientsDep) -> CloseRunAnswer:
    """Closes the open workbook of a marketplace code and starts a new one; nothing is destroyed."""
    code = resolve_code(body.marketplace_type, body.marketplace, body.type)
    closed = await clients.exporter.close_run(code, clients.check_website(body.website))
    return CloseRunAnswer(
        status="success", run_id=closed.run_id, closed_run_id=closed.closed_run_id, marketplace_type=code
    )


def _order(body: CatalogueRequest, clients: Clients, settings: Settings) -> Order:
    return order(
        image_urls=body.image_urls,
        skuids=body.skuids,
        marketplace_type=body.marketplace_type,
        marketplace=body.marketplace,
        product_type=body.type,
        website=clients.check_website(body.website),
        template_id=body.template_id,
        run_id=body.run_id,
        seller=body.seller,
        max_products=settings.catalogue_max_products,
        max_pictures=settings.catalogue_max_pictures,
    )


async def _answer(
    body: CatalogueRequest, asked: Order, kind: str, request: Request, response: Response, jobs: Jobs
) -> CatalogueAnswer | JobAnswer | EstimateAnswer:
    if body.dry_run:
        return products.estimate(asked.code, await jobs.estimate(asked))
    waits = not _prefers_async(request)
    job = await jobs.submit(
        asked,
        Asked(
            kind=kind,
            owner=request.scope.get("jewelry.key", ""),
            request_id=context.request_id(),
            idempotency=request.scope.get(SCOPE_KEY, ""),
            max_cost=None if body.max_cost is None else round(body.max_cost * 1e6),
            webhook_url=body.webhook_url,
            webhook_secret=body.webhook_secret,
            waits=waits,
        ),
    )
    if waits:
        job = await jobs.wait(job.id)
        return products.catalogue(job, await jobs.items(job.id))
    response.status_code = 202
    response.headers["Location"] = f"/jobs/{job.id}"
    response.headers["Preference-Applied"] = "respond-async"
    return products.job(job)


def _prefers_async(request: Request) -> bool:
    """Whether a Prefer header asks not to wait (RFC 7240)."""
    said = ",".join(request.headers.getlist("prefer"))
    return any(part.partition(";")[0].strip().lower() == "respond-async" for part in said.split(","))
