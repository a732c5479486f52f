"""CLIP through transformers and torch, on a CPU or a CUDA device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import CLIPModel
from transformers.utils import logging as transformers_logging

from embedding_service import pixels
from embedding_service.adapters.checkpoint import Checkpoint
from embedding_service.adapters.tokenizer import ClipTokenizer
from embedding_service.engine import Vectors
from servicekit import errors

# Above this a pass is long enough to hide the launch of its kernels; a graph would only hold memory.
_LARGEST_GRAPH = 64


class TorchEngine:
    """CLIP's two towers in torch.

    On a CUDA device batches are padded to powers of two, so that few shapes occur, and the small ones
    are replayed as CUDA graphs.

    Args:
        checkpoint: What to load.
        device: `cpu` or `cuda:N`.
        dtype: `float32` or `bfloat16`.
        max_batch: Most pictures in one pass.
        threads: Threads of one CPU pass.

    Raises:
        errors.FailedPrecondition: Weights are missing, damaged or of another shape.
    """

    def __init__(self, checkpoint: Checkpoint, *, device: str, dtype: str, max_batch: int, threads: int) -> None:
        torch.set_num_threads(threads)
        # Encoded file to uint8 (side, side, 3).
        self.preprocess = partial(pixels.prepare, rules=checkpoint.rules)
        self._side = checkpoint.rules.crop
        self._device = torch.device(device)
        self._dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[dtype]
        # First, since it is checked sooner than the weights are read.
        self._tokenizer = ClipTokenizer.load(checkpoint)
        self._model = load_model(checkpoint, self._dtype).to(self._device)
        self._scale = torch.from_numpy(checkpoint.rules.scale).to(self._device)
        self._shift = torch.from_numpy(checkpoint.rules.shift).to(self._device)
        self._cuda = self._device.type == "cuda"
        self._graphs: dict[int, Callable[[torch.Tensor], torch.Tensor]] = {}
        self.max_batch = max_batch
        self.card = checkpoint.card(
            engine="torch", device=str(self._device), dtype=dtype, has_text_tower=self._tokenizer is not None
        )

    def infer(self, batch: Sequence[NDArray[np.uint8]]) -> Vectors:
        """Pixels to image_embeds, float32 (B, dimension), not normalised."""
        with torch.inference_mode():
            if not self._cuda:
                return _to_numpy(self._forward(torch.from_numpy(np.stack(batch))))
            size = bucket(len(batch), self.max_batch)
            padded = torch.zeros((size, *batch[0].shape), dtype=torch.uint8, pin_memory=True)
            np.stack(batch, out=padded.numpy()[: len(batch)])
            forward = self._graphs.get(size, self._forward)
            outputs = forward(padded.to(self._device, non_blocking=True))
            return _to_numpy(outputs[: len(batch)])

    def tokenize(self, text: str) -> list[int]:
        """A text to token ids, cut to the tower's context."""
        if self._tokenizer is None:
            raise errors.Unimplemented("this model has no text tower", reason="NO_TEXT_TOWER")
        return self._tokenizer.encode(text)

    def infer_texts(self, batch: Sequence[list[int]]) -> Vectors:
        """Token ids to text_embeds, float32 (B, dimension), not normalised."""
        if self._tokenizer is None:
            raise errors.Unimplemented("this model has no text tower", reason="NO_TEXT_TOWER")
        ids, _ = self._tokenizer.pad(batch)
        # No mask: attention looks back only, so what fills up behind a text's end never reaches it.
        with torch.inference_mode():
            outputs = self._model.text_model(input_ids=torch.from_numpy(ids).to(self._device))
            return _to_numpy(self._model.text_projection(outputs.pooler_output))

    def warm_up(self) -> None:
        """One pass, and on a CUDA device one per size of batch, so that kernels are chosen and captured."""
        blank = np.zeros((self._side, self._side, 3), np.uint8)
        self.infer([blank])
        if not self._cuda:
            return
        with torch.inference_mode():
            for size in buckets(self.max_batch):
                if size <= _LARGEST_GRAPH:
                    self._graphs[size] = _capture(self._forward, (size, *blank.shape), self._device)
                self.infer([blank] * size)

    def close(self) -> None:
        """Nothing to release: the process ends."""

    def _forward(self, batch: torch.Tensor) -> torch.Tensor:
        """uint8 (B, H, W, 3) to image_embeds; normalised in float32 whatever the model's type."""
        values = (batch.to(self._device).float() * self._scale + self._shift).permute(0, 3, 1, 2)
        pooled = self._model.vision_model(values.to(self._dtype)).pooler_output
        embeds: torch.Tensor = self._model.visual_projection(pooled)
        return embeds


def load_model(checkpoint: Checkpoint, dtype: torch.dtype) -> CLIPModel:
    """Reads the weights.

    Raises:
        errors.FailedPrecondition: Weights are missing, damaged or of another shape.
    """
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        model, info = CLIPModel.from_pretrained(
            checkpoint.folder,
            local_files_only=True,
            output_loading_info=True,
            dtype=dtype,
            trust_remote_code=False,
            # Reported in `info` and refused below, in our own words.
            ignore_mismatched_sizes=True,
        )
    # A damaged file raises whatever its parser trips over.
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise errors.FailedPrecondition(
            f"the weights of {checkpoint.name} cannot be read: {first}", reason="CHECKPOINT_INCOMPLETE"
        ) from error
    # position_ids is a constant that older checkpoints carry and newer code computes.
    missing = sorted(key for key in info["missing_keys"] if not key.endswith("position_ids"))
    if missing or info["mismatched_keys"]:
        raise errors.FailedPrecondition(
            f"the weights of {checkpoint.name} are not whole: {len(missing)} tensors are missing "
            f"({', '.join(missing[:3])}), {len(info['mismatched_keys'])} have another shape",
            reason="CHECKPOINT_INCOMPLETE",
        )
    model.eval().requires_grad_(False)
    return model


def choose_device(wanted: str) -> str:
    """The device to use: the one asked for, or with `auto` a CUDA device where there is one.

    Raises:
        errors.FailedPrecondition: It is not there.
    """
    if wanted == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    if wanted != "cpu" and not (wanted.startswith("cuda") and torch.cuda.is_available()):
        raise errors.FailedPrecondition(
            f"EMBED_DEVICE={wanted}: torch finds no such device; use auto or cpu", reason="NO_DEVICE"
        )
    return "cuda:0" if wanted == "cuda" else wanted


def buckets(max_batch: int) -> list[int]:
    """Powers of two up to the largest batch, and the largest batch itself."""
    sizes = [1 << power for power in range(max_batch.bit_length()) if 1 << power < max_batch]
    return [*sizes, max_batch]


def bucket(size: int, max_batch: int) -> int:
    """The smallest bucket that holds `size`."""
    return next(candidate for candidate in buckets(max_batch) if candidate >= size)


def _capture(
    forward: Callable[[torch.Tensor], torch.Tensor], shape: tuple[int, ...], device: torch.device
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Records a pass as a CUDA graph (the steps are those of torch's documentation of `torch.cuda.graph`)."""
    held = torch.zeros(shape, dtype=torch.uint8, device=device)
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        for _ in range(3):
            forward(held)
    torch.cuda.current_stream(device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = forward(held)

    def replay(batch: torch.Tensor) -> torch.Tensor:
        held.copy_(batch)
        graph.replay()
        return outputs

    return replay


def _to_numpy(outputs: torch.Tensor) -> Vectors:
    return np.asarray(outputs.float().cpu().numpy(), dtype=np.float32)
