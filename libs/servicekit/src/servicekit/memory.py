"""How the C library keeps memory for threads that compute."""

from __future__ import annotations

import ctypes
import sys

# mallopt(3); glibc takes no threshold above half of an arena's heap, 32 MiB on 64 bits.
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3
_MIB = 1024 * 1024


def keep_freed(mib: int = 64) -> bool:
    """Lets glibc keep what threads free for what they allocate next, in place of giving it back to the system.

    Each picture needs some MiB for a moment. Given back and asked for again, each page of it costs a fault: a third of
    the CPU time of the perceptual descriptor, which did 44 pictures a second and does 64 since (docs/benchmarks.md).

    Args:
        mib: Most MiB that each arena, of which there is about one per thread, keeps beyond what is in use.

    Returns:
        Whether the C library took it; others than glibc do not know it.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    taken = [mallopt(_M_TOP_PAD, mib * _MIB), mallopt(_M_MMAP_THRESHOLD, min(mib, 32) * _MIB)]
    return all(taken)
