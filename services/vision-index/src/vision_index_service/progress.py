"""What long work tells while it runs: how far it has come, and what it found wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class ProblemKind(Enum):
    """What is wrong with one object or row."""

    OBJECT_WITHOUT_ROW = 1
    ROW_WITHOUT_OBJECT = 2
    WRONG_URL = 3
    OTHER_MODEL = 4
    UNREADABLE = 5
    FAILED = 6


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong; ``row_id`` is empty where there is no row."""

    kind: ProblemKind
    url: str
    row_id: str = ""
    mended: bool = False
    detail: str = ""


@dataclass(frozen=True)
class Progress:
    """How far it has come: pictures finished well, in all, and failed; ``rate`` in pictures per second."""

    done: int
    total: int
    failed: int
    rate: float
    seconds_left: float | None


@dataclass(frozen=True)
class Report:
    """Progress, and the problems found since the last report."""

    progress: Progress
    problems: tuple[Problem, ...] = ()


class Meter:
    """Counts, and says how long it will take at the pace so far."""

    def __init__(self, total: int, done: int = 0, failed: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        """``done`` and ``failed`` are of an earlier run that this one goes on with."""
        self.total, self._done, self._failed = total, done, failed
        self._clock, self._started = clock, clock()
        self._before = done + failed

    @property
    def failed(self) -> int:
        """Pictures that failed."""
        return self._failed

    def add(self, done: int, failed: int = 0) -> None:
        """More pictures are finished."""
        self._done += done
        self._failed += failed

    def report(self, problems: tuple[Problem, ...] = ()) -> Report:
        """What to tell now."""
        finished = self._done + self._failed
        seconds = self._clock() - self._started
        rate = (finished - self._before) / seconds if seconds > 0 else 0.0
        left = max(0, self.total - finished) / rate if rate > 0 else None
        return Report(Progress(self._done, self.total, self._failed, rate, left), problems)
