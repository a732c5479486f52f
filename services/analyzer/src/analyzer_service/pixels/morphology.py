"""Growing and shrinking masks by whole pixels.

The same as scipy's binary morphology with its default cross of five pixels and nothing beyond the frame, several times
as fast: whole rows and columns are combined at once (services/analyzer/tests/test_analyzer_pixels.py compares them).
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

from analyzer_service.pixels.colour import Mask


def dilated(mask: Mask, times: int = 1) -> Mask:
    """Adds the pixels above, below, left and right, `times` over."""
    for _ in range(times):
        grown = mask.copy()
        grown[1:] |= mask[:-1]
        grown[:-1] |= mask[1:]
        grown[:, 1:] |= mask[:, :-1]
        grown[:, :-1] |= mask[:, 1:]
        mask = grown
    return mask


def eroded(mask: Mask, times: int = 1) -> Mask:
    """Leaves the pixels whose four neighbours are in the mask, `times` over; those at the frame are not."""
    for _ in range(times):
        left = mask.copy()
        left[1:] &= mask[:-1]
        left[:-1] &= mask[1:]
        left[:, 1:] &= mask[:, :-1]
        left[:, :-1] &= mask[:, 1:]
        left[0] = left[-1] = False
        left[:, 0] = left[:, -1] = False
        mask = left
    return mask


def opened(mask: Mask, times: int = 1) -> Mask:
    """Without what is thinner than twice `times`."""
    return dilated(eroded(mask, times), times)


def closed(mask: Mask, times: int = 1) -> Mask:
    """With gaps filled that are narrower than twice `times`."""
    return eroded(dilated(mask, times), times)


def filled(mask: Mask) -> Mask:
    """With its holes: everything that is not joined to the frame from outside."""
    labels, count = ndimage.label(~mask)
    outside = np.zeros(count + 1, dtype=bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        outside[edge] = True
    outside[0] = False
    return np.asarray(~outside[labels])
