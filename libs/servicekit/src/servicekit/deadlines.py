"""The deadline of the call being served, with the margin that answering needs.

A server that uses up all the time it was given answers nobody: its caller has left. So each server
keeps a margin, passes less on to those it calls, and refuses work that cannot finish (the habit is
boulder's, grpc/interceptors.go).
"""

from __future__ import annotations

import time
from contextvars import ContextVar

from servicekit import errors

# Share of the remaining time, and the most in seconds, that is kept for answering.
MARGIN_SHARE = 0.1
MARGIN_SECONDS = 0.25
# Below this nothing useful can be done; a call that arrives with less is refused at once.
LEAST_SECONDS = 0.005

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def enter(time_remaining: float | None) -> None:
    """Sets the deadline of the current context from what the transport says is left, in seconds.

    Raises:
        errors.DeadlineExceeded: Too little is left to start.
    """
    if time_remaining is None:
        _deadline.set(None)
        return
    if time_remaining < LEAST_SECONDS:
        raise errors.DeadlineExceeded("too little time was left to start; give the call a longer deadline")
    margin = min(MARGIN_SECONDS, time_remaining * MARGIN_SHARE)
    _deadline.set(time.monotonic() + time_remaining - margin)


def remaining() -> float | None:
    """Seconds left for the call being served, margin taken off; None where there is no deadline."""
    deadline = _deadline.get()
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def shaved(timeout: float) -> float:
    """The smaller of `timeout` and what is left.

    Raises:
        errors.DeadlineExceeded: Nothing useful is left.
    """
    left = remaining()
    if left is None:
        return timeout
    if left < LEAST_SECONDS:
        raise errors.DeadlineExceeded("the deadline passed before the work was finished")
    return min(timeout, left)
