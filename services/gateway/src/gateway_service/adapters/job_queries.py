"""Statements about jobs that several transactions share; each runs within the caller's."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gateway_service.adapters.job_tables import COUNTED, EVENTS, ITEMS, JOBS, job_of
from gateway_service.jobs.model import DAY_SECONDS, INDIA_SECONDS, DayCost, Experience, Fault, Job
from gateway_service.model import Cost
from servicekit import errors

OPEN = ("queued", "running")
"""States of items that have not ended."""
# What products cost is told from this many of the latest.
RECENT = 200


def no_job() -> errors.NotFound:
    """The error for a job that is not there."""
    return errors.NotFound("there is no such job; GET /jobs lists them", reason="JOB_NOT_FOUND")


def locked(connection: Connection, job_id: str) -> Any:
    """The job's row, which nobody else changes until the transaction ends."""
    return connection.execute(sa.select(JOBS).where(JOBS.c.id == job_id).with_for_update()).one_or_none()


def job(connection: Connection, job_id: str) -> Job:
    """The job. Raises `errors.NotFound`."""
    row = connection.execute(sa.select(JOBS).where(JOBS.c.id == job_id)).one_or_none()
    if row is None:
        raise no_job()
    return job_of(row, counted(connection, job_id))


def by_key(connection: Connection, idempotency: str) -> Job | None:
    """The job that was made under an idempotency key."""
    found = connection.execute(sa.select(JOBS.c.id).where(JOBS.c.idempotency == idempotency)).scalar_one_or_none()
    return None if found is None else job(connection, found)


def counted(connection: Connection, job_id: str) -> Any:
    """How many items of each kind a job has, and what they cost; see `COUNTED`."""
    return connection.execute(sa.select(*COUNTED).where(ITEMS.c.job_id == job_id)).one()


def ended_event(status: str, counted: Any) -> str:
    """Data of the event that ends an attempt."""
    names = ("total", "success", "failed", "cancelled")
    return json.dumps({"status": status, **{name: int(counted._mapping[name]) for name in names}})


def open_items(connection: Connection, job_id: str) -> int:
    """How many items have not ended."""
    query = sa.select(sa.func.count()).where(ITEMS.c.job_id == job_id, ITEMS.c.status.in_(OPEN))
    return int(connection.execute(query).scalar_one())


def update(connection: Connection, job_id: str, **changes: Any) -> None:
    """Changes columns of the job."""
    connection.execute(sa.update(JOBS).where(JOBS.c.id == job_id).values(**changes))


def tell(connection: Connection, row: Any, kind: str, data: str) -> None:
    """Adds an event; `row` is the job's, locked."""
    seq = row.events + 1
    connection.execute(sa.insert(EVENTS), {"job_id": row.id, "seq": seq, "kind": kind, "data": data})
    update(connection, row.id, events=seq)


def status_of(counted: Any, fault: Fault | None) -> str:
    """Status of a job whose items have ended."""
    if fault is not None or not counted.success:
        return "failed"
    return "succeeded" if counted.success == counted.total else "partial"


def experience(connection: Connection, code: str) -> Experience | None:
    """What the latest products of a code, or of all, cost; None where there are none."""
    names = ("calls", "input_tokens", "output_tokens", "inr_micros")
    recent = sa.select(*(ITEMS.c[name] for name in names)).where(ITEMS.c.status == "success")
    if code:
        recent = recent.where(ITEMS.c.code == code)
    latest = recent.order_by(ITEMS.c.finished.desc()).limit(RECENT).subquery()
    row = connection.execute(sa.select(sa.func.count(), *(sa.func.avg(latest.c[name]) for name in names))).one()
    return Experience(row[0], *(float(value) for value in row[1:])) if row[0] else None


def costs(connection: Connection, since: float) -> list[DayCost]:
    """What products that ended at `since` or later cost, by day and code, failed ones included."""
    # Whole seconds first: databases differ in how they round a fraction to a whole number of days.
    day = ((sa.cast(ITEMS.c.finished, sa.BigInteger) + INDIA_SECONDS) // DAY_SECONDS).label("day")
    sums = (sa.func.sum(ITEMS.c[name]) for name in ("calls", "input_tokens", "output_tokens", "inr_micros"))
    query = sa.select(day, ITEMS.c.code, sa.func.count(), *sums).where(
        ITEMS.c.finished >= since, ITEMS.c.finished > 0, ITEMS.c.status.in_(("success", "failed"))
    )
    rows = connection.execute(query.group_by(day, ITEMS.c.code).order_by(day, ITEMS.c.code))
    return [DayCost(int(row[0]), row[1], row[2], Cost(*(int(value) for value in row[3:]))) for row in rows]
