"""CLIP's image preprocessing: encoded file to the square of pixels that the tower sees.

The same arithmetic as transformers' Pillow image processor (resize the short side, centre crop,
normalise), with two liberties: JPEGs are decoded at a reduced DCT scale while the short side stays at
or above twice the tower's, and the pixels stay 8-bit until the batch is normalised on the device.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from embedding_service.decoding import decoded
from servicekit import errors

# OpenAI's published CLIP values (openai/CLIP, clip/clip.py), used when a checkpoint carries none.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

# Bumped when decoding or resizing changes in a way that moves vectors.
_ALGORITHM = 1
# A JPEG is not decoded below this multiple of the tower's side: 448 for 224. At 1x the resize would
# have nothing left to average and the mean pixel difference grows tenfold.
_DRAFT_FACTOR = 2


@dataclass(frozen=True)
class PixelRules:
    """How a picture becomes the tower's input.

    Attributes:
        resize: Pixels of the short side after resizing.
        crop: Pixels of the square cut from the centre.
        resample: Pillow's number of the resampling filter; 3 is bicubic.
        mean: Per channel, of pixel values scaled to 0..1.
        std: Per channel, of pixel values scaled to 0..1.
    """

    resize: int = 224
    crop: int = 224
    resample: int = 3
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD

    @property
    def scale(self) -> NDArray[np.float32]:
        """Per channel: an 8-bit value times this, plus `shift`, is the tower's input."""
        return (1.0 / (255.0 * np.asarray(self.std))).astype(np.float32)

    @property
    def shift(self) -> NDArray[np.float32]:
        """Per channel; see `scale`."""
        shift: NDArray[np.float32] = (-np.asarray(self.mean) / np.asarray(self.std)).astype(np.float32)
        return shift

    @property
    def sha256(self) -> str:
        """Changes when any value, or the algorithm, changes."""
        rules = {**asdict(self), "algorithm": _ALGORITHM, "draft": _DRAFT_FACTOR}
        return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()

    @classmethod
    def from_config(cls, config: dict[str, Any], image_size: int) -> PixelRules:
        """From a checkpoint's preprocessor_config.json.

        Args:
            config: The parsed file; an empty one gives CLIP's published values.
            image_size: Side of the tower's input, from config.json.

        Raises:
            errors.FailedPrecondition: The file asks for something that this code does not do.
        """
        size = config.get("size", image_size)
        resize = size.get("shortest_edge", 0) if isinstance(size, dict) else size
        crop = config.get("crop_size", image_size)
        if isinstance(crop, dict):
            crop = crop["height"] if crop.get("height") == crop.get("width") else 0
        unusual = [
            name
            for name, expected in (
                ("do_resize", True),
                ("do_center_crop", True),
                ("do_normalize", True),
                ("do_rescale", True),
            )
            if config.get(name, expected) is not expected
        ]
        if unusual or crop != image_size or not isinstance(resize, int) or resize < image_size:
            raise errors.FailedPrecondition(
                f"the checkpoint's preprocessor_config.json is not CLIP's: {', '.join(unusual) or 'size, crop_size'}; "
                f"the tower takes {image_size} x {image_size}",
                reason="CHECKPOINT_UNSUPPORTED",
            )
        mean, std = (
            tuple(config.get(key, value)) for key, value in (("image_mean", CLIP_MEAN), ("image_std", CLIP_STD))
        )
        if len(mean) != 3 or len(std) != 3 or not all(std):
            raise errors.FailedPrecondition(
                "the checkpoint's image_mean and image_std need three numbers each", reason="CHECKPOINT_UNSUPPORTED"
            )
        return cls(resize, crop, int(config.get("resample", 3)), mean, std)


def prepare(data: bytes, rules: PixelRules) -> NDArray[np.uint8]:
    """Decodes, resizes and crops; uint8 (crop, crop, 3), RGB.

    Raises:
        errors.InvalidArgument: The file cannot be read or breaks a limit.
    """
    with decoded(data, rules.resize * _DRAFT_FACTOR) as (header, image):
        # The size comes from the header: a reduced decode rounds, and a ratio off by a pixel shifts the crop.
        full = (header.width, header.height)
        if (image.width > image.height) != (full[0] > full[1]):
            full = (full[1], full[0])
        width, height = _resized(full, rules.resize)
        left, top = (width - rules.crop) // 2, (height - rules.crop) // 2
        # Only the square that is kept is computed; Pillow's filter still looks at the pixels around it.
        across, down = image.width / width, image.height / height
        box = (left * across, top * down, (left + rules.crop) * across, (top + rules.crop) * down)
        square = image.resize((rules.crop, rules.crop), Image.Resampling(rules.resample), box)
    return np.asarray(square, dtype=np.uint8)


def _resized(size: tuple[int, int], short: int) -> tuple[int, int]:
    """Width and height with the short side at `short`; the long side is truncated, as transformers does."""
    width, height = size
    if width <= height:
        return short, int(short * height / width)
    return int(short * width / height), short
