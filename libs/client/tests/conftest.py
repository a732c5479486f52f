"""Fixtures: a scripted gateway, and the client's own environment."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode leaves the tests' own helpers unseen

from client_gateway import Gateway, gateway


@pytest.fixture
def api() -> Iterator[Gateway]:
    """A gateway that answers what the test scripts."""
    with gateway() as running:
        yield running


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the developer's reaches a test; nothing is waited for longer than needed."""
    for name in ("JEWELRY_URL", "JEWELRY_API_KEY", "JEWELRY_TIMEOUT", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("jewelry_client.client.POLL_SECONDS", 0.02)
