"""Tables of jobs, and rows to what the domain speaks of and back."""

from __future__ import annotations

from typing import Any, TypeVar

import sqlalchemy as sa
from pydantic import TypeAdapter

from gateway_service.adapters.database import METADATA
from gateway_service.jobs.model import Counts, Edits, Fault, Item, Job, Webhook
from gateway_service.model import Analysis, Cost, Issue, Workbook, WrittenCopy

T = TypeVar("T")

JOBS = sa.Table(
    "gateway_jobs",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("status", sa.String(16), nullable=False, index=True),
    sa.Column("code", sa.String(16), nullable=False),
    sa.Column("website", sa.String(64), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("owner", sa.String(200), nullable=False),
    sa.Column("request_id", sa.String(64), nullable=False),
    sa.Column("idempotency", sa.String(64), unique=True, nullable=True),
    sa.Column("created", sa.Double, nullable=False, index=True),
    sa.Column("started", sa.Double, nullable=False),
    sa.Column("finished", sa.Double, nullable=False),
    sa.Column("estimate", sa.BigInteger, nullable=False),
    sa.Column("max_cost", sa.BigInteger, nullable=True),
    sa.Column("patient", sa.Boolean, nullable=False),
    sa.Column("events", sa.Integer, nullable=False),
    sa.Column("product_order", sa.Text, nullable=False),
    sa.Column("options", sa.Text, nullable=False),
    sa.Column("workbook", sa.Text, nullable=False),
    sa.Column("fault", sa.Text, nullable=False),
    sa.Column("webhook", sa.Text, nullable=False),
)

ITEMS = sa.Table(
    "gateway_items",
    METADATA,
    sa.Column("job_id", sa.String(64), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("sku", sa.Text, nullable=False),
    sa.Column("code", sa.String(16), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("finished", sa.Double, nullable=False),
    sa.Column("calls", sa.BigInteger, nullable=False),
    sa.Column("input_tokens", sa.BigInteger, nullable=False),
    sa.Column("output_tokens", sa.BigInteger, nullable=False),
    sa.Column("inr_micros", sa.BigInteger, nullable=False),
    sa.Column("analysis", sa.Text, nullable=False),
    sa.Column("copy", sa.Text, nullable=False),
    sa.Column("issues", sa.Text, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("error_code", sa.String(100), nullable=False),
    sa.Column("edits", sa.Text, nullable=False),
    sa.Index("gateway_items_recent", "code", "finished"),
)

EVENTS = sa.Table(
    "gateway_events",
    METADATA,
    sa.Column("job_id", sa.String(64), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("data", sa.Text, nullable=False),
)

COUNTED = (
    sa.func.count().label("total"),
    *(
        sa.func.coalesce(sa.func.sum(sa.case((ITEMS.c.status == status, 1), else_=0)), 0).label(status)
        for status in ("success", "failed", "cancelled", "running")
    ),
    *(
        sa.func.coalesce(sa.func.sum(ITEMS.c[name]), 0).label(name)
        for name in ("calls", "input_tokens", "output_tokens", "inr_micros")
    ),
)
"""Columns of a query over a job's items: how many of each kind, and what they cost."""

_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}
ISSUES = tuple[Issue, ...]


def dump(kind: Any, value: Any) -> str:
    """JSON of a value of a plain type; empty for None."""
    return "" if value is None else _adapter(kind).dump_json(value).decode()


def load(kind: type[T], text: str) -> T | None:
    """The value; None for an empty text."""
    found: T | None = _adapter(kind).validate_json(text) if text else None
    return found


def job_of(row: Any, counted: Any) -> Job:
    """A job from its row and the sums over its items."""
    return Job(
        id=row.id,
        kind=row.kind,
        status=row.status,
        code=row.code,
        website=row.website,
        attempt=row.attempt,
        owner=row.owner,
        request_id=row.request_id,
        created=row.created,
        started=row.started,
        finished=row.finished,
        counts=Counts(counted.total, counted.success, counted.failed, counted.cancelled, counted.running),
        cost=Cost(*(int(counted[n]) for n in range(-4, 0))),
        estimate=row.estimate,
        patient=row.patient,
        max_cost=row.max_cost,
        workbook=load(Workbook, row.workbook),
        fault=load(Fault, row.fault),
        webhook=load(Webhook, row.webhook),
    )


def item_of(row: Any, image_urls: tuple[str, ...] = ()) -> Item:
    """An item from its row; the addresses of its pictures are in the order."""
    return Item(
        sku=row.sku,
        position=row.position,
        status=row.status,
        image_urls=image_urls,
        analysis=load(Analysis, row.analysis),
        copy=load(WrittenCopy, row.copy),
        issues=_adapter(ISSUES).validate_json(row.issues) if row.issues else (),
        error=row.error,
        error_code=row.error_code,
        edits=load(Edits, row.edits) or Edits(),
        finished=row.finished,
    )


def item_values(item: Item) -> dict[str, Any]:
    """Columns of what became of an item."""
    cost = item.cost
    return {
        "status": item.status,
        "finished": item.finished,
        "calls": cost.calls,
        "input_tokens": cost.input_tokens,
        "output_tokens": cost.output_tokens,
        "inr_micros": cost.inr_micros,
        "analysis": dump(Analysis, item.analysis),
        "copy": dump(WrittenCopy, item.copy),
        "issues": dump(ISSUES, item.issues),
        "error": item.error,
        "error_code": item.error_code,
    }


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]
