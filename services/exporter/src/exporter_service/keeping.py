"""Keeps what is used often, within a bound."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """The values used last, up to a number of bytes. Safe to use from several threads.

    A value that two threads miss at once is made twice; the second takes the first one's place.
    """

    def __init__(self, max_bytes: int, weigh: Callable[[V], int]) -> None:
        """`weigh` estimates the bytes of a value."""
        self._max_bytes = max_bytes
        self._weigh = weigh
        self._values: OrderedDict[K, V] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def find(self, key: K) -> V | None:
        """The value of a key, if it is kept."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value of a key, made where it is missing."""
        value = self.find(key)
        if value is None:
            value = make()
            self.put(key, value)
        return value

    def put(self, key: K, value: V) -> None:
        """Keeps a value, and lets go of those that were not used for longest."""
        with self._lock:
            old = self._values.pop(key, None)
            if old is not None:
                self._bytes -= self._weigh(old)
            self._values[key] = value
            self._bytes += self._weigh(value)
            while self._bytes > self._max_bytes and len(self._values) > 1:
                _, gone = self._values.popitem(last=False)
                self._bytes -= self._weigh(gone)

    def __len__(self) -> int:
        with self._lock:
            return len(self._values)
