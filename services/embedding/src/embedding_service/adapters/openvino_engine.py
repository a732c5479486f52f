"""CLIP on CPUs through OpenVINO: no torch in the process, bfloat16 where the CPU has it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedding_service import pixels
from embedding_service.adapters import openvino_graph
from embedding_service.adapters.checkpoint import Checkpoint
from embedding_service.adapters.openvino_runtime import Core, Model
from embedding_service.adapters.tokenizer import ClipTokenizer
from embedding_service.adapters.weights import read_tensors
from embedding_service.engine import Vectors
from servicekit import errors

logger = logging.getLogger(__name__)

# With EMBED_DTYPE=auto, bfloat16 is taken only while vectors stay this close to float32's, as measured at
# start with the weights at hand.
_LEAST_COSINE = 0.999
_PROBES = 8
_PRECISION = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoEngine:
    """CLIP's two towers as OpenVINO graphs.

    Args:
        checkpoint: What to load.
        dtype: `float32`, `bfloat16`, or `auto`: bfloat16 where the CPU has it and it is accurate enough.
        max_batch: Most pictures in one pass.
        threads: Threads of one pass.

    Raises:
        errors.FailedPrecondition: Weights are missing, damaged or of another shape, or the CPU lacks bfloat16.
    """

    def __init__(self, checkpoint: Checkpoint, *, dtype: str, max_batch: int, threads: int) -> None:
        # Encoded file to uint8 (side, side, 3).
        self.preprocess = partial(pixels.prepare, rules=checkpoint.rules)
        self._side = checkpoint.rules.crop
        self._threads = threads
        self._core = Core()
        self._tokenizer = ClipTokenizer.load(checkpoint)
        self.max_batch = max_batch
        tensors = read_tensors(checkpoint, texts=self._tokenizer is not None)
        vision = openvino_graph.vision_tower(tensors, checkpoint.config.get("vision_config", {}), checkpoint.rules)
        notes = []
        if dtype == "auto":
            dtype, note = self._accurate_dtype(vision)
            notes = [note] if note else []
        elif dtype == "bfloat16" and not self._has_bfloat16():
            raise errors.FailedPrecondition(
                "EMBED_DTYPE=bfloat16: this CPU has no bfloat16; use auto or float32", reason="NO_DEVICE"
            )
        self._vision = self._compile(vision, dtype)
        self._text = None
        if self._tokenizer is not None:
            text = openvino_graph.text_tower(tensors, checkpoint.config.get("text_config", {}))
            self._text = self._compile(text, dtype)
        self.card = checkpoint.card(
            engine="openvino", device="cpu", dtype=dtype, has_text_tower=self._text is not None, notes=notes
        )

    def infer(self, batch: Sequence[NDArray[np.uint8]]) -> Vectors:
        """Pixels to image_embeds, float32 (B, dimension), not normalised."""
        return _run(self._vision, [np.stack(batch)])

    def tokenize(self, text: str) -> list[int]:
        """A text to token ids, cut to the tower's context."""
        if self._tokenizer is None:
            raise errors.Unimplemented("this model has no text tower", reason="NO_TEXT_TOWER")
        return self._tokenizer.encode(text)

    def infer_texts(self, batch: Sequence[list[int]]) -> Vectors:
        """Token ids to text_embeds, float32 (B, dimension), not normalised."""
        if self._tokenizer is None or self._text is None:
            raise errors.Unimplemented("this model has no text tower", reason="NO_TEXT_TOWER")
        ids, ends = self._tokenizer.pad(batch)
        return _run(self._text, [ids, ends])

    def warm_up(self) -> None:
        """One pass of each tower, so that kernels are built."""
        self.infer(_probes(self._side)[:1])
        if self._text is not None:
            self.infer_texts([self.tokenize("a photo")])

    def close(self) -> None:
        """Nothing to release: the process ends."""

    def _compile(self, graph: Model, dtype: str) -> Any:
        return self._core.compile_model(
            graph,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": _PRECISION[dtype],
                "INFERENCE_NUM_THREADS": self._threads,
                "NUM_STREAMS": 1,
                # Pinned threads of two processes would fight for the same cores.
                "ENABLE_CPU_PINNING": False,
            },
        ).create_infer_request()

    def _has_bfloat16(self) -> bool:
        return "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")

    def _accurate_dtype(self, vision: Model) -> tuple[str, str]:
        """The fastest type that keeps the vectors, and what an operator should know about it."""
        if not self._has_bfloat16():
            return "float32", ""
        probes = np.stack(_probes(self._side))
        exact, fast = (_run(self._compile(vision, dtype), [probes]) for dtype in ("float32", "bfloat16"))
        lengths = np.linalg.norm(exact, axis=1) * np.linalg.norm(fast, axis=1)
        cosine = float(((exact * fast).sum(axis=1) / lengths).min())
        logger.info("cosine of bfloat16 to float32: %.5f at least", cosine)
        if cosine >= _LEAST_COSINE:
            return "bfloat16", f"cosine to float32 {cosine:.5f} at start"
        return "float32", f"bfloat16 was not taken: cosine to float32 only {cosine:.5f}"


def _run(request: Any, inputs: list[NDArray[Any]]) -> Vectors:
    # Copied: the request's output is overwritten by its next pass.
    return np.array(request.infer(inputs)[0], dtype=np.float32)


def _probes(side: int) -> list[NDArray[np.uint8]]:
    """Seeded pictures with structure at every scale: blocks of random colours, from coarse to fine."""
    random = np.random.default_rng(0)
    pictures = []
    for index in range(_PROBES):
        cells = 2 ** (1 + index % 6)
        blocks = random.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        steps = np.arange(side) * cells // side
        pictures.append(np.ascontiguousarray(blocks[steps][:, steps]))
    return pictures
