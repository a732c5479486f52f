"""What waits for the device: items, lanes, and the order in which they are taken."""

from __future__ import annotations

import asyncio
import enum
import time
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from servicekit import errors

Vector = NDArray[np.float32]
# A vector, or why there is none.
Outcome = Vector | errors.ServiceError


class Lane(enum.Enum):
    """Which queue an item waits in."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


class Kind(enum.Enum):
    """What an item is; a batch holds one kind."""

    IMAGE = "image"
    TEXT = "text"


@dataclass(frozen=True)
class Limits:
    """Bounds of the batcher.

    Attributes:
        max_images: Items queued and in work.
        max_bytes: Encoded bytes queued and in work.
        preprocess_threads: Items of a lane prepared at once.
        wait_seconds: Longest wait for a fuller batch while the device idles; 0 never waits.
        batch_seconds: Length of a pass aimed at while people are near: none waits longer for the device.
        quiet_batch_seconds: The same while no interactive item came for a minute. Longer passes do more of bulk; who
            comes first after that waits for one of them.
        bulk_share: Every so many turns one goes to bulk while interactive items wait.
        bulk_room: Share of the room that bulk may fill.
        failures: Passes that fail in a row before the device is given up.
    """

    max_images: int = 2048
    max_bytes: int = 512 * 2**20
    preprocess_threads: int = 2
    wait_seconds: float = 0.0
    batch_seconds: float = 0.25
    quiet_batch_seconds: float = 0.6
    bulk_share: int = 8
    bulk_room: float = 0.75
    failures: int = 8


_LABELS = {lane: {"lane": lane.value} for lane in Lane}


class Item:
    """One picture or text on its way.

    Attributes:
        payload: The encoded file or text, then what the engine made of it, then nothing.
        deadline: `time.monotonic()` after which the outcome is of no use.
        result: Ends with the outcome, or cancelled by a caller that left.
        size: Bytes that it holds of the admission.
        since: When it began to wait where it is.
        waited: Seconds spent waiting before.
    """

    __slots__ = ("deadline", "kind", "labels", "lane", "payload", "result", "since", "size", "waited")

    def __init__(
        self, payload: Any, kind: Kind, lane: Lane, deadline: float | None, result: asyncio.Future[Outcome]
    ) -> None:
        self.payload = payload
        self.kind = kind
        self.lane = lane
        self.labels = _LABELS[lane]
        self.deadline = deadline
        self.result = result
        self.size = len(payload)
        self.since = time.monotonic()
        self.waited = 0.0

    def end(self, outcome: Outcome) -> None:
        """Gives the outcome, unless the caller has left."""
        if not self.result.done():
            self.result.set_result(outcome)


class Turns:
    """Two queues taken from in turns: interactive first, bulk at least every `bulk_share`-th time."""

    def __init__(self, bulk_share: int) -> None:
        self._queues: dict[Lane, deque[Item]] = {lane: deque() for lane in Lane}
        self._bulk_share = bulk_share
        self._streak = 0

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def waiting(self, lane: Lane) -> int:
        """Items of a lane."""
        return len(self._queues[lane])

    def put(self, item: Item) -> None:
        """Adds an item behind those of its lane."""
        self._queues[item.lane].append(item)

    def take(self, lanes: Collection[Lane] = tuple(Lane), *, kind: Kind | None = None) -> Item | None:
        """The next item of these lanes; None when there is none, or when it is not of this kind."""
        candidates = [lane for lane in Lane if lane in lanes and self._queues[lane]]
        if not candidates:
            return None
        # Counted also while bulk may not be taken: it then gets the next turn that is free to all.
        contested = all(self._queues.values())
        lane = candidates[0]
        if contested and Lane.BULK in candidates and self._streak >= self._bulk_share - 1:
            lane = Lane.BULK
        queue = self._queues[lane]
        if kind is not None and queue[0].kind is not kind:
            return None
        self._streak = self._streak + 1 if contested and lane is Lane.INTERACTIVE else 0
        return queue.popleft()

    def forget_ended(self) -> None:
        """Drops items whose callers have left."""
        for lane, queue in self._queues.items():
            self._queues[lane] = deque(item for item in queue if not item.result.done())

    def drain(self) -> list[Item]:
        """Takes everything."""
        items = [item for queue in self._queues.values() for item in queue]
        for queue in self._queues.values():
            queue.clear()
        return items


class Pace:
    """What one item costs while there is work: time between completions, exponentially weighted.

    Measured where results come out, so it holds whatever the bottleneck is: the device, decoding, or
    other processes on the same cores.
    """

    def __init__(self) -> None:
        self._average = Average(weight=0.1)
        self._since = 0.0

    @property
    def seconds_per_item(self) -> float | None:
        """None until something was finished."""
        return self._average.value

    def work_begins(self) -> None:
        """The first item came in after idleness."""
        self._since = time.monotonic()

    def doubt(self) -> None:
        """Something was refused though nothing is in work: half the estimate from now on."""
        if self._average.value is not None:
            self._average.value /= 2

    def finished(self, count: int) -> None:
        """So many items came out."""
        now = time.monotonic()
        # Each item of a pass counts once, so that large passes weigh as much as they carry.
        for _ in range(min(count, 32)):
            self._average.add((now - self._since) / count)
        self._since = now


class Average:
    """Exponentially weighted mean of durations in seconds; None until measured."""

    def __init__(self, weight: float = 0.2) -> None:
        self._weight = weight
        self.value: float | None = None

    def add(self, seconds: float) -> None:
        """Takes one measurement in."""
        self.value = seconds if self.value is None else self.value + self._weight * (seconds - self.value)
