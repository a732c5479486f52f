"""How many jobs and products wait and run, as metrics. Replicas share their store, so all of them say the same."""

from __future__ import annotations

from collections.abc import Sequence

from gateway_service.jobs.model import Job
from servicekit import telemetry

_meter = telemetry.meter("jewelry.gateway")
_jobs = _meter.create_gauge("jewelry_jobs", description="Jobs that have not ended, by status (queued, running).")
_pending = _meter.create_gauge(
    "jewelry_job_products_pending", description="Products of jobs that have not ended which are not done."
)
_oldest = _meter.create_gauge(
    "jewelry_job_oldest_seconds", unit="s", description="Age of the oldest job that has not ended, by status."
)


def show(queued: Sequence[Job], running: Sequence[Job], now: float) -> None:
    """Replaces what is shown; `now` in seconds since 1970."""
    for status, jobs in (("queued", queued), ("running", running)):
        _jobs.set(len(jobs), {"status": status})
        _oldest.set(max((now - job.created for job in jobs), default=0.0), {"status": status})
    _pending.set(sum(job.counts.total - job.counts.done for job in (*queued, *running)))
