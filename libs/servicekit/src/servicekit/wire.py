"""`servicekit.errors` to `grpc.Status` with `google.rpc` details, and back."""

from __future__ import annotations

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from servicekit import errors

# google.rpc.ErrorInfo wants the domain that the reason belongs to.
ERROR_DOMAIN = "jewelry"
# Reason of an error that no server of ours raised: it has no ErrorInfo.
TRANSPORT = "TRANSPORT"


def to_status(error: errors.ServiceError) -> grpc.Status:
    """Status with ErrorInfo, and RetryInfo and BadRequest where the error carries them."""
    details: list[any_pb2.Any] = [_pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN))]
    if error.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(max(0, round(error.retry_after * 1000)))
        details.append(_pack(error_details_pb2.RetryInfo(retry_delay=delay)))
    if error.fields:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=field, description=description)
            for field, description in error.fields.items()
        ]
        details.append(_pack(error_details_pb2.BadRequest(field_violations=violations)))
    code = grpc.StatusCode[error.code]
    status: grpc.Status = rpc_status.to_status(
        status_pb2.Status(code=code.value[0], message=error.message, details=details)
    )
    return status


def from_rpc_error(error: grpc.aio.AioRpcError) -> errors.ServiceError:
    """The typed error that the server raised, or the nearest one for errors of the transport."""
    kind = errors.BY_CODE.get(error.code().name, errors.Unknown)
    message = error.details() or error.code().name.replace("_", " ").lower()
    reason = TRANSPORT
    retry_after: float | None = None
    fields: dict[str, str] = {}
    # from_call raises where a peer's details do not match its code; the code still holds.
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]  # AioRpcError has the same shape
    except ValueError:
        status = None
    for detail in status.details if status is not None else ():
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
            reason = info.reason
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            detail.Unpack(retry)
            retry_after = retry.retry_delay.ToTimedelta().total_seconds()
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest()
            detail.Unpack(bad)
            fields = {violation.field: violation.description for violation in bad.field_violations}
    return kind(message, reason=reason, retry_after=retry_after, fields=fields)


def _pack(message: object) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)  # type: ignore[arg-type]  # every google.rpc detail is a Message
    return packed
