"""Proxies that stand between the index and its stores, and can be told to misbehave."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
from pymilvus.grpc_gen import common_pb2, milvus_pb2

SLOW_SECONDS = 10.0
_WRITES = {"Upsert", "Insert", "Delete"}


class MilvusProxy(grpc.GenericRpcHandler):
    """Passes Milvus's calls on. ``mode``: pass, slow, refuse writes, limit writes."""

    def __init__(self, target: int) -> None:
        self.mode = "pass"
        self.port = 0
        self._channel = grpc.aio.insecure_channel(
            f"127.0.0.1:{target}", options=[("grpc.max_receive_message_length", -1)]
        )
        self._server: grpc.aio.Server | None = None

    def service(self, details: Any) -> Any:
        async def forward(request: bytes, context: Any) -> bytes:
            name = details.method.rsplit("/")[-1]
            if self.mode == "slow":
                await asyncio.sleep(SLOW_SECONDS)
            if name in _WRITES and self.mode in _REFUSALS:
                return bytes(_REFUSALS[self.mode].SerializeToString())
            call: Any = self._channel.unary_unary(details.method)
            answer: bytes = await call(request, timeout=context.time_remaining())
            return answer

        return grpc.unary_unary_rpc_method_handler(forward)

    async def up(self) -> None:
        """Listens, on the same port each time."""
        # grpc.aio's server takes connections of clients that ping often, as pymilvus does.
        options = [("grpc.http2.min_recv_ping_interval_without_data_ms", 1000), ("grpc.so_reuseport", 0)]
        self._server = grpc.aio.server(options=options)
        self._server.add_generic_rpc_handlers((self,))
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def down(self) -> None:
        """Refuses connections."""
        assert self._server is not None
        await self._server.stop(0)

    async def close(self) -> None:
        """Ends everything."""
        await self.down()
        await self._channel.close()


_REFUSALS = {
    "refuse writes": milvus_pb2.MutationResult(
        status=common_pb2.Status(
            error_code=common_pb2.ForceDeny, code=9, reason="quota exceeded[reason=deny to write, disk quota exceeded]"
        )
    ),
    "limit writes": milvus_pb2.MutationResult(
        status=common_pb2.Status(error_code=common_pb2.RateLimit, code=8, reason="request is rejected by limiter")
    ),
}


class HttpProxy:
    """Passes bytes on. ``mode``: pass, down, slow, full, denied; changing it cuts the connections there are."""

    def __init__(self, target: int) -> None:
        self._target, self._mode = target, "pass"
        self.port = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def up(self) -> None:
        """Listens, on the same port each time."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def set(self, mode: str) -> None:
        """Misbehaves from now on, or stops to."""
        assert self._server is not None
        for writer in tuple(self._open):
            writer.close()
        if mode == "down":
            self._server.close()
        elif self._mode == "down":
            await self.up()
        self._mode = mode

    async def close(self) -> None:
        """Ends everything."""
        if self._mode != "down":
            await self.set("down")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                if self._mode in _ANSWERS:
                    await reader.readuntil(b"\r\n\r\n")
                    writer.write(_ANSWERS[self._mode])
                    await writer.drain()
                    return
                if self._mode == "slow":
                    await asyncio.sleep(SLOW_SECONDS)
                there, back = await asyncio.open_connection("127.0.0.1", self._target)
                try:
                    await asyncio.gather(_pump(reader, back), _pump(there, writer))
                finally:
                    back.close()
        finally:
            self._open.discard(writer)
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


def _answer(status: str, code: str) -> bytes:
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>"
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n{body}".encode()


_ANSWERS = {
    "full": _answer("507 Insufficient Storage", "XMinioStorageFull"),
    "denied": _answer("403 Forbidden", "AccessDenied"),
}


@contextlib.asynccontextmanager
async def milvus_proxy(target: int) -> AsyncIterator[MilvusProxy]:
    proxy = MilvusProxy(target)
    await proxy.up()
    try:
        yield proxy
    finally:
        await proxy.close()


@contextlib.asynccontextmanager
async def http_proxy(target: int) -> AsyncIterator[HttpProxy]:
    proxy = HttpProxy(target)
    await proxy.up()
    try:
        yield proxy
    finally:
        await proxy.close()
