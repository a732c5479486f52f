"""`python -m embedding_service.worker FD NICENESS SECONDS`: prepares pictures for `workers.Workers`, one at a time.

Messages over the connection, each of a known length:

    parent                      worker
    the function, pickled  ─▶
                           ◀─   READY
    an encoded file        ─▶
                           ◀─   LARGE          only before a large picture is decoded
    GO                     ─▶
                           ◀─   JSON: {"dtype", "shape"}, {"refused": [message, reason]} or {"fault": traceback}
                           ◀─   the array's bytes, after the first of these

The answers are JSON and bytes: what a damaged file makes of this process is never unpickled in the other.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedding_service import decoding
from servicekit import errors, memory

READY = b"ready"
LARGE = b"large"
GO = b"go"


def main() -> None:
    """Serves until the other end closes."""
    # A signal to the whole group is the service's to answer: it drains, and this process is needed for that.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    memory.keep_freed()
    parent = Connection(int(sys.argv[1]))
    # Not os.nice, which adds: a thread that gave way already may have started this.
    os.setpriority(os.PRIO_PROCESS, 0, max(int(sys.argv[2]), os.getpriority(os.PRIO_PROCESS, 0)))
    longest = int(sys.argv[3])
    with contextlib.suppress(EOFError, OSError):
        prepare = pickle.loads(parent.recv_bytes())  # noqa: S301  # from the process that started this one
        decoding.guard_large(partial(_asking, parent, longest))
        parent.send_bytes(READY)
        while True:
            data = parent.recv_bytes()
            # Ends this process in the middle of a decoder too, and when the service is there no more to do it.
            signal.alarm(longest)
            _answer(parent, prepare, data)
            signal.alarm(0)


def _answer(parent: Connection, prepare: Callable[[bytes], NDArray[Any]], data: bytes) -> None:
    try:
        array = np.ascontiguousarray(prepare(data))
        numbers = array.data.cast("B")
    except errors.InvalidArgument as error:
        parent.send_bytes(json.dumps({"refused": [error.message, error.reason]}).encode())
    except Exception:
        parent.send_bytes(json.dumps({"fault": traceback.format_exc()}).encode())
    else:
        parent.send_bytes(json.dumps({"dtype": array.dtype.str, "shape": array.shape}).encode())
        parent.send_bytes(numbers)


@contextlib.contextmanager
def _asking(parent: Connection, longest: int) -> Iterator[None]:
    """Holds a place among the large pictures: the other end gives it, and takes it back with the answer."""
    # Waiting for it is no fault of the picture's.
    signal.alarm(0)
    try:
        parent.send_bytes(LARGE)
        parent.recv_bytes()
    except (EOFError, OSError):
        # No fault of the picture's: the other end has gone.
        sys.exit()
    signal.alarm(longest)
    yield


if __name__ == "__main__":
    main()
