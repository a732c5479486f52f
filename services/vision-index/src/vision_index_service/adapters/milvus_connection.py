"""The connection to Milvus, Zilliz Cloud, or Milvus Lite in a local folder: threads, deadlines, typed errors."""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Callable
from typing import TypeVar

import grpc
from milvus_lite.server_manager import server_manager_instance
from pymilvus import MilvusClient
from pymilvus.exceptions import DataNotMatchException, MilvusException, ParamError, SchemaNotReadyException

from objectstore.threads import Threads
from servicekit import deadlines, errors
from servicekit.tracing import traced
from vision_index_service.settings import Settings

# pymilvus imports it on first use; two threads that do so at once break the import. Not an import statement:
# nothing of scipy is used here, and its types are not installed.
importlib.import_module("scipy.sparse")

logger = logging.getLogger(__name__)
# pymilvus logs each failed call, and each that it repeats, with a traceback; the errors raised from here say it once.
_SAID_ONCE = ("RPC error: ", "grpc RpcError: ", "grpc Timeout: ")
logging.getLogger("pymilvus.decorators").addFilter(lambda record: not record.getMessage().startswith(_SAID_ONCE))
logging.getLogger("milvus_lite").setLevel(logging.WARNING)  # tells of every flush

T = TypeVar("T")
AT_ONCE = {"retry_on_rate_limit": False}
"""For writes: a limit is told to the caller, who knows how long he can wait, instead of holding a thread."""
_INVALID_CODES = {6, 1100}  # Milvus Lite's and Milvus's codes for arguments that can never work
# Milvus Lite serves inside this process and takes pymilvus's ping every 10 s for abuse ("too_many_pings").
_NO_PINGS = {"grpc.keepalive_time_ms": 2**31 - 1, "grpc.keepalive_permit_without_calls": 0}
_RATE_LIMIT_CODE = 8
_NO_TIME_S = 0.05
_WORKERS = 16
_WAITING = 256


class MilvusConnection:
    """One client, used from threads; opened by the first call, and again after a fault."""

    def __init__(self, settings: Settings, on_fault: Callable[[], None]) -> None:
        """``on_fault`` is called when a call failed: what was known of the server may no longer hold."""
        self._settings, self._on_fault = settings, on_fault
        self.embedded = not settings.vector_store_uri
        self.name = "milvus-lite" if self.embedded else "zilliz" if settings.zilliz_url else "milvus"
        self._timeout = settings.vector_store_timeout
        # Milvus Lite is Python in this process: threads gain nothing, and making a collection twice at once breaks it.
        workers = 1 if self.embedded else _WORKERS
        self._threads = Threads("the vector store", "VECTOR_STORE", workers, _WAITING, self._timeout)
        self._lock = threading.Lock()
        self._client: MilvusClient | None = None

    async def run(self, work: Callable[[MilvusClient], T]) -> T:
        """Runs ``work`` in a thread, with the errors of Milvus turned to ours."""
        try:
            return await self._threads.run(lambda: work(self._connected()))
        except (MilvusException, grpc.RpcError) as error:
            self._on_fault()
            left = deadlines.remaining()
            if left is not None and left < _NO_TIME_S:  # pymilvus tried until then
                raise errors.DeadlineExceeded(
                    "the vector store did not answer in the time that the caller gave; try again later",
                    reason="VECTOR_STORE_TIMEOUT",
                ) from error
            raise _typed(error) from error

    def left(self) -> float:
        """Seconds for a call to Milvus; worker threads see the deadline of the call being served."""
        return deadlines.shaved(self._timeout)

    async def close(self, before: Callable[[MilvusClient], None]) -> None:
        """Runs ``before``, if anything was ever opened, and lets go of the file or the connection."""
        try:
            if self._client is not None:
                await self.run(before)
                await self.run(self._let_go)
        finally:
            self._threads.close()

    def _connected(self) -> MilvusClient:
        with self._lock:
            if self._client is None:
                self._client = traced(self._open_file() if self.embedded else self._connect(), "milvus")
            return self._client

    def _connect(self) -> MilvusClient:
        token = self._settings.zilliz_token
        return MilvusClient(
            uri=self._settings.vector_store_uri,
            token=token.get_secret_value() if token else "",
            timeout=self.left(),
            dedicated=True,
        )

    def _open_file(self) -> MilvusClient:
        file = self._settings.vector_file
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            return MilvusClient(str(file), dedicated=True, grpc_options=_NO_PINGS)
        except MilvusException as error:
            raise errors.FailedPrecondition(
                f"{file.name} in DATA_DIR cannot be opened; stop the other vision-index on it, or set MILVUS_HOST",
                reason="VECTOR_STORE_LOCKED",
            ) from error

    def _let_go(self, client: MilvusClient) -> None:
        client.close()
        if self.embedded:  # the client leaves the server in this process, and so the lock on the file
            server_manager_instance.release_server(str(self._settings.vector_file))
        self._client = None


def _typed(error: Exception) -> errors.ServiceError:
    code = getattr(error, "code", None)
    logger.warning("the vector store failed: %s %s", type(error).__name__, error)
    if isinstance(error, (ParamError, DataNotMatchException, SchemaNotReadyException)) or code in _INVALID_CODES:
        return errors.Internal("the vector store does not take this request", reason="VECTOR_STORE_ERROR")
    if code == _RATE_LIMIT_CODE:
        return errors.ResourceExhausted(
            "the vector store takes fewer writes than it is sent; try again shortly",
            reason="VECTOR_STORE_BUSY",
            retry_after=1.0,
        )
    return errors.Unavailable(
        "the vector store is down or refuses the request; try again shortly",
        reason="VECTOR_STORE_DOWN",
        retry_after=1.0,
    )
