"""A photographed sheet made flat and evenly lit, so that it can be read as a scan."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
# A sheet fills at least this share of a photo, and leaves at least this much around it.
_LEAST_SHARE, _MOST_SHARE = 0.25, 0.96
# Brightness over the paper's own: below is ink, above is paper. Light coloured stamps end up as paper, and black text
# below them stays (`samples/bills/bill5_stamp.png`: stamp 0.76, text under it 0.38).
_BLACK, _WHITE = 0.10, 0.72


def flat(page: Pixels) -> Pixels:
    """The sheet without its surroundings and perspective; the page itself where it fills the frame.

    Args:
        page: RGB, shape (height, width, 3).
    """
    corners = _corners(page)
    if corners is None:
        return page
    top, right, bottom, left = (
        float(np.linalg.norm(corners[a] - corners[b])) for a, b in ((0, 1), (1, 2), (2, 3), (3, 0))
    )
    width, height = round(max(top, bottom)), round(max(left, right))
    target = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    matrix = cv2.getPerspectiveTransform(corners, target)
    return np.asarray(cv2.warpPerspective(page, matrix, (width, height), flags=cv2.INTER_CUBIC), np.uint8)


def evenly_lit(page: Pixels) -> Pixels:
    """Grey page on white, shape (height, width): shadows divided away, light colours gone."""
    # The brightest channel: coloured ink gets lighter, black stays black.
    value = page.max(axis=2)
    side = max(31, max(value.shape) // 20) | 1
    small = cv2.resize(value, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    ground = cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((side // 4 | 1, side // 4 | 1), np.uint8))
    ground = cv2.GaussianBlur(ground, (0, 0), side / 8)
    ground = cv2.resize(ground, (value.shape[1], value.shape[0]), interpolation=cv2.INTER_LINEAR)
    share = value.astype(np.float32) / np.maximum(ground, 1)
    return np.asarray(np.clip((share - _BLACK) / (_WHITE - _BLACK), 0, 1) * 255, np.uint8)


def _corners(page: Pixels) -> NDArray[np.float32] | None:
    """Corners of a bright or colourless sheet on another ground, clockwise from the top left; None without one."""
    scale = 500 / max(page.shape[:2])
    small = cv2.resize(page, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    # A shadow takes brightness and leaves the lack of colour; on a grey table only brightness tells the sheet.
    colourless = 255 - cv2.cvtColor(small, cv2.COLOR_RGB2HSV)[:, :, 1]
    found = [
        quad for kind in (colourless, small.min(axis=2)) if (quad := _quad(np.asarray(kind, np.uint8))) is not None
    ]
    # The quad that its mask follows most closely.
    best = min(found, key=lambda item: item[0], default=None)
    return None if best is None else _clockwise(best[1] / np.float32(scale))


def _quad(bright: Pixels) -> tuple[float, NDArray[np.float32]] | None:
    """How far the largest bright region is from a quad, as share of its outline, and the quad."""
    _, mask = cv2.threshold(cv2.GaussianBlur(bright, (0, 0), 3), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((25, 25), np.uint8))
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return None
    hull = cv2.convexHull(max(contours, key=cv2.contourArea))
    if not _LEAST_SHARE < cv2.contourArea(hull) / mask.size < _MOST_SHARE:
        return None
    length = cv2.arcLength(hull, True)
    for part in (0.01, 0.02, 0.03):
        quad = cv2.approxPolyDP(hull, part * length, True).reshape(-1, 2).astype(np.float32)
        if len(quad) == 4:
            return part, quad
    return None


def _clockwise(quad: NDArray[np.float32]) -> NDArray[np.float32]:
    total, difference = quad.sum(axis=1), np.diff(quad, axis=1).ravel()
    order = [total.argmin(), difference.argmin(), total.argmax(), difference.argmax()]
    return np.ascontiguousarray(quad[order], np.float32)
