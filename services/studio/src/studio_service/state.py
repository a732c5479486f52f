"""What belongs to the process: the connection to the gateway, and answers that change seldom."""

from __future__ import annotations

from typing import Any

import streamlit as st

from studio_service import neighbours, settings
from studio_service.api import Api
from studio_service.neighbours import Calibration
from studio_service.problems import Problem
from studio_service.verdicts import Thresholds


def connect() -> Api:
    """A connection as the settings say."""
    used = settings.load()
    key = used.gateway_api_key
    return Api(used.gateway_url, key.get_secret_value() if key else None)


@st.cache_resource(show_spinner=False)
def api() -> Api:
    """The connection of this process."""
    return connect()


def readiness() -> dict[str, Any]:
    """State of every service, as /readyz tells it. Raises Problem."""
    told = _readiness()
    if isinstance(told, Problem):
        raise told
    return told


def look_again() -> None:
    """Has the next look at the services be a fresh one."""
    _readiness.clear()


@st.cache_data(ttl=5, show_spinner=False)
def _readiness() -> dict[str, Any] | Problem:
    # A gateway that is down is knocked at for seconds: once for all that ask on one page.
    try:
        return api().read(lambda client: client.ready())
    except Problem as problem:
        return problem


@st.cache_data(ttl=3600, max_entries=40, show_spinner=False)
def stored_file(url: str) -> bytes:
    """The bytes at an address that the gateway gave out. Raises Problem."""
    return api().file(url)


@st.cache_data(ttl=60, show_spinner=False)
def thresholds() -> Thresholds | None:
    """The model's bounds for duplicates; None where the gateway does not tell them."""
    try:
        known = calibration()
    except Problem:
        return None
    return Thresholds(known.duplicate, known.similar)


@st.cache_data(ttl=60, show_spinner=False)
def calibration() -> Calibration:
    """The same with the error rates of other bounds. Raises Problem."""
    return neighbours.calibration(api().read(lambda client: client.thresholds()))


@st.cache_data(ttl=5, show_spinner=False)
def system(days: int) -> dict[str, Any]:
    """Services, models, key pool, and costs of so many days, as /system tells them. Raises Problem."""
    return api().read(lambda client: client.system(days=days))


@st.cache_data(ttl=5, max_entries=200, show_spinner=False)
def collection_counts(needs: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    """How many products the filters of a collection leave; pairs of name and value. Raises Problem."""
    return api().read(lambda client: client.collection_counts(**dict(needs)))


@st.cache_data(ttl=30, show_spinner=False)
def templates() -> list[dict[str, Any]]:
    """Templates of every marketplace, newest first, built-in ones included. Raises Problem."""
    return api().read(lambda client: client.templates())


@st.cache_data(ttl=3600, max_entries=100, show_spinner=False)
def template(template_id: str) -> dict[str, Any]:
    """A template with its columns. Raises Problem."""
    return api().read(lambda client: client.template(template_id))
