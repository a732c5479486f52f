"""Decoding with a bound on memory: many small pictures at once, few large ones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from PIL import Image

from servicekit import images

# A picture of the largest size allowed takes up to half a gigabyte while its alpha is laid on white. As many of
# those as there are threads would end a container, and such a file may have a few kilobytes.
LARGE_PIXELS = 16_000_000
_LARGE_AT_ONCE = 2
_places = threading.BoundedSemaphore(_LARGE_AT_ONCE)


@contextmanager
def large() -> Iterator[None]:
    """A place among the large pictures that are decoded at once; waits for one."""
    with _places:
        yield


_guard: Callable[[], AbstractContextManager[None]] = large


def guard_large(guard: Callable[[], AbstractContextManager[None]]) -> None:
    """Has `guard` give out the places in place of `large`: where several processes share them."""
    global _guard
    _guard = guard


@contextmanager
def decoded(data: bytes, min_side: int) -> Iterator[tuple[images.ImageInfo, Image.Image]]:
    """The header and the upright RGB picture, to be reduced before the block ends.

    Args:
        data: The encoded file.
        min_side: A JPEG is decoded at a reduced scale while no side falls below this, in pixels.

    Raises:
        errors.InvalidArgument: The file cannot be read or breaks a limit.
    """
    header = images.inspect(data)
    if header.width * header.height <= LARGE_PIXELS:
        yield header, images.decode_rgb(data, min_side=min_side)
        return
    with _guard():
        yield header, images.decode_rgb(data, min_side=min_side)
