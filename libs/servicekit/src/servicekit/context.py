"""What belongs to the call being served: request id and deadline."""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar

# Metadata key that carries the request id between services; X-Request-Id in HTTP.
REQUEST_ID_KEY = "x-request-id"

_request_id: ContextVar[str] = ContextVar("request_id", default="")
_VALID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_id() -> str:
    """Id of the request being served; empty outside of one."""
    return _request_id.get()


def set_request_id(value: str | None) -> str:
    """Takes the caller's id where it is sane, else makes one; returns what is used.

    Ids end up in logs and headers, so only 1 to 64 letters, digits and `._-` are taken over.
    """
    chosen = value if value and _VALID.fullmatch(value) else secrets.token_hex(8)
    _request_id.set(chosen)
    return chosen
