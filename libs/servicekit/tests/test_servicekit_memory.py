"""Memory that threads free is kept for what they allocate next."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

_SCRIPT = """
import resource, sys, threading
from servicekit.memory import keep_freed

def work():
    for _ in range(200):
        bytearray(3 * 2**20)

if sys.argv[1] == "kept":
    assert keep_freed()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    # Each large block is mapped anew, as glibc does until it has learned better.
    variables = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}
    command = [sys.executable, "-c", _SCRIPT, how]
    return int(subprocess.run(command, env=variables, capture_output=True, text=True, check=True, timeout=60).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_thread_gets_back_what_it_freed() -> None:
    assert faults("kept") * 10 < faults("given back")
