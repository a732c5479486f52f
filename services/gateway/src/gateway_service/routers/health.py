"""GET /healthz: this process lives. GET /readyz: every service can do its work."""

from __future__ import annotations

from fastapi import APIRouter, Response

from gateway_service.routers import present
from gateway_service.routers.deps import ReadinessDep
from gateway_service.schemas.answers import HealthAnswer, ReadyAnswer

router = APIRouter(tags=["health"])


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
async def healthz() -> HealthAnswer:
    """Liveness; asks nobody."""
    return HealthAnswer(status="ok")


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", responses={503: {"model": ReadyAnswer, "description": "A service is not ready."}})
async def readyz(readiness: ReadinessDep, response: Response) -> ReadyAnswer:
    """Readiness with each service's state, adapters and model; 200 only when all are ready."""
    states = await readiness.states()
    ready = all(state.status == "ready" for state in states)
    if not ready:
        response.status_code = 503
        response.headers["Retry-After"] = "1"
    warnings = [
        f"{state.name}: {one.model_id or one.name} ends on {one.shutdown_date}; configure another model before that day"
        for state in states
        for one in state.about.adapters
        if one.shutdown_date
    ]
    return ReadyAnswer(status="ready" if ready else "not_ready", services=present.services(states), warnings=warnings)
