"""Processes that prepare pictures: none waits for another's turn at the interpreter, and who dies, dies alone."""

from __future__ import annotations

import contextlib
import json
import logging
import multiprocessing
import pickle
import queue
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedding_service import decoding, metrics
from embedding_service.settings import harmless_environment
from embedding_service.worker import GO, LARGE, READY
from servicekit import errors

logger = logging.getLogger(__name__)

# Seconds. The largest picture allowed takes a few, ten times that where bulk gives way to others; one that takes longer
# than this holds its worker for ever.
_LONGEST = 120.0

Prepare = Callable[[bytes], NDArray[Any]]


class WorkerFault(Exception):
    """What prepares raised an error of its own, no refusal; the message holds its traceback."""


class Workers:
    """Called like the function that it was made of, from as many threads as there are processes; more wait.

    A process that dies, or is killed for taking too long, is replaced and its picture tried once more.

    Args:
        prepare: What to do with a picture; a function that `pickle` can name.
        count: Processes.
        niceness: How far they give way to other processes, 0 to 19.

    Raises:
        errors.FailedPrecondition: A process does not start.
    """

    def __init__(self, prepare: Prepare, count: int, *, niceness: int = 0) -> None:
        function = pickle.dumps(prepare)
        self._workers = [_Worker(function, niceness) for _ in range(count)]
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._closed = False
        try:
            # All begin to start before the first is waited for.
            for worker in self._workers:
                worker.spawn()
            for worker in self._workers:
                worker.greet()
        except (OSError, EOFError) as error:
            self.close()
            raise errors.FailedPrecondition(
                f"the processes that decode pictures do not start: {error}; PREPROCESS_IN=threads does without them",
                reason="NO_WORKERS",
            ) from error
        for worker in self._workers:
            self._idle.put(worker)

    def __call__(self, data: bytes) -> NDArray[Any]:
        """What the function makes of the file.

        Raises:
            errors.InvalidArgument: The file cannot be read, breaks a limit, or ended two processes.
            errors.Unavailable: These workers are closed.
            WorkerFault: The function raised another error.
        """
        for _ in range(2):
            worker = self._idle.get()
            try:
                if self._closed:
                    raise EOFError("closed")
                return worker.ask(data)
            except (errors.InvalidArgument, WorkerFault):
                raise
            except Exception as error:
                # Whatever it was, the next answer of this process might be the rest of this one.
                worker.kill()
                if self._closed:
                    raise errors.Unavailable("the service is stopping", reason="STOPPING", retry_after=1.0) from error
                logger.warning("a worker was lost with a picture of %d bytes: %r", len(data), error)
                # Begins to start now, and is asked after the others.
                with contextlib.suppress(OSError):
                    worker.spawn()
            finally:
                self._idle.put(worker)
        raise errors.InvalidArgument(
            "reading this picture failed twice without an answer; save it anew, as JPEG or PNG, and send that",
            reason="IMAGE_DECODER_FAILED",
        )

    @property
    def processes(self) -> list[int]:
        """Ids of those that run."""
        return [worker.process.pid for worker in self._workers if worker.process is not None]

    def close(self) -> None:
        """Ends the processes, whatever they are doing; they hold nothing."""
        self._closed = True
        for worker in self._workers:
            worker.kill()


class _Worker:
    """One process, started again when asked after it was lost."""

    def __init__(self, function: bytes, niceness: int) -> None:
        self._function = function
        self._niceness = niceness
        self._connection: Connection | None = None
        self._greeted = False
        self.process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> None:
        if self._connection is not None:
            metrics.workers_lost.add(1)
        ours, theirs = multiprocessing.Pipe()
        with theirs:
            command = [sys.executable, "-m", "embedding_service.worker", str(theirs.fileno()), str(self._niceness)]
            self.process = subprocess.Popen(  # noqa: S603  # our own module
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                # One thread each: there are as many processes as CPUs.
                env=harmless_environment() | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
        self._connection, self._greeted = ours, False
        ours.send_bytes(self._function)

    def greet(self) -> None:
        answer = self._receive()
        if answer != READY:
            raise OSError(f"a worker said {answer[:100]!r} for a greeting")
        self._greeted = True

    def ask(self, data: bytes) -> NDArray[Any]:
        if self.process is None or self.process.poll() is not None:
            # Lost while it had nothing to do: no picture's fault, and none of its two tries.
            self.kill()
            self.spawn()
        if not self._greeted:
            self.greet()
        self._send(data)
        answer = self._receive()
        if answer == LARGE:
            with decoding.large():
                self._send(GO)
                return self._result(self._receive())
        return self._result(answer)

    def kill(self) -> None:
        # Not the connection: another thread may be reading there, and sees its end by this.
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()

    def _result(self, answer: bytes) -> NDArray[Any]:
        parsed = json.loads(answer)
        if "refused" in parsed:
            message, reason = parsed["refused"]
            raise errors.InvalidArgument(message, reason=reason)
        if "fault" in parsed:
            raise WorkerFault(f"in the worker: {parsed['fault']}")
        return np.frombuffer(self._receive(), parsed["dtype"]).reshape(parsed["shape"])

    def _send(self, data: bytes) -> None:
        assert self._connection is not None
        self._connection.send_bytes(data)

    def _receive(self) -> bytes:
        assert self._connection is not None
        if not self._connection.poll(_LONGEST):
            raise TimeoutError(f"no answer within {_LONGEST:.0f} s")
        return self._connection.recv_bytes()
