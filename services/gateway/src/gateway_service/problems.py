"""Every error as problem+json (RFC 9457), from one total table of status codes."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from gateway_service.captions import StoredButUnread
from servicekit import context, errors

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

# Canonical code (google.rpc.Code) to HTTP status. What a service behind the gateway broke is 502, what it cannot do
# now is 503 or 504: 500 is kept for the gateway's own faults.
STATUS: Mapping[str, int] = {
    "CANCELLED": 503,  # a service that stops cancels what its drain could not finish
    "UNKNOWN": 502,
    "INVALID_ARGUMENT": 422,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 409,
    "ABORTED": 409,
    "OUT_OF_RANGE": 422,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 502,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 502,
    "UNAUTHENTICATED": 401,
}

# Reasons of INVALID_ARGUMENT that HTTP has a closer word for.
STATUS_BY_REASON: Mapping[str, int] = {
    "IMAGE_EMPTY": 400,
    "IMAGE_UNREADABLE": 400,
    "IMAGE_TRUNCATED": 400,
    "IMAGE_TOO_LARGE": 413,
    "IMAGE_TOO_MANY_PIXELS": 413,
    "OBJECT_TOO_LARGE": 413,
}

# Errors that the framework, not a service, raises: code and sentence.
_BY_STATUS: Mapping[int, tuple[str, str]] = {
    400: ("BODY_UNREADABLE", "the body cannot be read; check its format and its Content-Type"),
    404: ("NOT_FOUND", "there is no such path; /docs lists them"),
    405: ("METHOD_NOT_ALLOWED", "this path does not take this method; the Allow header lists those it takes"),
    413: ("BODY_TOO_LARGE", "the body is larger than what is taken here"),
    415: ("MEDIA_TYPE_UNSUPPORTED", "this type of body is not taken here"),
}


class HttpProblem(HTTPException):
    """A refusal that belongs to HTTP itself, such as a wrong type of body.

    An HTTPException, because FastAPI turns any other error met while it reads a body into a 400.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(status, detail, dict(headers) if headers else None)
        self.code = code
        self.retry_after = retry_after


def http_status(error: errors.ServiceError) -> int:
    """HTTP status of a typed error."""
    code = error.cause_code if isinstance(error, StoredButUnread) else error.code
    if code == "INVALID_ARGUMENT":
        return STATUS_BY_REASON.get(error.reason, STATUS[code])
    return STATUS[code]


def members(status: int, code: str, detail: str) -> dict[str, Any]:
    """What every problem says."""
    return {
        "type": f"urn:jewelry:problem:{code.lower().replace('_', '-')}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": context.request_id(),
    }


def phrase(status: int) -> str:
    """The reason phrase of a status."""
    return HTTPStatus(status).phrase


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    field_errors: Sequence[Mapping[str, Any]] = (),
    retry_after: float | None = None,
    headers: Mapping[str, str] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Response:
    """A problem+json response; `retry_after` is in seconds."""
    body = members(status, code, detail)
    if field_errors:
        body["errors"] = list(field_errors)
    if retry_after is not None:
        body["retry_after"] = retry_after
    body.update(extra or {})
    answer_headers = dict(headers or {})
    if retry_after is not None:
        # RFC 9110: whole seconds; never 0, which would invite a storm.
        answer_headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
    return Response(
        json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"),
        status_code=status,
        headers=answer_headers,
        media_type=MEDIA_TYPE,
    )


def from_service_error(error: errors.ServiceError) -> Response:
    """The response for a typed error."""
    status = http_status(error)
    if status >= 500:
        logger.warning("answered %d: %s: %s", status, error.reason, error.message)
    extra = {"s3_url": error.s3_url} if isinstance(error, StoredButUnread) else None
    field_errors = [{"loc": ["body", name], "msg": sentence} for name, sentence in error.fields.items()]
    return problem(
        status, error.reason, error.message, field_errors=field_errors, retry_after=error.retry_after, extra=extra
    )


def from_http_exception(error: HTTPException) -> Response:
    """The response for an error of the framework, or for an `HttpProblem`."""
    if isinstance(error, HttpProblem):
        return problem(
            error.status_code, error.code, error.detail, headers=error.headers, retry_after=error.retry_after
        )
    known = _BY_STATUS.get(error.status_code)
    code = known[0] if known else HTTPStatus(error.status_code).name
    detail = known[1] if known else str(error.detail)
    return problem(error.status_code, code, detail, headers=error.headers)


def from_validation_error(error: RequestValidationError) -> Response:
    """400 for a body that is no JSON, 422 for one that says something impossible."""
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        item = found[0]
        at = [{"loc": list(item["loc"]), "msg": str(item.get("ctx", {}).get("error", item["msg"]))}]
        return problem(400, "BODY_UNREADABLE", "the body is no valid JSON", field_errors=at)
    field_errors = [{"loc": list(item["loc"]), "msg": item["msg"].removeprefix("Value error, ")} for item in found]
    names = ", ".join(sorted({str(item["loc"][-1]) for item in field_errors if item["loc"]}))
    return problem(422, "INVALID_ARGUMENT", f"please mend: {names}", field_errors=field_errors)


def internal() -> Response:
    """The response for an error that nobody foresaw: says nothing but the request id."""
    detail = f"an unexpected error; the log has it under request id {context.request_id()}"
    return problem(500, "INTERNAL", detail)


def install(app: FastAPI) -> None:
    """Makes every error of the application a problem."""

    async def service_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, errors.ServiceError)
        return from_service_error(error)

    async def http_exception(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return from_http_exception(error)

    async def validation_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return from_validation_error(error)

    app.add_exception_handler(errors.ServiceError, service_error)
    app.add_exception_handler(HTTPException, http_exception)
    app.add_exception_handler(RequestValidationError, validation_error)
