"""Products and jobs as answers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from gateway_service.jobs.estimate import Estimate
from gateway_service.jobs.model import Item, Job, edited_fields
from gateway_service.model import FieldValue, Issue
from gateway_service.routers import present
from gateway_service.schemas.answers import (
    CatalogueAnswer,
    CopyOut,
    CostOut,
    FieldOut,
    IssueOut,
    ProductOut,
    ReviewOut,
)
from gateway_service.schemas.jobs import EstimateAnswer, JobAnswer, ProductState, ReviewAnswer, ReviewItemOut

_ENDED = ("success", "failed", "cancelled")


def catalogue(job: Job, items: Sequence[Item]) -> CatalogueAnswer:
    """The answer of a job that was waited for."""
    book = job.workbook
    url = book.url if book else ""
    return CatalogueAnswer(
        results=[product(item) for item in items],
        excel_file_url=url,
        excel_url=url,
        excel_file=url,
        job_id=job.id,
        status=job.status,
        run_id=book.run_id if book else "",
        marketplace_type=job.code,
        succeeded=job.counts.succeeded,
        failed=len(items) - job.counts.succeeded,
        rows=book.rows if book else 0,
        template_id=book.template_id if book else "",
        provenance_url=book.provenance_url if book else "",
        issues=_of_workbook(job, items),
        dropped_fields=list(book.dropped_fields) if book else [],
        cost=CostOut.model_validate(job.cost),
    )


def job(found: Job, items: Sequence[Item] | None = None, *, results: bool = True) -> JobAnswer:
    """A job as it stands, with its products where they are given; those that have ended in full, if wanted."""
    now = time.time()
    counts = found.counts
    left = found.seconds_left(now)
    url = found.workbook.url if found.workbook else ""
    return JobAnswer(
        id=found.id,
        job_id=found.id,
        kind=found.kind,
        status=found.status,
        marketplace_type=found.code,
        website=found.website,
        total=counts.total,
        done=counts.done,
        succeeded=counts.succeeded,
        failed=counts.failed,
        cancelled=counts.cancelled,
        running=counts.running,
        attempt=found.attempt,
        cost=CostOut.model_validate(found.cost),
        max_cost=None if found.max_cost is None else found.max_cost / 1e6,
        rate_per_minute=round(found.rate(now), 2),
        seconds_left=None if left is None else round(left, 1),
        created=_time(found.created) or "",
        started=_time(found.started),
        finished=_time(found.finished),
        error=found.fault.message if found.fault else None,
        error_code=found.fault.reason if found.fault else None,
        excel_file_url=url,
        excel_url=url,
        excel_file=url,
        run_id=found.workbook.run_id if found.workbook else "",
        template_id=found.workbook.template_id if found.workbook else "",
        products=None if items is None else [state(item) for item in items],
        issues=None if items is None else _of_workbook(found, items),
        results=[product(item) for item in items if item.status in _ENDED] if items is not None and results else None,
    )


def state(item: Item) -> ProductState:
    """Where a product stands."""
    return ProductState(sku=item.sku, name=name(item), status=item.status, error=item.error or None)


def estimate(code: str, found: Estimate) -> EstimateAnswer:
    """What a job would cost."""
    return EstimateAnswer(
        marketplace_type=code,
        products=found.products,
        calls=found.calls,
        input_tokens=found.input_tokens,
        output_tokens=found.output_tokens,
        inr=found.inr_micros / 1e6,
        inr_per_product=found.per_product / 1e6,
        minutes=found.minutes,
        basis=found.basis,
    )


def review(found: Job, items: Sequence[Item], confidence: float) -> ReviewAnswer:
    """What a person should look at."""
    shown = []
    for item in items:
        fields = [_reviewed(field, confidence) for field in _fields(item) if _wants_review(field, confidence)]
        findings = [issue(one) for one in item.issues if one.severity in ("error", "warning")]
        if fields or findings:
            shown.append(
                ReviewItemOut(
                    sku=item.sku,
                    name=name(item),
                    status=_status(item),
                    error=item.error or None,
                    image_urls=list(item.image_urls),
                    fields=fields,
                    findings=findings,
                    edited={field: list(values) for field, values in item.edits.fields.items()},
                )
            )
    return ReviewAnswer(job_id=found.id, status=found.status, confidence=confidence, items=shown)


def product(item: Item) -> ProductOut:
    """What became of one product, a person's values included."""
    fields = _fields(item)
    copy = item.copy
    return ProductOut(
        sku=item.sku,
        name=name(item),
        status=_status(item),
        error=item.error or None,
        attributes={field.field: ", ".join(field.values) for field in fields if field.values},
        copy=CopyOut(
            title=_chosen(item.edits.title, copy.title),
            bullet_points=list(copy.bullet_points if item.edits.bullet_points is None else item.edits.bullet_points),
            description=_chosen(item.edits.description, copy.description),
            origin=copy.origin,
            cached=copy.cached,
        )
        if copy
        else None,
        fields=[FieldOut.model_validate(field) for field in fields],
        review=[_reviewed(field, 0.0) for field in fields if field.review_reason],
        issues=[issue(one) for one in item.issues],
        provenance=present.provenance(part.adapter for part in (item.analysis, copy) if part is not None),
        cost=CostOut.model_validate(item.cost),
        image_urls=list(item.image_urls),
    )


def name(item: Item) -> str:
    """The title; where the marketplace takes none, the first sentence of the description; else the SKU."""
    if item.copy is None:
        return item.sku
    title = _chosen(item.edits.title, item.copy.title)
    first = _chosen(item.edits.description, item.copy.description).partition(". ")[0].strip()
    return title or (first if len(first) <= 120 else f"{first[:119].rstrip()}…") or item.sku


def issue(found: Issue) -> IssueOut:
    """A finding."""
    return IssueOut.model_validate(found)


def _of_workbook(found: Job, items: Sequence[Item]) -> list[IssueOut]:
    """Findings that are no single product's."""
    skus = {item.sku for item in items}
    return [issue(one) for one in found.workbook.findings if one.sku not in skus] if found.workbook else []


def _fields(item: Item) -> tuple[FieldValue, ...]:
    return edited_fields(item.analysis.fields if item.analysis else (), item.edits)


def _wants_review(field: FieldValue, confidence: float) -> bool:
    return bool(field.review_reason) or (bool(field.values) and field.confidence < confidence)


def _reviewed(field: FieldValue, confidence: float) -> ReviewOut:
    return ReviewOut(
        field=field.field,
        reason=field.review_reason or f"its confidence is below {confidence:g}",
        values=list(field.values),
        suggestions=list(field.suggestions),
        confidence=field.confidence,
        evidence=field.evidence,
    )


def _status(item: Item) -> str:
    return "success" if item.status == "success" else "failed" if item.status in _ENDED else item.status


def _chosen(edited: str | None, written: str) -> str:
    return written if edited is None else edited


def _time(seconds: float) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds") if seconds else None
