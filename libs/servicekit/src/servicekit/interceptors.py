"""The server interceptor: request ids, deadlines, readiness, typed errors, metrics."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc
from opentelemetry import metrics

from servicekit import context, deadlines, errors, wire

logger = logging.getLogger(__name__)

# Health and reflection answer while the service warms up and drains.
_ALWAYS = ("/grpc.health.", "/grpc.reflection.")

_meter = metrics.get_meter("jewelry.rpc")
_durations = _meter.create_histogram("jewelry_rpc_server_seconds", unit="s", description="Duration of calls served.")
_active = _meter.create_up_down_counter("jewelry_rpc_server_active", description="Calls being served.")

Behavior = Callable[[Any, Any], Any]


class ServerInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # untyped base
    """Wraps every call of the service's own RPCs."""

    def __init__(self) -> None:
        self.ready = False

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Replaces the handler's behaviour by the wrapped one."""
        # grpc's stubs describe the synchronous handlers only.
        handler: Any = await continuation(handler_call_details)
        method = str(handler_call_details.method)
        if handler is None or method.startswith(_ALWAYS):
            return handler
        serializers = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.response_streaming:
            if handler.request_streaming:
                wrapped = self._streaming(method, handler.stream_stream)
                return grpc.stream_stream_rpc_method_handler(wrapped, **serializers)
            wrapped = self._streaming(method, handler.unary_stream)
            return grpc.unary_stream_rpc_method_handler(wrapped, **serializers)
        if handler.request_streaming:
            unary = self._unary(method, handler.stream_unary)
            return grpc.stream_unary_rpc_method_handler(unary, **serializers)
        unary = self._unary(method, handler.unary_unary)
        return grpc.unary_unary_rpc_method_handler(unary, **serializers)

    def _unary(self, method: str, behavior: Behavior) -> Behavior:
        async def serve(request: Any, call: grpc.aio.ServicerContext[Any, Any]) -> Any:
            with _Served(method) as served:
                try:
                    self._enter(call)
                    return await behavior(request, call)
                except Exception as error:
                    await _abort(call, error, method, served)

        return serve

    def _streaming(self, method: str, behavior: Behavior) -> Behavior:
        async def serve(request: Any, call: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            with _Served(method) as served:
                try:
                    self._enter(call)
                    async for response in behavior(request, call):
                        yield response
                except Exception as error:
                    await _abort(call, error, method, served)

        return serve

    def _enter(self, call: grpc.aio.ServicerContext[Any, Any]) -> None:
        sent = {key: value for key, value in call.invocation_metadata() or () if key == context.REQUEST_ID_KEY}
        value = sent.get(context.REQUEST_ID_KEY)
        context.set_request_id(value if isinstance(value, str) else None)
        if not self.ready:
            raise errors.Unavailable("the service is starting or stopping", reason="NOT_READY", retry_after=1.0)
        deadlines.enter(call.time_remaining())


class _Served:
    """Counts and times one call; `code` is what it ended with."""

    def __init__(self, method: str) -> None:
        self._method = {"method": method}
        self._started = time.perf_counter()
        self.code = "OK"

    def __enter__(self) -> _Served:
        _active.add(1, self._method)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, asyncio.CancelledError | GeneratorExit):
            self.code = "CANCELLED"
        _active.add(-1, self._method)
        _durations.record(time.perf_counter() - self._started, {**self._method, "code": self.code})


async def _abort(call: grpc.aio.ServicerContext[Any, Any], error: Exception, method: str, served: _Served) -> NoReturn:
    """Ends the call with the error's status. An error that nobody typed says nothing to the caller."""
    if isinstance(error, grpc.aio.AbortError):
        served.code = "ABORTED_BY_HANDLER"
        raise error
    # The generated base answers an unbuilt RPC so: it sets the code, then raises.
    if isinstance(error, NotImplementedError):
        error = errors.Unimplemented(f"{method} is not built yet")
    if not isinstance(error, errors.ServiceError):
        logger.exception("%s failed", method, exc_info=error)
        error = errors.Internal(f"an unexpected error; the log has it under request id {context.request_id()}")
    elif error.code in ("INTERNAL", "DATA_LOSS", "UNKNOWN"):
        logger.error("%s: %s: %s", method, error.reason, error.message, exc_info=error)
    else:
        logger.info("%s: %s: %s", method, error.reason, error.message)
    served.code = error.code
    status = wire.to_status(error)
    # Not abort_with_status: the tracing around this call marks its span in `abort` only.
    await call.abort(status.code, status.details, status.trailing_metadata)
    raise AssertionError("abort returns never")
