"""What the clients of all services share: deadlines, timing, health."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from jewelry.type.v1 import type_pb2

from gateway_service import timing
from gateway_service.model import Adapter, Cost
from servicekit import client

Response = TypeVar("Response")


class Remote:
    """A service behind a channel; every call has a deadline and is counted in Server-Timing."""

    name: ClassVar[str]

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._health = health_pb2_grpc.HealthStub(channel)

    async def healthy(self, timeout: float) -> bool:
        """What the service's health check says. Raises `errors.ServiceError` where it cannot be reached."""
        answer = await client.call(self._health.Check, health_pb2.HealthCheckRequest(), timeout=timeout)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close()

    # The stubs are typed for synchronous and asynchronous channels alike; mypy cannot tell which one this is.
    async def _ask(self, method: Any, request: Any, timeout: float) -> Any:
        with timing.spent(self.name):
            return await client.call(method, request, timeout=timeout)


def adapter(message: type_pb2.Adapter) -> Adapter:
    """The adapter that a message names."""
    return Adapter(
        role=message.role,
        name=message.name,
        embedded=message.embedded,
        model_id=message.model_id,
        detail=message.detail,
        shutdown_date=message.shutdown_date,
    )


def cost(message: type_pb2.Cost) -> Cost:
    """The cost that a message tells."""
    return Cost(message.calls, message.input_tokens, message.output_tokens, message.inr_micros)


def enum_word(enum: Any, value: int) -> str:
    """The value's name without the enum's prefix, in lower case; empty for UNSPECIFIED and for unknown values."""
    number = enum.DESCRIPTOR.values_by_number.get(value)
    if number is None or value == 0:
        return ""
    prefix = enum.DESCRIPTOR.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return str(number.name.removeprefix(prefix).lower())
