"""Waits until the gateway says that every service is ready."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx


class NotReady(Exception):  # reads as what it says
    """The system was not ready in time; the message names what was missing."""


async def wait_until_ready(
    base_url: str, *, seconds: float, told: Callable[[dict[str, str]], None] | None = None
) -> dict[str, Any]:
    """Asks `/readyz` until it answers 200; returns its body.

    Args:
        base_url: The gateway's address.
        seconds: Longest wait.
        told: Called with the state of each service after every answer.

    Raises:
        NotReady: Something was still missing at the end.
    """
    deadline = time.monotonic() + seconds
    states: dict[str, str] = {}
    async with httpx.AsyncClient(base_url=base_url, timeout=10.0, trust_env=False) as client:
        while time.monotonic() < deadline:
            try:
                answer = await client.get("/readyz")
            except httpx.TransportError:
                states = {"gateway": "starting"}
            else:
                body: dict[str, Any] = answer.json()
                states = {name: str(entry.get("status", "?")) for name, entry in body.get("services", {}).items()}
                if answer.status_code == httpx.codes.OK:
                    if told:
                        told(states)
                    return body
            if told:
                told(states)
            await asyncio.sleep(0.25)
    missing = ", ".join(f"{name}: {state}" for name, state in sorted(states.items()) if state != "ready")
    raise NotReady(f"not ready after {seconds:.0f} s ({missing or 'no answer'})")
