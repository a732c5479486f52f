"""A gateway that answers what a test wants, in place of the network."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import studio_service
from studio_service import settings, state
from studio_service.api import Api

Answer = Callable[[httpx.Request], httpx.Response]
URL = "http://gateway.test"
APP = Path(studio_service.__file__).parent / "entry" / "app.py"


class Gateway:
    """Answers by method and path; what nobody has set is a 404 of the gateway's kind.

    Attributes:
        asked: Method, path and JSON body of what was asked.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self._answers: dict[tuple[str, str], Answer] = {}

    def says(self, method: str, path: str, body: Any, status: int = 200) -> None:
        """Answers with a body from now on."""
        self._answers[method, path] = lambda _: httpx.Response(status, json=body)

    def does(self, method: str, path: str, answer: Answer) -> None:
        """Answers by a function from now on."""
        self._answers[method, path] = answer

    def fails(self, method: str, path: str, status: int, detail: str, **more: Any) -> None:
        """Answers with a problem."""
        body = {"title": "Problem", "detail": detail, "code": "TOLD", "request_id": "id-1", "status": status, **more}
        self.says(method, path, body, status)

    def asked_last(self, method: str) -> Any:
        """Body of the last request of a method."""
        return next(body for known, _, body in reversed(self.asked) if known == method)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        is_json = request.headers.get("content-type") == "application/json"
        self.asked.append((request.method, request.url.path, json.loads(request.content) if is_json else None))
        found = self._answers.get((request.method, request.url.path))
        if found is None:
            return httpx.Response(404, json={"detail": "there is no such thing", "code": "NOT_FOUND"})
        return found(request)


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def api(gateway: Gateway) -> Iterator[Api]:
    """A connection to the gateway."""
    made = Api(URL, "secret-key", httpx.MockTransport(gateway))
    yield made
    made.close()


@pytest.fixture
def studio(gateway: Gateway, api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Gateway]:
    """Has the screens speak to the gateway; settings are the defaults, files lie in a folder of the test's own."""
    for name in list(os.environ):
        if name.startswith(("STUDIO_", "GATEWAY_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(state, "connect", lambda: api)
    forget()
    ready = {"status": "ready", "services": {"analyzer": {"status": "ready", "adapters": []}}}
    gateway.says("GET", "/readyz", ready)
    yield gateway
    forget()


def forget() -> None:
    """Nothing that an earlier test was told is known any more."""
    st.cache_data.clear()
    st.cache_resource.clear()
    settings.load.cache_clear()


@pytest.fixture
def app(studio: Gateway) -> AppTest:
    """The whole app; not yet run."""
    return AppTest.from_file(str(APP), default_timeout=30)


@pytest.fixture
def screen(studio: Gateway) -> Callable[[str], AppTest]:
    """One screen alone; not yet run."""

    def make(name: str) -> AppTest:
        script = f"from studio_service.pages import {name}\n{name}.page()"
        return AppTest.from_string(script, default_timeout=30)

    return make
