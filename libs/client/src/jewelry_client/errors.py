"""What can go wrong, with what the gateway says about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx


class JewelryError(Exception):
    """Base of this package's errors."""


class ConnectionFailed(JewelryError):
    """The gateway could not be reached, or the connection broke."""


class ApiError(JewelryError):
    """An answer that is an error (RFC 9457).

    Attributes:
        status: HTTP status.
        code: Machine-readable reason, such as `MARKETPLACE_UNKNOWN`.
        detail: One sentence that says what to do.
        errors: Broken fields, each with `loc` and `msg`.
        request_id: Id under which the gateway's log has it.
        retry_after: Seconds after which a repetition may succeed; None where unknown.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        request_id: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = [dict(error) for error in errors]
        self.request_id = request_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        """The sentence, then the fields that are wrong."""
        fields = "; ".join(f"{_place(error)}: {error.get('msg', '')}" for error in self.errors)
        return f"{self.detail} ({fields})" if fields and fields not in self.detail else self.detail


def from_response(response: httpx.Response) -> ApiError:
    """The error that an answer tells; `response` has been read."""
    try:
        body = response.json()
    except ValueError:
        body = {}
    if not isinstance(body, dict):
        body = {}
    errors = body.get("errors")
    return ApiError(
        response.status_code,
        str(body.get("code") or f"HTTP_{response.status_code}"),
        str(body.get("detail") or body.get("title") or f"the gateway answered {response.status_code}"),
        errors=errors if isinstance(errors, list) else (),
        request_id=str(body.get("request_id") or response.headers.get("x-request-id", "")),
        retry_after=retry_after(response),
    )


def retry_after(response: httpx.Response) -> float | None:
    """Seconds of the Retry-After header; None where it has none, or a date."""
    try:
        seconds = float(response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < 1e6 else None


def _place(error: Mapping[str, Any]) -> str:
    loc = error.get("loc") or ()
    return str(loc[-1]) if isinstance(loc, list) and loc else "body"
