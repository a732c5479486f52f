"""GET /system: services, models and their last days, the state of the key pool, costs by day and marketplace."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import APIRouter, Query

import marketplaces
from gateway_service.clients import Clients
from gateway_service.jobs.model import DAY_SECONDS, INDIA_SECONDS, DayCost
from gateway_service.openapi import PROBLEMS
from gateway_service.overview import KeyGroup
from gateway_service.readiness import ServiceState
from gateway_service.routers import present
from gateway_service.routers.deps import ClientsDep, JobsDep, ReadinessDep
from gateway_service.schemas.answers import CostOut
from gateway_service.schemas.system import DayCostOut, KeyGroupOut, ShutdownOut, SystemAnswer
from servicekit import errors

logger = logging.getLogger(__name__)

router = APIRouter(tags=["health"], responses=PROBLEMS)

# Seconds for asking about the key pool; a service that is down leaves it empty.
POOL_SECONDS = 3.0


@router.get("/system", response_model_exclude_none=True)
async def system(
    readiness: ReadinessDep,
    clients: ClientsDep,
    jobs: JobsDep,
    days: Annotated[int, Query(ge=1, le=366, description="Days of costs, today included.")] = 30,
) -> SystemAnswer:
    """The system for people: who answers, with which model and until when, what is left of the quotas, what was paid.

    Answers while a service is down, and says so.
    """
    now = time.time()
    states, groups, costs = await asyncio.gather(readiness.states(), _pool(clients), jobs.costs(_since(now, days)))
    today = _day(now)
    return SystemAnswer(
        status="ready" if all(state.status == "ready" for state in states) else "not_ready",
        services=present.services(states),
        shutdowns=_shutdowns(states, today),
        key_pool=[_group(group, now) for group in groups],
        costs=[_cost(cost) for cost in costs],
        days=days,
    )


async def _pool(clients: Clients) -> tuple[KeyGroup, ...]:
    try:
        return await clients.analyzer.key_pool(POOL_SECONDS)
    except errors.ServiceError as error:
        logger.warning("the key pool is not known: %s", error.reason or error.message)
        return ()


def _shutdowns(states: list[ServiceState], today: date) -> list[ShutdownOut]:
    found = [
        ShutdownOut(
            service=state.name,
            role=one.role,
            model_id=one.model_id or one.name,
            shutdown_date=one.shutdown_date,
            days_left=(date.fromisoformat(one.shutdown_date) - today).days,
        )
        for state in states
        for one in state.about.adapters
        if one.shutdown_date
    ]
    return sorted(found, key=lambda one: one.days_left)


def _group(group: KeyGroup, now: float) -> KeyGroupOut:
    free_at = datetime.fromtimestamp(now + group.wait, UTC) if group.wait else None
    return KeyGroupOut(
        label=group.label,
        state=group.state,
        keys=group.keys,
        refused=group.refused,
        used=group.used,
        free_at=free_at.isoformat(timespec="seconds").replace("+00:00", "Z") if free_at else None,
    )


def _cost(found: DayCost) -> DayCostOut:
    try:
        marketplace = marketplaces.load(found.code).marketplace
    except marketplaces.UnknownCode:
        # A code of an earlier version, still in the store.
        marketplace = found.code
    return DayCostOut(
        day=_day(found.day * DAY_SECONDS - INDIA_SECONDS).isoformat(),
        marketplace=marketplace,
        marketplace_type=found.code,
        products=found.products,
        cost=CostOut.model_validate(found.cost),
    )


def _day(seconds: float) -> date:
    return datetime.fromtimestamp(seconds + INDIA_SECONDS, UTC).date()


def _since(now: float, days: int) -> float:
    """Begin of the first day, in seconds since 1970."""
    today = (now + INDIA_SECONDS) // DAY_SECONDS
    return (today - days + 1) * DAY_SECONDS - INDIA_SECONDS
