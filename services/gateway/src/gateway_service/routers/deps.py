"""What handlers get from the application."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from gateway_service.catalogue import Catalogue
from gateway_service.clients import Clients
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


def _catalogue(request: Request) -> Catalogue:
    found = request.app.state.catalogue
    assert isinstance(found, Catalogue)
    return found


def _readiness(request: Request) -> Readiness:
    found = request.app.state.readiness
    assert isinstance(found, Readiness)
    return found


ClientsDep = Annotated[Clients, Depends(_clients)]
SettingsDep = Annotated[Settings, Depends(_settings)]
CatalogueDep = Annotated[Catalogue, Depends(_catalogue)]
ReadinessDep = Annotated[Readiness, Depends(_readiness)]
