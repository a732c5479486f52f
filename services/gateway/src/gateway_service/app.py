"""The application: paths, errors and what happens to every request."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from gateway_service import admission, auth, idempotency, middleware, openapi, presence, problems, rates, wiring
from gateway_service.clients import Clients
from gateway_service.readiness import Readiness
from gateway_service.routers import (
    bills,
    captions,
    catalogue,
    collections,
    counts,
    deletion,
    files,
    health,
    jobs,
    mockups,
    search,
    system,
    templates,
    thresholds,
)
from gateway_service.settings import Settings
from servicekit import images

_DESCRIPTION = """Product photos into marketplace listings: duplicates, captions, catalogues, search, collections.

Errors are `application/problem+json` (RFC 9457). Every answer carries `X-Request-Id` and `Server-Timing`."""


def create_app(settings: Settings, clients: Clients, *, durable: bool = False) -> FastAPI:
    """The application over open clients. The caller closes them, and before them the desk (`app.state.desk`).

    With `durable`, jobs survive the process, and the caller opens the desk before the first request: one such
    application per process.
    """
    app = FastAPI(
        title="Jewelry listings",
        version="1",
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Spans and metrics per request from FastAPI itself; errors are logged in one place, with a request id.
        telemetry={
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
            "exclude": lambda scope: scope.get("path") in auth.OPEN_PATHS,
        },
    )
    app.state.settings = settings
    app.state.clients = clients
    app.state.room = admission.Room(settings.gateway_max_in_flight, settings.gateway_max_held_bytes)
    app.state.readiness = Readiness(clients.services)
    app.state.desk = wiring.build(settings, clients, durable=durable)
    pictures = (captions, catalogue, search, thresholds, deletion)
    for capability in (*pictures, collections, counts, bills, mockups, templates, jobs, health, system):
        app.include_router(capability.router)
    if clients.store.embedded:
        app.include_router(files.router)
    app.include_router(openapi.docs)
    openapi.install(app)
    problems.install(app)
    _add_middleware(app, settings, app.state.desk)
    return app


def _add_middleware(app: FastAPI, settings: Settings, desk: wiring.Desk) -> None:
    """The last one added is the first that a request meets."""
    app.add_middleware(idempotency.Idempotency, answers=desk.answers)
    app.add_middleware(presence.Presence)
    app.add_middleware(rates.RateLimit, rates=rates.parse(settings.gateway_rate_limits))
    app.add_middleware(
        middleware.KeyCheck,
        keys=auth.ApiKeys(settings.gateway_api_keys.get_secret_value()),
        origins=settings.gateway_cors_origins,
    )
    app.add_middleware(
        admission.Limits,
        room=app.state.room,
        json_bytes=settings.gateway_max_json_bytes,
        upload_bytes=images.MAX_BYTES,
        seconds=settings.gateway_body_seconds,
    )
    if settings.gateway_cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.gateway_cors_origins),
            allow_methods=["GET", "POST", "PATCH"],
            allow_headers=["Authorization", "X-API-Key", "Content-Type", "X-Request-Id", "Idempotency-Key", "Prefer"],
            expose_headers=[
                "X-Request-Id",
                "Server-Timing",
                "Retry-After",
                "Location",
                "RateLimit",
                "RateLimit-Policy",
            ],
        )
    app.add_middleware(middleware.RequestContext)
