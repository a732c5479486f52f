"""Typed errors that survive the wire.

Domain code raises these and imports no gRPC. `servicekit.wire` turns them into a status with
`google.rpc` details on the server and back into the same class on the client. There is one class
per canonical status code (google.rpc.Code), so the mapping is total in both directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class ServiceError(Exception):
    """An error that a caller may see.

    Args:
        message: One sentence that says what is wrong and what to do; shown to callers.
        reason: UPPER_SNAKE_CASE machine-readable reason; the class's own when left out.
        retry_after: Seconds after which a repetition may succeed; None when unknown.
        fields: Broken request fields, name to sentence.
    """

    code: ClassVar[str] = "UNKNOWN"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        retry_after: float | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.code
        self.retry_after = retry_after
        self.fields = dict(fields or {})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.message!r}, reason={self.reason!r})"


class Cancelled(ServiceError):
    """The caller went away."""

    code = "CANCELLED"


class Unknown(ServiceError):
    """An error of a system that says no more."""

    code = "UNKNOWN"


class InvalidArgument(ServiceError):
    """The request is wrong whatever the state of the system."""

    code = "INVALID_ARGUMENT"


class DeadlineExceeded(ServiceError):
    """The work cannot be, or was not, finished in the time given."""

    code = "DEADLINE_EXCEEDED"


class NotFound(ServiceError):
    """What was asked for does not exist."""

    code = "NOT_FOUND"


class AlreadyExists(ServiceError):
    """What was to be made exists."""

    code = "ALREADY_EXISTS"


class PermissionDenied(ServiceError):
    """The caller may not do this."""

    code = "PERMISSION_DENIED"


class ResourceExhausted(ServiceError):
    """A quota or a queue is full; `retry_after` says when to come back where it is known."""

    code = "RESOURCE_EXHAUSTED"


class FailedPrecondition(ServiceError):
    """The system is not in a state in which this can be done."""

    code = "FAILED_PRECONDITION"


class Aborted(ServiceError):
    """A conflict with other work; repeat at a higher level."""

    code = "ABORTED"


class OutOfRange(ServiceError):
    """Beyond the valid range, such as past the end."""

    code = "OUT_OF_RANGE"


class Unimplemented(ServiceError):
    """Not built, or not possible with the adapters in use."""

    code = "UNIMPLEMENTED"


class Internal(ServiceError):
    """A broken promise of our own."""

    code = "INTERNAL"


class Unavailable(ServiceError):
    """Something behind this service is down; may be repeated."""

    code = "UNAVAILABLE"


class DataLoss(ServiceError):
    """Stored data is damaged."""

    code = "DATA_LOSS"


class Unauthenticated(ServiceError):
    """The caller did not say who it is, or not believably."""

    code = "UNAUTHENTICATED"


BY_CODE: dict[str, type[ServiceError]] = {
    error.code: error
    for error in (
        Cancelled,
        Unknown,
        InvalidArgument,
        DeadlineExceeded,
        NotFound,
        AlreadyExists,
        PermissionDenied,
        ResourceExhausted,
        FailedPrecondition,
        Aborted,
        OutOfRange,
        Unimplemented,
        Internal,
        Unavailable,
        DataLoss,
        Unauthenticated,
    )
}
