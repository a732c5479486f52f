"""CLIP's tokenizer, from the checkpoint's folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from embedding_service.adapters.checkpoint import Checkpoint
from servicekit import errors

_END = "<|endoftext|>"
# OpenAI's own checkpoints have this wrong id in config.json; their texts end with the largest id.
_LEGACY_END_ID = 2


class ClipTokenizer:
    """Texts to padded token ids. Safe on any thread."""

    def __init__(self, tokenizer: Tokenizer, context: int, end: int) -> None:
        # Cut to the context once and for all: a tokenizer whose truncation is set per call cannot be
        # shared by threads.
        tokenizer.enable_truncation(context)
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._end = end

    @classmethod
    def load(cls, checkpoint: Checkpoint) -> ClipTokenizer | None:
        """The checkpoint's tokenizer; None where it has none.

        Raises:
            errors.FailedPrecondition: The files are damaged, or belong to another model.
        """
        if not checkpoint.has_tokenizer:
            return None
        try:
            tokenizer = _read(checkpoint.folder)
        # A damaged file raises whatever its parser trips over.
        except Exception as error:
            raise errors.FailedPrecondition(
                f"the tokenizer of {checkpoint.name} cannot be read", reason="CHECKPOINT_INCOMPLETE"
            ) from error
        text = checkpoint.config.get("text_config") or {}
        vocabulary, expected = int(text.get("vocab_size", 49408)), int(text.get("eos_token_id", 49407))
        end = tokenizer.token_to_id(_END)
        largest = max(tokenizer.get_vocab().values(), default=0)
        wrong = end != (largest if expected == _LEGACY_END_ID else expected)
        if end is None or wrong or largest >= vocabulary:
            raise errors.FailedPrecondition(
                f"the tokenizer of {checkpoint.name} belongs to another model: it has ids up to {largest} and ends "
                f"texts with {end}; the model knows {vocabulary} ids and expects {expected}",
                reason="CHECKPOINT_UNSUPPORTED",
            )
        return cls(tokenizer, int(text.get("max_position_embeddings", 77)), end)

    def encode(self, text: str) -> list[int]:
        """Ids of one text with its start and end; a text beyond the context is cut."""
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids

    def pad(self, batch: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ids, int64 (B, longest), filled up with the end token, and the position of each text's end, int64 (B,)."""
        width = max(len(ids) for ids in batch)
        padded = np.full((len(batch), width), self._end, dtype=np.int64)
        for row, ids in enumerate(batch):
            padded[row, : len(ids)] = ids
        return padded, (padded == self._end).argmax(axis=1)


def _read(folder: Path) -> Tokenizer:
    if (folder / "tokenizer.json").is_file():
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    # Only older checkpoints come as vocab.json and merges.txt alone; transformers knows how to join them.
    from transformers import CLIPTokenizer

    joined: Tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer
    return joined
