"""What handlers get from the application."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from gateway_service.clients import Clients
from gateway_service.jobs.service import Jobs
from gateway_service.readiness import Readiness
from gateway_service.settings import Settings


def _clients(request: Request) -> Clients:
    found = request.app.state.clients
    assert isinstance(found, Clients)
    return found


def _settings(request: Request) -> Settings:
    found = request.app.state.settings
    assert isinstance(found, Settings)
    return found


def _jobs(request: Request) -> Jobs:
    found = request.app.state.desk.jobs
    assert isinstance(found, Jobs)
    return found


def _readiness(request: Request) -> Readiness:
    found = request.app.state.readiness
    assert isinstance(found, Readiness)
    return found


ClientsDep = Annotated[Clients, Depends(_clients)]
SettingsDep = Annotated[Settings, Depends(_settings)]
JobsDep = Annotated[Jobs, Depends(_jobs)]
ReadinessDep = Annotated[Readiness, Depends(_readiness)]
