"""Who is let into the queue: bounded in items and bytes, with the time to wait for those who are not."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass

from embedding_service import metrics
from embedding_service.queues import Lane, Limits, Pace
from servicekit import errors

# A request too large for its own deadline is refused only when the estimate says so by this margin: nobody
# else is hurt by the attempt.
_ALONE = 0.7
# A queue counts double: under overload an item that is let in too late is worked on and thrown away, and takes the
# place of one that could be served. With a queue as long as the deadline goodput at three times capacity fell to a
# third of the peak; estimates are off by a fifth all the time.
_BEHIND = 2.0
_LEAST_RETRY_SECONDS = 0.1


@dataclass(frozen=True)
class _Waiter:
    count: int
    size: int
    lane: Lane
    admitted: asyncio.Future[None]


class Admission:
    """Counts what is queued and in work.

    Bulk may fill only part of the room, so that a person is let in while an import runs. A request that
    is larger than the whole room is taken when there is nothing else.

    Args:
        limits: Bounds.
        pace: Mean cost of one more image.
    """

    def __init__(self, limits: Limits, pace: Pace) -> None:
        self._limits = limits
        self._pace = pace
        self._count = dict.fromkeys(Lane, 0)
        self._size = dict.fromkeys(Lane, 0)
        self._waiters: deque[_Waiter] = deque()

    @property
    def count(self) -> int:
        """Items that are in."""
        return sum(self._count.values())

    def glance(self, deadline: float | None) -> None:
        """Refuses, before a request is read, what `enter` would refuse whatever it holds.

        Raises:
            errors.ResourceExhausted: Not even one interactive picture could come in.
            errors.DeadlineExceeded: It could not be done by the deadline.
        """
        # An empty queue refuses nobody here, as `enter` has more to find out then.
        if not self.count:
            return
        self._check_deadline(1, Lane.INTERACTIVE, deadline, shown="unread")
        if not self._fits(1, 1, Lane.INTERACTIVE):
            raise self._full(1, Lane.INTERACTIVE, shown="unread")

    async def enter(self, count: int, size: int, lane: Lane, deadline: float | None, *, wait: bool) -> None:
        """Takes `count` items of `size` bytes in; `leave` gives the room back.

        Raises:
            errors.ResourceExhausted: No room, and `wait` is False.
            errors.DeadlineExceeded: They cannot be done by the deadline.
            errors.Unavailable: Closed while waiting.
        """
        self._check_deadline(count, lane, deadline, shown=lane.value)
        if self._fits(count, size, lane) and not (wait and self._waiters):
            self._take(count, size, lane)
            return
        if not wait:
            raise self._full(count, lane, shown=lane.value)
        waiter = _Waiter(count, size, lane, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        try:
            await waiter.admitted
        except asyncio.CancelledError:
            # Admitted and cancelled in the same turn of the loop: the room was taken already.
            if waiter.admitted.done() and not waiter.admitted.cancelled() and waiter.admitted.exception() is None:
                self.leave(count, size, lane)
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            raise

    def leave(self, count: int, size: int, lane: Lane) -> None:
        """Gives room back, and lets waiters in, first come first served."""
        self._add(-count, -size, lane)
        while self._waiters:
            waiter = self._waiters[0]
            if not waiter.admitted.done():
                if not self._fits(waiter.count, waiter.size, waiter.lane):
                    return
                self._take(waiter.count, waiter.size, waiter.lane)
                waiter.admitted.set_result(None)
            self._waiters.popleft()

    def close(self) -> None:
        """Turns everybody away who still waits."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.admitted.done():
                waiter.admitted.set_exception(
                    errors.Unavailable("the service is stopping", reason="STOPPING", retry_after=1.0)
                )

    def _fits(self, count: int, size: int, lane: Lane) -> bool:
        share = 1.0 if lane is Lane.INTERACTIVE else self._limits.bulk_room
        counted, sized = self.count, sum(self._size.values())
        if not counted:
            return True
        return counted + count <= self._limits.max_images * share and sized + size <= self._limits.max_bytes * share

    def _take(self, count: int, size: int, lane: Lane) -> None:
        if not self.count:
            self._pace.work_begins()
        self._add(count, size, lane)

    def _add(self, count: int, size: int, lane: Lane) -> None:
        self._count[lane] += count
        self._size[lane] += size
        labels = {"lane": lane.value}
        metrics.outstanding_images.add(count, labels)
        metrics.outstanding_bytes.add(size, labels)

    def _full(self, count: int, lane: Lane, *, shown: str) -> errors.ResourceExhausted:
        metrics.refused.add(count, {"lane": shown, "reason": "full"})
        return errors.ResourceExhausted(
            f"{self.count} pictures are queued; come back when told",
            reason="QUEUE_FULL",
            retry_after=self._room_after(count, lane),
        )

    def _check_deadline(self, count: int, lane: Lane, deadline: float | None, *, shown: str) -> None:
        """Refuses what would only be thrown away later; `shown` is the lane in the metrics."""
        each = self._pace.seconds_per_item
        if deadline is None or each is None:
            return
        left = deadline - time.monotonic()
        ahead = self._count[Lane.INTERACTIVE] if lane is Lane.INTERACTIVE else self.count
        if (ahead * _BEHIND + count * (1.0 if ahead else _ALONE)) * each <= left:
            return
        if not self.count:
            # An estimate gone wrong is mended by passes alone: one picture is tried, more are soon.
            self._pace.doubt()
            if count == 1:
                return
        metrics.refused.add(count, {"lane": shown, "reason": "deadline"})
        if count * each * _ALONE > left:
            raise errors.DeadlineExceeded(
                f"{count} pictures take about {count * each:.1f} s; send fewer at once or give the call more time",
                reason="DEADLINE_TOO_SHORT",
            )
        raise errors.ResourceExhausted(
            f"{ahead} pictures are ahead, about {ahead * each:.1f} s of work; come back when told",
            reason="QUEUE_TOO_LONG",
            retry_after=max(_LEAST_RETRY_SECONDS, (ahead * _BEHIND + count) * each - left),
        )

    def _room_after(self, count: int, lane: Lane) -> float:
        """Seconds until `count` items fit, as far as is known."""
        share = 1.0 if lane is Lane.INTERACTIVE else self._limits.bulk_room
        queued = self.count
        excess = max(queued + count - self._limits.max_images * share, queued / 8)
        return max(_LEAST_RETRY_SECONDS, excess * (self._pace.seconds_per_item or 0.0))
