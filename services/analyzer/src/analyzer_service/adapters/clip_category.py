"""The category of a product by CLIP zero-shot, where the weights are on this machine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from analyzer_service.prompts import CATEGORIES
from servicekit import errors

logger = logging.getLogger(__name__)

# CLIP's own preprocessing and the scale it was trained to (Radford 2021, section 2.3 and openai/CLIP clip.py).
_SIDE = 224
_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
_DEVIATION = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)
_SCALE = 100.0
_TEMPLATES = ("a photo of {}.", "a product photo of {} on a white background.", "a close-up of {}, fashion jewellery.")
_NAMES = {
    "earrings": ("a pair of earrings", "an earring"),
    "necklace": ("a necklace", "a pendant on a chain"),
    "bracelet": ("a bracelet", "a bangle"),
    "ring": ("a finger ring", "a ring with a stone"),
    # What else a seller's picture shows by mistake.
    "": ("a person", "a box", "a document", "a piece of clothing"),
}
# Zero-shot answers below this share are not believed.
_LEAST_SHARE = 0.8


class CategoryDetector(Protocol):
    """Tells what kind of jewelry pictures show."""

    @property
    def model_id(self) -> str:
        """Name of the model."""
        ...

    async def load(self) -> None:
        """Gets ready."""
        ...

    async def category(self, pictures: Sequence[Image.Image]) -> str:
        """One of `prompts.CATEGORIES`; empty when it cannot be told."""
        ...


class ClipCategory:
    """See `CategoryDetector`.

    Args:
        folder: A CLIP checkpoint with its tokenizer: `config.json`, weights, `tokenizer.json` or `vocab.json`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._model: Any = None
        self._names: NDArray[np.float32] = np.zeros((0, 0), dtype=np.float32)
        self._lock = asyncio.Lock()

    @property
    def model_id(self) -> str:
        """Name of the folder."""
        return f"clip:{self._folder.name}"

    async def load(self) -> None:
        """Loads the model, and embeds the names of the categories once.

        Raises:
            errors.FailedPrecondition: The folder holds no such checkpoint (CHECKPOINT_MISSING).
        """
        async with self._lock:
            if self._model is None:
                await asyncio.to_thread(self._load)

    async def category(self, pictures: Sequence[Image.Image]) -> str:
        """One of `prompts.CATEGORIES`, where all pictures together speak for it; empty otherwise."""
        await self.load()
        async with self._lock:
            shares = await asyncio.to_thread(self._shares, pictures)
        best = int(shares.argmax())
        return (*CATEGORIES, "")[best] if shares[best] >= _LEAST_SHARE else ""

    def _load(self) -> None:
        # Imported here: a service without the weights never needs them.
        import torch
        from transformers import AutoTokenizer, CLIPTextModelWithProjection, CLIPVisionModelWithProjection

        try:
            tokenizer = AutoTokenizer.from_pretrained(str(self._folder), local_files_only=True)
            texts = CLIPTextModelWithProjection.from_pretrained(str(self._folder), local_files_only=True).eval()
            model = CLIPVisionModelWithProjection.from_pretrained(str(self._folder), local_files_only=True).eval()
        except (OSError, ValueError) as error:
            logger.error("the CLIP checkpoint cannot be loaded: %s", type(error).__name__)
            raise errors.FailedPrecondition(
                f"CLIP_MODEL {self._folder} holds no CLIP checkpoint with its tokenizer", reason="CHECKPOINT_MISSING"
            ) from None
        rows = []
        with torch.inference_mode():
            for category in (*CATEGORIES, ""):
                lines = [template.format(name) for name in _NAMES[category] for template in _TEMPLATES]
                tokens = tokenizer(lines, padding=True, truncation=True, return_tensors="pt")
                embeds = texts(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask).text_embeds
                rows.append(_unit(embeds.numpy()).mean(axis=0))
        self._names = _unit(np.stack(rows))
        self._model = model
        logger.info("categories are told by %s", self.model_id)

    def _shares(self, pictures: Sequence[Image.Image]) -> NDArray[np.float32]:
        import torch

        pixels = torch.from_numpy(np.stack([_pixels(picture) for picture in pictures]))
        with torch.inference_mode():
            embeds = _unit(self._model(pixel_values=pixels).image_embeds.numpy())
        logits = _SCALE * (embeds @ self._names.T).mean(axis=0)
        shares = np.exp(logits - logits.max())
        return np.asarray(shares / shares.sum(), dtype=np.float32)


def installed(model: str | None) -> Path | None:
    """The folder of a checkpoint that is on this machine; None where there is none. Nothing is downloaded.

    Args:
        model: A folder, or a hub id that may be in the hub's cache.
    """
    if not model:
        return None
    if (Path(model) / "config.json").is_file():
        return Path(model)
    from huggingface_hub import try_to_load_from_cache

    try:
        weights = try_to_load_from_cache(model, "model.safetensors")
        tokenizer = try_to_load_from_cache(model, "tokenizer.json")
    except ValueError:
        return None
    return Path(weights).parent if isinstance(weights, str) and isinstance(tokenizer, str) else None


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12), dtype=np.float32)


def _pixels(picture: Image.Image) -> NDArray[np.float32]:
    scale = _SIDE / min(picture.size)
    size = (max(_SIDE, round(picture.width * scale)), max(_SIDE, round(picture.height * scale)))
    resized = picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    left, top = (size[0] - _SIDE) // 2, (size[1] - _SIDE) // 2
    values = np.asarray(resized.crop((left, top, left + _SIDE, top + _SIDE)), dtype=np.float32) / 255
    return np.ascontiguousarray(((values - _MEAN) / _DEVIATION).transpose(2, 0, 1))
