"""Dynamic batching: batches form while the device is busy.

One task owns the queues. It hands waiting items to bounded pools that prepare them, one per lane, and prepared
items to the device, one batch at a time; it runs when something arrives or finishes and never polls.
While the device works on one batch the next one is prepared, so a batch is as large as the load makes
it: one image alone is never held back, and under load every pass is full (the idea is
text-embeddings-inference's, core/src/queue.rs).

Every item ends exactly once: with a vector, with its own error, or dropped because its caller left.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from embedding_service import metrics
from embedding_service.admission import Admission
from embedding_service.device import Device
from embedding_service.engine import Engine
from embedding_service.queues import Average, Item, Kind, Lane, Limits, Outcome, Pace, Turns
from embedding_service.threads import yield_to_others
from servicekit import errors

logger = logging.getLogger(__name__)

# Seconds after the last interactive item in which the next is thought near.
_NEAR = 60.0
# Items handed to a lane's threads beyond those that they work on: a thread that is done need not wait for the loop.
_NEXT = 1


class Batcher:
    """Takes items, gives futures. Everything but the pools' work happens on the event loop's thread.

    Args:
        engine: What prepares and computes.
        limits: Bounds.
        on_fatal: Called once when the device has failed too often in a row to be trusted.
        prepare: What prepares the pictures of each lane, where it is not the engine's own function on these threads.
    """

    def __init__(
        self,
        engine: Engine,
        limits: Limits,
        on_fatal: Callable[[], None] | None = None,
        prepare: Mapping[Lane, Callable[[bytes], Any]] | None = None,
    ) -> None:
        self._engine = engine
        self._prepare = prepare or {}
        self._limits = limits
        self._waiting = Turns(limits.bulk_share)
        self._ready = Turns(limits.bulk_share)
        self._preparing = dict.fromkeys(Lane, 0)
        self._per_item = Average()
        self._per_pass = Average()
        self._per_preparation = Average()
        self._pace = Pace()
        self._admission = Admission(limits, self._pace)
        self._device = Device(engine, limits.failures, on_fatal)
        self._busy = False
        self._idle_since: float | None = None
        self._last_interactive = -math.inf
        self._stale = False
        self._closing = False
        self._wake = asyncio.Event()
        # Each lane has its own threads, so that a person's picture never waits for one of bulk's to be done; bulk's
        # yield to everything else in the process: the loop, the device, and people's pictures.
        self._pools = {
            Lane.INTERACTIVE: ThreadPoolExecutor(limits.preprocess_threads, thread_name_prefix="preprocess"),
            Lane.BULK: ThreadPoolExecutor(
                limits.preprocess_threads, thread_name_prefix="preprocess-bulk", initializer=yield_to_others
            ),
        }
        self._owner: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts the owner on the running loop."""
        metrics.show_zeros()
        self._owner = asyncio.create_task(self._own(), name="batcher")

    async def close(self) -> None:
        """Stops; whoever still waits is told so."""
        self._closing = True
        self._admission.close()
        if self._owner is not None:
            self._owner.cancel()
            await asyncio.gather(self._owner, return_exceptions=True)
        self._fail_queued(errors.Unavailable("the service is stopping", reason="STOPPING", retry_after=1.0))
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
        self._device.close()

    @property
    def outstanding(self) -> int:
        """Items queued and in work."""
        return self._admission.count

    def glance(self, deadline: float | None) -> None:
        """See `Admission.glance`."""
        self._admission.glance(deadline)

    async def submit(
        self,
        payloads: Sequence[Any],
        *,
        kind: Kind = Kind.IMAGE,
        lane: Lane = Lane.INTERACTIVE,
        deadline: float | None = None,
        wait: bool = False,
    ) -> list[asyncio.Future[Outcome]]:
        """Queues items, all or none; the futures end with an outcome and never raise.

        A caller that leaves cancels the futures; what has not been started then never is.

        Args:
            payloads: Encoded files or texts.
            kind: What the payloads are.
            lane: Queue to wait in.
            deadline: `time.monotonic()` by which the outcome is of use.
            wait: Wait for room instead of being refused.

        Raises:
            errors.ResourceExhausted: The queue is full; says when to come back.
            errors.DeadlineExceeded: The work cannot be done by the deadline.
            errors.Unavailable: The service is stopping.
        """
        if self._closing:
            raise errors.Unavailable("the service is stopping", reason="STOPPING", retry_after=1.0)
        await self._admission.enter(len(payloads), sum(map(len, payloads)), lane, deadline, wait=wait)
        if lane is Lane.INTERACTIVE:
            self._last_interactive = time.monotonic()
        loop = asyncio.get_running_loop()
        futures = []
        for payload in payloads:
            item = Item(payload, kind, lane, deadline, loop.create_future())
            item.result.add_done_callback(partial(self._ended, item))
            self._waiting.put(item)
            futures.append(item.result)
        self._wake.set()
        return futures

    async def embed(self, payloads: Sequence[Any], **options: Any) -> list[Outcome]:
        """`submit`, and the outcomes in order; leaving early drops what was not started."""
        return list(await asyncio.gather(*await self.submit(payloads, **options)))

    # ---- the owner

    async def _own(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                self._drop_stale()
                self._feed_pool()
                self._feed_device()
            except Exception:
                # Whatever is wrong with one round, nobody waits for ever and the next round is clean.
                logger.exception("the batcher stumbled")
                self._fail_queued(errors.Internal("the batcher failed; send the request again"))

    def _feed_pool(self) -> None:
        ahead = 2 * self._engine.max_batch
        while True:
            lanes = [
                lane
                for lane, preparing in self._preparing.items()
                if preparing < self._limits.preprocess_threads + _NEXT and preparing + self._ready.waiting(lane) < ahead
            ]
            item = self._waiting.take(lanes)
            if item is None:
                return
            if self._hopeless(item, (self._per_preparation.value or 0.0) + (self._per_pass.value or 0.0)):
                continue
            self._preparing[item.lane] += 1
            work: Callable[[Any], Any] = self._engine.tokenize
            if item.kind is Kind.IMAGE:
                work = self._prepare.get(item.lane) or self._engine.preprocess
            future = asyncio.get_running_loop().run_in_executor(self._pools[item.lane], _timed, work, item)
            future.add_done_callback(partial(self._prepared, item))

    def _prepared(self, item: Item, future: asyncio.Future[tuple[Any, float, float]]) -> None:
        self._preparing[item.lane] -= 1
        self._wake.set()
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or self._closing:
            # One that was in work when the queues were emptied would wait there for an owner that has gone.
            error = errors.Unavailable("the service is stopping", reason="STOPPING", retry_after=1.0)
        if error is not None:
            if not isinstance(error, errors.ServiceError):
                logger.error("an item could not be prepared", exc_info=error)
                error = errors.Internal("this item could not be prepared; the log says why", reason="PREPROCESS_FAILED")
            item.end(error)
            return
        prepared, started, seconds = future.result()
        if seconds:
            metrics.preprocess.record(seconds, item.labels)
            self._per_preparation.add(seconds)
        if item.result.done():
            return
        item.waited += started - item.since
        item.payload = prepared
        item.since = time.monotonic()
        self._ready.put(item)

    def _feed_device(self) -> None:
        if self._busy or not len(self._ready) or self._worth_waiting():
            return
        batch = self._form_batch()
        if not batch:
            return
        self._busy = True
        self._idle_since = None
        future = asyncio.get_running_loop().run_in_executor(
            self._device.executor, self._device.run, batch[0].kind, [item.payload for item in batch]
        )
        future.add_done_callback(partial(self._inferred, batch))

    def _form_batch(self) -> list[Item]:
        batch: list[Item] = []
        size = self._batch_size()
        # A pass that a person waits for is filled up with bulk only while it stays short.
        short = self._batch_size(0.5)
        now = time.monotonic()
        while len(batch) < size:
            people = len(batch) >= short and any(item.lane is Lane.INTERACTIVE for item in batch)
            lanes = (Lane.INTERACTIVE,) if people else tuple(Lane)
            item = self._ready.take(lanes, kind=batch[0].kind if batch else None)
            if item is None:
                break
            if self._hopeless(item, self._per_pass.value or 0.0):
                continue
            item.waited += now - item.since
            metrics.queue_wait.record(item.waited, item.labels)
            batch.append(item)
        return batch

    def _batch_size(self, share: float = 1.0) -> int:
        """As many as make a pass of the length aimed at, or of this share of it.

        The nearest number, not the next lower: one picture alone takes longer than its part of a pass of two, so that
        a batch that fell to one would never grow again.
        """
        if not self._per_item.value:
            return self._engine.max_batch
        seconds = self._limits.batch_seconds
        if time.monotonic() - self._last_interactive > _NEAR:
            seconds = max(seconds, self._limits.quiet_batch_seconds)
        return max(1, min(self._engine.max_batch, round(seconds * share / self._per_item.value)))

    def _worth_waiting(self) -> bool:
        """Whether the idle device should wait a little for more, as configured."""
        coming = sum(self._preparing.values()) + len(self._waiting)
        if not self._limits.wait_seconds or not coming or len(self._ready) >= self._batch_size():
            return False
        now = time.monotonic()
        if self._idle_since is None:
            self._idle_since = now
            asyncio.get_running_loop().call_later(self._limits.wait_seconds, self._wake.set)
        return now - self._idle_since < self._limits.wait_seconds

    def _inferred(self, batch: list[Item], future: asyncio.Future[tuple[list[Outcome], float]]) -> None:
        self._busy = False
        self._wake.set()
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or error is not None:
            if error is not None:
                logger.error("the device's thread failed", exc_info=error)
            for item in batch:
                item.end(errors.Unavailable("the service is stopping", reason="STOPPING", retry_after=1.0))
            return
        outcomes, seconds = future.result()
        labels = {"lane": "interactive" if any(item.lane is Lane.INTERACTIVE for item in batch) else "bulk"}
        metrics.infer.record(seconds, labels)
        metrics.batch_size.record(len(batch), labels)
        if batch[0].kind is Kind.IMAGE:
            self._per_pass.add(seconds)
            self._per_item.add(seconds / len(batch))
            self._pace.finished(len(batch))
        for item, outcome in zip(batch, outcomes, strict=True):
            item.end(outcome)

    # ---- ends

    def _hopeless(self, item: Item, seconds: float) -> bool:
        """Ends an item whose caller left, or whose deadline comes before the work ahead of it is done.

        Args:
            item: What is about to be worked on.
            seconds: The work, as far as is known. Where nothing else is in work it is tried all the same: an estimate
                gone wrong is mended by the next pass, and only by that.
        """
        if item.result.done():
            return True
        if item.deadline is None:
            return False
        left = item.deadline - time.monotonic()
        idle = not self._busy and not any(self._preparing.values())
        if left > 0 and (left >= seconds or idle):
            return False
        item.end(errors.DeadlineExceeded("the deadline passed while waiting in the queue", reason="QUEUED_TOO_LONG"))
        return True

    def _ended(self, item: Item, future: asyncio.Future[Outcome]) -> None:
        if future.cancelled():
            outcome = "gone"
            self._stale = True
        else:
            outcome = "error" if isinstance(future.result(), errors.ServiceError) else "ok"
        metrics.images.add(1, {"kind": item.kind.value, "lane": item.lane.value, "outcome": outcome})
        item.payload = None
        self._admission.leave(1, item.size, item.lane)
        self._wake.set()

    def _drop_stale(self) -> None:
        """Forgets those who left, so that the queues hold no more than was admitted."""
        if self._stale:
            self._stale = False
            self._waiting.forget_ended()
            self._ready.forget_ended()

    def _fail_queued(self, error: errors.ServiceError) -> None:
        for item in (*self._waiting.drain(), *self._ready.drain()):
            item.end(error)


def _timed(work: Callable[[Any], Any], item: Item) -> tuple[Any, float, float]:
    """What the item became, when that began, and the seconds that it took: none for a caller that has left."""
    started = time.monotonic()
    # Read before the question: the payload goes when the caller does.
    payload = item.payload
    if item.result.done():
        return None, started, 0.0
    return work(payload), started, time.monotonic() - started
