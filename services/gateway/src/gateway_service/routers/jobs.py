"""/jobs: what runs and ran, its events, and what a person may do about it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Path, Query
from fastapi.responses import StreamingResponse

from gateway_service.bodies import require_json
from gateway_service.jobs.model import Edits
from gateway_service.jobs.service import Jobs
from gateway_service.openapi import PROBLEMS
from gateway_service.routers import products
from gateway_service.routers.deps import JobsDep, SettingsDep
from gateway_service.schemas.answers import ProductOut
from gateway_service.schemas.jobs import EditRequest, JobAnswer, JobsAnswer, ResumeRequest, ReviewAnswer

router = APIRouter(prefix="/jobs", tags=["jobs"], responses=PROBLEMS)

JobId = Annotated[str, Path(max_length=64, examples=["7f0c2f6a9d2b4c6c8f1e0a5b3d7e9f11"])]
Status = Literal["", "queued", "running", "succeeded", "partial", "failed", "cancelled"]
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`item` events as products end, and `end` at the end of each attempt; `id` counts from 1.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


@router.get("", response_model_exclude_none=True)
async def list_jobs(
    jobs: JobsDep,
    status: Annotated[Status, Query(description="Only these.")] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[float | None, Query(description="From `next` of the page before.", ge=0, le=1e12)] = None,
) -> JobsAnswer:
    """Jobs, newest first, without their results."""
    found = await jobs.page(status=status, limit=limit, before=before)
    following = repr(found[-1].created) if len(found) == limit else None
    return JobsAnswer(jobs=[products.job(one) for one in found], next=following)


@router.get("/{job_id}", response_model_exclude_none=True)
async def get_job(
    job_id: JobId,
    jobs: JobsDep,
    results: Annotated[bool, Query(description="Whether to show in full the products that have ended.")] = True,
) -> JobAnswer:
    """A job as it stands: progress, cost so far, time left, and the products that have ended."""
    found = await jobs.get(job_id)
    return products.job(found, await jobs.items(job_id), results=results)


@router.get("/{job_id}/events", response_class=StreamingResponse, responses=_STREAM)
async def job_events(
    job_id: JobId,
    jobs: JobsDep,
    last_event_id: Annotated[str, Header(description="Only events behind this one.", max_length=20)] = "",
) -> StreamingResponse:
    """Server-sent events: one per product that ended, and one at the end, after which the stream ends."""
    await jobs.get(job_id)
    after = int(last_event_id) if last_event_id.isascii() and last_event_id.isdecimal() else 0
    return StreamingResponse(_events(jobs, job_id, after), media_type="text/event-stream")


@router.post("/{job_id}/cancel", response_model_exclude_none=True)
async def cancel_job(job_id: JobId, jobs: JobsDep) -> JobAnswer:
    """Begins no further product; what runs is finished and kept. A job that has ended stays as it is."""
    return products.job(await jobs.cancel(job_id))


@router.post("/{job_id}/resume", response_model_exclude_none=True, status_code=200)
async def resume_job(job_id: JobId, jobs: JobsDep, body: ResumeRequest | None = None) -> JobAnswer:
    """Works again on what failed or was cancelled, and on nothing else; what was paid for is used."""
    bound = None if body is None or body.max_cost is None else round(body.max_cost * 1e6)
    return products.job(await jobs.resume(job_id, bound))


@router.get("/{job_id}/review", response_model_exclude_none=True)
async def review_job(
    job_id: JobId,
    jobs: JobsDep,
    settings: SettingsDep,
    confidence: Annotated[float | None, Query(ge=0, le=1, description="The bound; the default is configured.")] = None,
) -> ReviewAnswer:
    """Fields below the confidence bound or with findings, per product."""
    bound = settings.review_confidence if confidence is None else confidence
    return products.review(await jobs.get(job_id), await jobs.items(job_id), bound)


@router.patch("/{job_id}/items/{sku:path}", response_model_exclude_none=True, dependencies=[Depends(require_json)])
async def edit_item(
    job_id: JobId, sku: Annotated[str, Path(max_length=100)], body: EditRequest, jobs: JobsDep
) -> ProductOut:
    """A person's values for one product; the workbook takes them with `POST /jobs/{id}/export`."""
    edits = Edits(
        fields={name: _values(value) for name, value in body.fields.items()},
        title=body.title,
        bullet_points=None if body.bullet_points is None else tuple(body.bullet_points),
        description=body.description,
    )
    return products.product(await jobs.edit(job_id, sku, edits))


@router.post("/{job_id}/export", response_model_exclude_none=True)
async def export_job(job_id: JobId, jobs: JobsDep) -> JobAnswer:
    """Writes the workbook again from what the job has, a person's values included; no model is asked."""
    return products.job(await jobs.export(job_id))


def _values(value: str | list[str]) -> tuple[str, ...]:
    entries = [value] if isinstance(value, str) else value
    return tuple(entry for entry in entries if entry)


async def _events(jobs: Jobs, job_id: str, after: int) -> AsyncIterator[str]:
    async for event in jobs.events(job_id, after):
        if event is None:
            yield ": still there\n\n"
        else:
            # JSON has no line breaks of its own, so that one data line holds it.
            yield f"id: {event.seq}\nevent: {event.kind}\ndata: {json.dumps(json.loads(event.data))}\n\n"
