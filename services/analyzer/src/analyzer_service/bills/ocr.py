"""Text of a page by RapidOCR, with the confidence of every character and the spaces that its model loses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from rapidocr_onnxruntime import RapidOCR

Pixels = NDArray[np.uint8]
_NUMBER_CHARACTERS = "0123456789.,-/%"
_BATCH = 8
# Empty columns wider than this share of the line's height part two words.
_GAP = 0.2
# A 1 is narrow: between two digits a space is wider.
_GAP_OF_DIGITS = 0.35


@dataclass(frozen=True)
class Token:
    """A piece of text on a page; coordinates in pixels of the straightened page.

    Attributes:
        confidence: of its least certain character, between 0 and 1.
        digits: the same crop read as a number: text and confidence. Characters that are no part of numbers are not
            considered; a confidence is not raised by that.
    """

    text: str
    confidence: float
    digits: tuple[str, float]
    left: float
    top: float
    right: float
    bottom: float

    @property
    def middle(self) -> float:
        """Height of its centre line."""
        return (self.top + self.bottom) / 2

    @property
    def centre(self) -> float:
        """Its centre from the left."""
        return (self.left + self.right) / 2

    @property
    def height(self) -> float:
        """Pixels from top to bottom."""
        return self.bottom - self.top


class Reader:
    """The recogniser; loads its models, which come inside its package, when made. One page at a time.

    Args:
        threads: Cores that it may use.
    """

    def __init__(self, threads: int = 2) -> None:
        self._engine = RapidOCR(intra_op_num_threads=threads, inter_op_num_threads=1)
        characters = self._engine.text_rec.postprocess_op.character
        self._characters: list[str] = characters
        self._numeric = [0, *(characters.index(character) for character in _NUMBER_CHARACTERS)]

    def read(self, page: Pixels, go_on: Callable[[], None]) -> list[Token]:
        """All text of a grey page, shape (height, width). `go_on` is asked between steps and may raise."""
        picture = cv2.cvtColor(page, cv2.COLOR_GRAY2BGR)
        boxes, _ = self._engine.text_det(picture)
        if boxes is None or not len(boxes):
            return []
        corners = [np.asarray(box, np.float32) for box in boxes]
        crops = self._engine.get_crop_img_list(picture, corners)
        tokens = []
        for start in range(0, len(crops), _BATCH):
            go_on()
            for number, found in enumerate(self._recognised(crops[start : start + _BATCH]), start):
                tokens.append(_placed(found, corners[number]))
        return [token for token in tokens if token.text]

    def read_box(self, page: Pixels, box: tuple[float, float, float, float]) -> Token | None:
        """The text within left, top, right, bottom, without looking for its edges; None where there is none."""
        left, top, right, bottom = (max(0, round(value)) for value in box)
        crop = _tight(page[top:bottom, left:right])
        if crop is None:
            return None
        found = self._recognised([np.asarray(cv2.cvtColor(crop, cv2.COLOR_GRAY2BGR), np.uint8)])[0]
        token = _placed(found, np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32))
        return token if token.text else None

    def _recognised(self, crops: list[Pixels]) -> list[tuple[str, float, tuple[str, float]]]:
        recogniser = self._engine.text_rec
        order = sorted(range(len(crops)), key=lambda index: crops[index].shape[1] / crops[index].shape[0])
        found: dict[int, tuple[str, float, tuple[str, float]]] = {}
        widest = max(320 / 48, *(crop.shape[1] / crop.shape[0] for crop in crops))
        batch = np.stack([recogniser.resize_norm_img(crops[index], widest) for index in order]).astype(np.float32)
        likely = recogniser.session(batch)[0]
        for place, index in enumerate(order):
            crop = crops[index]
            text, places, confidence = _decoded(likely[place], self._characters, None)
            share = crop.shape[1] / crop.shape[0] / widest
            text = _spaced(text, [column / likely.shape[1] / share for column in places], crop)
            digits, _, sure = _decoded(likely[place], self._characters, self._numeric)
            found[index] = (text.strip(), confidence, (digits, sure))
        return [found[index] for index in range(len(crops))]


def _decoded(
    likely: NDArray[np.float32], characters: list[str], allowed: list[int] | None
) -> tuple[str, list[float], float]:
    """Text, the column of each character, and the confidence of the least certain one (greedy CTC decoding)."""
    best = likely.argmax(axis=1) if allowed is None else np.array(allowed)[likely[:, allowed].argmax(axis=1)]
    chance = likely[np.arange(len(best)), best]
    text = ""
    places: list[float] = []
    chances: list[float] = []
    for column, index in enumerate(best):
        if index == 0:
            continue
        if column and best[column - 1] == index:
            chances[-1] = max(chances[-1], float(chance[column]))
            places[-1] += 0.5
            continue
        text += characters[index]
        places.append(column + 0.5)
        chances.append(float(chance[column]))
    solid = [value for character, value in zip(text, chances, strict=True) if character not in " .,"] or chances
    return text, places, min(solid, default=0.0)


def _spaced(text: str, places: list[float], crop: Pixels) -> str:
    """Puts spaces where the picture has gaps. `places` are centres of characters as shares of the crop's width."""
    grey = crop[:, :, 0] if crop.ndim == 3 else crop
    height, width = grey.shape
    rows = grey[round(height * 0.1) : max(round(height * 0.9), 1)]
    paper = np.median(rows)
    ink = (np.abs(rows.astype(np.int16) - int(paper)) > 70).any(axis=0)
    inked = np.flatnonzero(ink)
    if len(inked) < 2 or len(text) < 2:
        return text
    steps = np.diff(inked)
    between = steps[steps > 1]
    # In a typewriter's letters every gap is wide; a space is wider still.
    least = max(_GAP * height, 2.5 * float(np.median(between))) if len(between) > 3 else _GAP * height
    gaps = [((inked[i] + inked[i + 1]) / 2 / width, steps[i] / height) for i in np.flatnonzero(steps > least)]
    pieces, done = [], 0
    for gap, share in gaps:
        after = next((index for index, place in enumerate(places) if place > gap), len(text))
        if done < after < len(text) and share < _GAP_OF_DIGITS and (text[after - 1] + text[after]).isdigit():
            continue
        if done < after < len(text) and text[after] not in ",.:%)" and text[after - 1] not in "(-/.,":
            pieces.append(text[done:after].strip())
            done = after
    pieces.append(text[done:].strip())
    return " ".join(piece for piece in pieces if piece)


def _placed(found: tuple[str, float, tuple[str, float]], box: NDArray[np.float32]) -> Token:
    left, right = float(box[[0, 3], 0].mean()), float(box[[1, 2], 0].mean())
    top, bottom = float(box[[0, 1], 1].mean()), float(box[[2, 3], 1].mean())
    return Token(found[0], found[1], found[2], left, top, right, bottom)


def _tight(crop: Pixels) -> Pixels | None:
    """The part of a cell that has ink, without lines along its edges; None where it is empty."""
    if crop.shape[0] < 8 or crop.shape[1] < 8:
        return None
    dark = crop < 128
    dark[:, dark.mean(axis=0) > 0.9] = False
    dark[dark.mean(axis=1) > 0.9] = False
    rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
    if len(rows) < 6 or len(columns) < 3:
        return None
    top, bottom = max(rows[0] - 3, 0), rows[-1] + 4
    left, right = max(columns[0] - 4, 0), columns[-1] + 5
    return crop[top:bottom, left:right]
