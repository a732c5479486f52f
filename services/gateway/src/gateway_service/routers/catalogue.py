"""POST /catalog-ai: products into a marketplace's workbook; POST /clear_excel_file: the next workbook."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from gateway_service.bodies import require_json
from gateway_service.catalogue import Outcome
from gateway_service.model import Cost, Issue
from gateway_service.openapi import PROBLEMS
from gateway_service.orders import order, resolve_code
from gateway_service.routers import present
from gateway_service.routers.deps import CatalogueDep, ClientsDep, SettingsDep
from gateway_service.schemas.answers import (
    CatalogueAnswer,
    CloseRunAnswer,
    CopyOut,
    CostOut,
    FieldOut,
    IssueOut,
    ProductOut,
    ReviewOut,
)
from gateway_service.schemas.requests import CatalogueRequest, CloseRunRequest

router = APIRouter(tags=["catalogue"], responses=PROBLEMS, dependencies=[Depends(require_json)])


@router.post("/catalog-ai", response_model_exclude_none=True)
async def catalog_ai(
    body: CatalogueRequest, catalogue: CatalogueDep, clients: ClientsDep, settings: SettingsDep
) -> CatalogueAnswer:
    """Reads, describes and exports every product. One that fails says why and leaves the others alone."""
    asked = order(
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
    run = await catalogue.run(asked)
    book = run.workbook
    url = book.url if book else ""
    skus = {outcome.sku for outcome in run.outcomes}
    good = sum(outcome.status == "success" for outcome in run.outcomes)
    return CatalogueAnswer(
        results=[_product(outcome) for outcome in run.outcomes],
        excel_file_url=url,
        excel_url=url,
        excel_file=url,
        job_id=book.run_id if book else "",
        marketplace_type=asked.code,
        succeeded=good,
        failed=len(run.outcomes) - good,
        rows=book.rows if book else 0,
        template_id=book.template_id if book else "",
        provenance_url=book.provenance_url if book else "",
        issues=[_issue(finding) for finding in book.findings if finding.sku not in skus] if book else [],
        dropped_fields=list(book.dropped_fields) if book else [],
        cost=CostOut.model_validate(sum((outcome.cost for outcome in run.outcomes), Cost())),
    )


@router.post("/clear_excel_file")
async def clear_excel_file(body: CloseRunRequest, clients: ClientsDep) -> CloseRunAnswer:
    """Closes the open workbook of a marketplace code and starts a new one; nothing is destroyed."""
    code = resolve_code(body.marketplace_type, body.marketplace, body.type)
    closed = await clients.exporter.close_run(code, clients.check_website(body.website))
    return CloseRunAnswer(
        status="success", run_id=closed.run_id, closed_run_id=closed.closed_run_id, marketplace_type=code
    )


def _product(outcome: Outcome) -> ProductOut:
    fields = outcome.analysis.fields if outcome.analysis else ()
    return ProductOut(
        sku=outcome.sku,
        name=outcome.name,
        status=outcome.status,
        error=outcome.error or None,
        attributes={field.field: ", ".join(field.values) for field in fields if field.values},
        copy=CopyOut.model_validate(outcome.copy) if outcome.copy else None,
        fields=[FieldOut.model_validate(field) for field in fields],
        review=[
            ReviewOut(
                field=field.field,
                reason=field.review_reason,
                values=list(field.values),
                suggestions=list(field.suggestions),
                confidence=field.confidence,
            )
            for field in fields
            if field.review_reason
        ],
        issues=[_issue(issue) for issue in outcome.issues],
        provenance=present.provenance(outcome.adapters),
        cost=CostOut.model_validate(outcome.cost),
        image_urls=list(outcome.image_urls),
    )


def _issue(issue: Issue) -> IssueOut:
    return IssueOut.model_validate(issue)
