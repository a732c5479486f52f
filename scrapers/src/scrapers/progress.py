"""The progress bar: how many products, how fast, how many failed."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from scrapers.browse.store import Counts

LINE_EVERY = 15.0  # seconds between two lines where there is no terminal to draw on


class Bar(AbstractContextManager["Bar"]):
    """Draws on a terminal; writes a line now and then elsewhere.

    Args:
        counts: asked after every page.
    """

    def __init__(self, console: Console, title: str, counts: Callable[[], Counts]) -> None:
        self._console = console
        self._counts = counts
        self._started = time.monotonic()
        self._done_before = counts().done
        self._last_line = self._started
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.1f}/min"),
            TextColumn("{task.fields[failed]} failed"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(title, total=None, rate=0.0, failed=0)

    def __enter__(self) -> Self:
        self._progress.start()
        self.update()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.update()
        self._progress.stop()

    def update(self) -> None:
        """Shows how things stand."""
        counts = self._counts()
        now = time.monotonic()
        rate = 60 * (counts.done - self._done_before) / max(now - self._started, 0.001)
        completed = counts.done + counts.failed
        self._progress.update(
            self._task, completed=completed, total=counts.total or None, rate=rate, failed=counts.failed
        )
        if not self._console.is_terminal and now - self._last_line >= LINE_EVERY:
            self._last_line = now
            self._console.print(
                f"{completed} of {counts.total} products, {rate:.1f} a minute, {counts.failed} failed", highlight=False
            )
