"""A call ends with the one who waits for it.

The tracing interceptor waits for the status of a call, not for its answer; one that is cancelled meanwhile leaves the
call running until its deadline (opentelemetry-instrumentation-grpc 0.66, `_aio_client.py`, `_wrap_unary_response`).
"""

from __future__ import annotations

import contextlib
from typing import Any

import grpc


class _WithCaller(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc,unused-ignore]  # untyped in some stubs
    """Waits for the answer inside of every other interceptor: to cancel this wait is to cancel the call."""

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        call = await continuation(client_call_details, request)
        with contextlib.suppress(grpc.aio.AioRpcError):  # whoever asked gets it from the call itself
            await call
        return call


def cancel_with_caller(channel: grpc.aio.Channel) -> grpc.aio.Channel:
    """Makes the channel's unary calls end with their callers; gives the channel back."""
    # An open channel takes interceptors only here; the last one is the innermost.
    interceptors: list[Any] = getattr(channel, "_unary_unary_interceptors")  # noqa: B009
    if not any(isinstance(one, _WithCaller) for one in interceptors):
        interceptors.append(_WithCaller())
    return channel
