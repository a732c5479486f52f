"""The client factory: round robin, keepalive, retries where the contract allows, deadlines always.

An RPC is repeated on UNAVAILABLE only where its contract says that this is safe: the method option
`idempotency_level` in the `.proto` is the one place that decides.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from typing import Any, TypeVar

import grpc
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import ServiceDescriptor
from opentelemetry.instrumentation.grpc import aio_client_interceptors

from servicekit import context, deadlines, errors, wire
from servicekit.settings import ServiceSettings

Request = TypeVar("Request")
Response = TypeVar("Response")

# Three attempts within about a second: enough to reach a neighbour of a replica that was killed.
_RETRY = {
    "maxAttempts": 3,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


class _EndsWithCaller(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc,unused-ignore]  # untyped in some stubs
    """Waits for the answer inside of every other interceptor: to cancel this wait is to cancel the call.

    The tracing interceptor waits for the status of a call, not for its answer; one that is cancelled meanwhile leaves
    the call running until its deadline (opentelemetry-instrumentation-grpc 0.66, `_aio_client.py`,
    `_wrap_unary_response`).
    """

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        call = await continuation(client_call_details, request)
        with contextlib.suppress(grpc.aio.AioRpcError):  # whoever asked gets it from the call itself
            await call
        return call


def connect(target: str, descriptors: Sequence[ServiceDescriptor], settings: ServiceSettings) -> grpc.aio.Channel:
    """A channel to every replica behind `target`, such as `vision-index:50052` or `ipv4:a:1,b:2`."""
    options: list[tuple[str, Any]] = [
        ("grpc.service_config", json.dumps(service_config(descriptors))),
        ("grpc.max_receive_message_length", settings.grpc_max_message_bytes),
        ("grpc.max_send_message_length", settings.grpc_max_message_bytes),
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        # A service that comes back is found within a second, not within gRPC's two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 500),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        # Channels to one address share nothing: each is owned, and closed, by who made it.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    tracing = aio_client_interceptors()  # type: ignore[no-untyped-call]
    # The last one is the innermost.
    interceptors = [*tracing, _EndsWithCaller()]
    secure = credentials(settings)
    if secure is None:
        return grpc.aio.insecure_channel(target, options=options, interceptors=interceptors)
    return grpc.aio.secure_channel(target, secure, options=options, interceptors=interceptors)


def service_config(descriptors: Sequence[ServiceDescriptor]) -> dict[str, object]:
    """gRPC's service config for the services: round robin, health checks, retries."""
    repeatable = [
        {"service": descriptor.full_name, "method": method.name}
        for descriptor in descriptors
        for method in descriptor.methods
        if method.GetOptions().idempotency_level != descriptor_pb2.MethodOptions.IDEMPOTENCY_UNKNOWN
    ]
    config: dict[str, object] = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": ""},
        # When most calls fail, repeating them only adds load: 10 tokens, a success gives back 0.1.
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    }
    if repeatable:
        config["methodConfig"] = [{"name": repeatable, "retryPolicy": _RETRY}]
    return config


async def call(
    method: grpc.aio.UnaryUnaryMultiCallable[Request, Response], request: Request, *, timeout: float
) -> Response:
    """Calls an RPC with a deadline, shaved by that of the call being served.

    Raises:
        errors.ServiceError: The typed error that the server raised, or of the transport.
    """
    seconds = deadlines.shaved(timeout)
    try:
        return await method(request, timeout=seconds, metadata=_metadata())
    except grpc.aio.AioRpcError as error:
        raise _typed(error, method, seconds) from None


async def stream(method: Any, request: Request | AsyncIterable[Request], *, timeout: float) -> AsyncIterator[Any]:
    """Iterates the answers of a streaming RPC; otherwise as `call`."""
    seconds = deadlines.shaved(timeout)
    answers = method(request, timeout=seconds, metadata=_metadata())
    try:
        async for answer in answers:
            yield answer
    except grpc.aio.AioRpcError as error:
        raise _typed(error, method, seconds) from None
    finally:
        answers.cancel()


def _metadata() -> tuple[tuple[str, str], ...]:
    request_id = context.request_id()
    return ((context.REQUEST_ID_KEY, request_id),) if request_id else ()


def _typed(error: grpc.aio.AioRpcError, method: Any, seconds: float) -> errors.ServiceError:
    """The server's own error; an error of the transport names the service, not its address."""
    typed = wire.from_rpc_error(error)
    if typed.reason != wire.TRANSPORT:
        return typed
    if isinstance(typed, errors.DeadlineExceeded):
        return errors.DeadlineExceeded(
            f"the {_service_name(method)} service did not answer within {seconds:.1f} s",
            reason="SERVICE_SLOW",
        )
    # A server of ours gives every error an ErrorInfo. Without one the connection broke; gRPC calls that
    # UNAVAILABLE, CANCELLED by a server that stops, or INTERNAL and UNKNOWN where it lost a stream's status.
    if isinstance(typed, errors.Unavailable | errors.Cancelled | errors.Internal | errors.Unknown):
        return errors.Unavailable(
            f"the {_service_name(method)} service cannot be reached; try again shortly",
            reason="SERVICE_UNREACHABLE",
            retry_after=1.0,
        )
    return typed


def _service_name(method: Any) -> str:
    # grpc.aio keeps the path in a private attribute and offers no other way to ask for it.
    path: bytes = getattr(method, "_method", b"")
    parts = path.decode().strip("/").split(".")
    return parts[1].replace("_", "-") if len(parts) > 2 else "called"


def credentials(settings: ServiceSettings) -> grpc.ChannelCredentials | None:
    """TLS towards servers of the configured authority, mTLS where a certificate is configured too; else None."""
    if settings.tls_ca is None:
        return None
    key = settings.tls_key.read_bytes() if settings.tls_key else None
    certificate = settings.tls_cert.read_bytes() if settings.tls_cert else None
    return grpc.ssl_channel_credentials(settings.tls_ca.read_bytes(), key, certificate)
