"""The device: one thread, one pass at a time, one retry in halves."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from embedding_service import metrics
from embedding_service.engine import Engine
from embedding_service.queues import Kind, Outcome
from servicekit import errors

logger = logging.getLogger(__name__)


class Device:
    """Runs batches; a pass that fails is tried once more in halves, then fails alone.

    Halves, because the likeliest causes are a batch too large for the memory left and one input that
    trips a kernel: both spare at least one half.

    Args:
        engine: What computes.
        failures: Passes that fail for good, in a row, before the device is given up.
        on_fatal: Called once, on the device's thread, when it is.
    """

    def __init__(self, engine: Engine, failures: int, on_fatal: Callable[[], None] | None) -> None:
        self._engine = engine
        self._failures = failures
        self._on_fatal = on_fatal
        self._failed_in_row = 0
        self.executor = ThreadPoolExecutor(1, thread_name_prefix="device")

    def run(self, kind: Kind, batch: Sequence[Any]) -> tuple[list[Outcome], float]:
        """Outcomes in order, and the seconds that the pass took; raises nothing of the engine's."""
        started = time.monotonic()
        outcomes = self._run(kind, batch)
        failed = all(isinstance(outcome, errors.Unavailable) for outcome in outcomes)
        self._failed_in_row = self._failed_in_row + 1 if failed else 0
        if self._failed_in_row == self._failures and self._on_fatal is not None:
            logger.critical("the device failed %d times in a row; giving up", self._failures)
            self._on_fatal()
        return outcomes, time.monotonic() - started

    def close(self) -> None:
        """Ends the thread after the pass in work."""
        self.executor.shutdown(wait=False, cancel_futures=True)

    def _run(self, kind: Kind, batch: Sequence[Any]) -> list[Outcome]:
        try:
            return self._infer(kind, batch)
        except Exception as error:
            metrics.device_failures.add(1, {"attempt": "first"})
            logger.warning(
                "a pass of %d failed, trying it in halves: %s", len(batch), type(error).__name__, exc_info=error
            )
        middle = (len(batch) + 1) // 2
        outcomes: list[Outcome] = []
        for half in (batch[:middle], batch[middle:]):
            try:
                outcomes += self._infer(kind, half) if half else []
            except Exception as error:
                metrics.device_failures.add(1, {"attempt": "retry"})
                logger.error("a pass of %d failed again: %s", len(half), type(error).__name__, exc_info=error)
                failure = errors.Unavailable(
                    "the device failed twice on this picture; try again", reason="DEVICE_FAILED", retry_after=1.0
                )
                outcomes += [failure] * len(half)
        return outcomes

    def _infer(self, kind: Kind, batch: Sequence[Any]) -> list[Outcome]:
        infer = self._engine.infer if kind is Kind.IMAGE else self._engine.infer_texts
        vectors = infer(batch)
        if vectors.shape != (len(batch), self._engine.card.dimension):
            raise RuntimeError(f"the engine answered {vectors.shape} for {len(batch)} items")
        return [
            # A copy: a row of the batch would keep the whole batch alive.
            vector.copy()
            if np.isfinite(vector).all()
            else errors.Internal("the model gave no finite vector for this picture", reason="EMBEDDING_NOT_FINITE")
            for vector in vectors
        ]
