"""Processes that prepare pictures: none waits for another's turn at the interpreter, and who dies, dies alone."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import multiprocessing
import pickle
import queue
import subprocess
import sys
import threading
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
# Starts that fail in a row before the service is given up: a fresh one may have what this one lacks.
_FAILED_STARTS = 8

Prepare = Callable[[bytes], NDArray[Any]]


class WorkerFault(Exception):
    """What prepares raised an error of its own, no refusal; the message holds its traceback."""


class _Lost(Exception):
    """The worker gave no whole answer, and was killed."""


class Workers:
    """Called like the function that it was made of, from as many threads as there are processes; more wait.

    A process that dies is replaced and its picture tried once more; one that gives no answer for two minutes is killed
    and replaced, and its picture refused.

    Args:
        prepare: What to do with a picture; a function that `pickle` can name.
        count: Processes.
        niceness: How far they give way to other processes, 0 to 19.
        on_fatal: Called when processes cannot be started any more.

    Raises:
        errors.FailedPrecondition: A process does not start.
    """

    def __init__(
        self, prepare: Prepare, count: int, *, niceness: int = 0, on_fatal: Callable[[], None] | None = None
    ) -> None:
        function = pickle.dumps(prepare)
        self._workers = [_Worker(function, niceness) for _ in range(count)]
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._on_fatal = on_fatal
        self._failed_starts = 0
        try:
            # All begin to start before the first is waited for.
            for worker in self._workers:
                worker.spawn()
            for worker in self._workers:
                worker.be_ready()
        except errors.Unavailable as error:
            self.close()
            raise errors.FailedPrecondition(
                f"{error.message}; PREPROCESS_IN=threads does without processes", reason=error.reason
            ) from error
        for worker in self._workers:
            self._idle.put(worker)

    def __call__(self, data: bytes) -> NDArray[Any]:
        """What the function makes of the file.

        Raises:
            errors.InvalidArgument: The file cannot be read, breaks a limit, ended two processes or hung one.
            errors.Unavailable: These workers are closed, or cannot be started; no fault of the file's.
            WorkerFault: The function raised another error.
        """
        for _ in range(2):
            worker = self._idle.get()
            try:
                self._be_ready(worker)
                return worker.ask(data)
            except _Lost as lost:
                logger.warning("a worker was lost with a picture of %d bytes: %r", len(data), lost.__cause__)
                # Begins to start now, and is asked after the others. Where it cannot, who asks it is told.
                with contextlib.suppress(errors.Unavailable):
                    worker.spawn()
                if worker.closed:
                    raise _stopping() from lost
                if isinstance(lost.__cause__, TimeoutError):
                    # Whoever waits has left by now, and would wait as long again.
                    break
            finally:
                self._idle.put(worker)
        raise errors.InvalidArgument(
            "reading this picture ended without an answer; save it anew, as JPEG or PNG, and send that",
            reason="IMAGE_DECODER_FAILED",
        )

    @property
    def processes(self) -> list[int]:
        """Ids of those that run."""
        return [worker.process.pid for worker in self._workers if worker.process is not None]

    def close(self) -> None:
        """Ends the processes, whatever they are doing; they hold nothing."""
        for worker in self._workers:
            worker.close()

    def _be_ready(self, worker: _Worker) -> None:
        try:
            worker.be_ready()
        except errors.Unavailable:
            self._failed_starts += 1
            if self._failed_starts == _FAILED_STARTS and not worker.closed and self._on_fatal is not None:
                logger.critical("%d processes in a row could not be started; giving up", _FAILED_STARTS)
                self._on_fatal()
            raise
        self._failed_starts = 0


class _Worker:
    """One process, started again when asked after it was lost. Used by one thread at a time, but closed by any."""

    def __init__(self, function: bytes, niceness: int) -> None:
        self._function = function
        self._niceness = niceness
        self._connection: Connection | None = None
        self._greeted = False
        # Between starting and closing: nothing starts after `close`.
        self._starting = threading.Lock()
        self.closed = False
        self.process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> None:
        """Begins to start.

        Raises:
            errors.Unavailable: Closed, or the system gives no process.
        """
        with self._starting:
            if self.closed:
                raise _stopping()
            again = self._connection is not None
            try:
                self._connection, self.process = self._started()
                self._connection.send_bytes(self._function)
            except OSError as error:
                raise _no_workers(error) from error
            self._greeted = False
        if again:
            metrics.workers_lost.add(1)

    def be_ready(self) -> None:
        """Returns once it waits for a picture; raises as `spawn`."""
        if self.process is None or self.process.poll() is not None:
            # Lost while it had nothing to do: no picture's fault, and none of its two tries.
            self._kill()
            self.spawn()
        if self._greeted:
            return
        try:
            answer = self._receive()
        except (OSError, EOFError) as error:
            self._kill()
            raise (_stopping() if self.closed else _no_workers(error)) from error
        if answer != READY:
            self._kill()
            raise _no_workers(answer)
        self._greeted = True

    def ask(self, data: bytes) -> NDArray[Any]:
        """What it makes of the file.

        Raises:
            errors.InvalidArgument: It refuses the file.
            WorkerFault: Its code failed.
            _Lost: Anything else.
        """
        try:
            self._send(data)
            answer = self._receive()
            if answer == LARGE:
                with decoding.large():
                    self._send(GO)
                    return self._result(self._receive())
            return self._result(answer)
        except (errors.InvalidArgument, WorkerFault):
            raise
        except BaseException as error:
            # Whatever it was, the next answer of this process might be the rest of this one.
            self._kill()
            if isinstance(error, Exception):
                raise _Lost from error
            raise

    def close(self) -> None:
        with self._starting:
            self.closed = True
        self._kill()

    def _started(self) -> tuple[Connection, subprocess.Popen[bytes]]:
        ours, theirs = multiprocessing.Pipe()
        # It ends by itself a little later than it would be killed here, should nobody be left to do that.
        limit = math.ceil(1.25 * _LONGEST)
        # -P: a folder that the service happens to run in holds no code.
        command = [sys.executable, "-P", "-m", "embedding_service.worker"]
        with theirs:
            return ours, subprocess.Popen(  # noqa: S603  # our own module
                [*command, str(theirs.fileno()), str(self._niceness), str(limit)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                # A signal to the service's group is not for this one.
                start_new_session=True,
                # One thread each: there are as many processes as CPUs.
                env=harmless_environment() | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )

    def _kill(self) -> None:
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


def _stopping() -> errors.Unavailable:
    return errors.Unavailable("the service is stopping", reason="STOPPING", retry_after=1.0)


def _no_workers(cause: object) -> errors.Unavailable:
    return errors.Unavailable(
        f"the processes that decode pictures do not start: {cause!r}", reason="NO_WORKERS", retry_after=1.0
    )
