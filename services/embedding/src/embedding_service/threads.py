"""Which thread runs when several want to."""

from __future__ import annotations

import os
import sys
import threading

# The scale ends at 19; at 10 a thread gets a tenth of what one of rank 0 gets beside it.
BULK_NICENESS = 10


def yield_to_others() -> None:
    """Gives the calling thread the least claim to a CPU that others want; all of it where they do not.

    With two pictures of bulk being described on two CPUs at all times, the descriptor of a third, a person's, took
    59 ms (p99 92) beside threads of equal rank and 28 ms (p99 49) beside such; 18 ms alone.
    """
    # Linux alone has priorities of threads; elsewhere the call would mean the process.
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BULK_NICENESS)


def let_the_loop_in() -> None:
    """Makes threads hand the interpreter over after 1 ms instead of 5.

    The descriptor's threads compute in Python; behind two of them the event loop waits for its turn at each step of
    each call, and a refusal that should take a moment took seconds.
    """
    sys.setswitchinterval(0.001)
