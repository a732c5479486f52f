"""Engines alone: images per second and accuracy, beside transformers in float32."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pictures import jpeg

from embedding_service.engine import Vectors
from embedding_service.pixels import PixelRules, prepare
from embedding_service.selection import load_engine
from embedding_service.settings import Settings, cpus
from servicekit import errors

BATCHES = (1, 8, 32)
GPU_BATCHES = (*BATCHES, 256, 1024, 2048)
YARDSTICK = "transformers float32"
_TURN = 0.5

Infer = Callable[[Sequence[Any]], Vectors]


def engines(model: Path, seconds: float, with_onnx: bool) -> None:
    """Images per second of each engine, its ratio to transformers in float32, and its cosine to it."""
    rules = PixelRules()
    inputs = [prepare(jpeg(size), rules) for size in ((640, 480), (480, 640), (900, 900), (300, 500))]
    inputs += [np.roll(picture, 40, axis=0) for picture in inputs]
    with tempfile.TemporaryDirectory() as scratch:
        candidates = {YARDSTICK: transformers(model, rules), **own(model)}
        if with_onnx:
            candidates |= onnxruntime(model, rules, Path(scratch))
        exact = candidates[YARDSTICK](inputs)
        print("\n## Engines\n")
        print("| engine | batch | images/s | of transformers | cosine | centred |\n|---|--:|--:|--:|--:|--:|")
        for name, rates in measured(candidates, inputs, seconds).items():
            vectors = candidates[name](inputs)
            cosine, centred = cosines(vectors, exact), cosines(vectors - exact.mean(0), exact - exact.mean(0))
            for size, (rate, ratio) in rates.items():
                of = f"{ratio:.2f}" if ratio else "-"
                print(f"| {name} | {size} | {rate:.1f} | {of} | {cosine:.5f} | {centred:.5f} |")


def measured(
    candidates: dict[str, Infer], inputs: list[Any], seconds: float
) -> dict[str, dict[int, tuple[float, float | None]]]:
    """Rates by candidate and batch, and ratios to the yardstick's.

    All take turns of half a second, since on a shared machine a neighbour slows whole seconds; the first pass of a turn
    does not count, as the threads of the one before may still spin. The rate is that of the quickest passes (their
    10th percentile), the ratio that of the medians.
    """
    rates: dict[str, dict[int, tuple[float, float | None]]] = {name: {} for name in candidates}
    for size in GPU_BATCHES:
        taking = [name for name in candidates if size in BATCHES or "cuda" in name]
        batch = (inputs * size)[:size]
        taken: dict[str, list[float]] = {name: [] for name in taking}
        for _ in range(max(1, round(seconds / _TURN))):
            for name in taking:
                taken[name] += turn(lambda infer=candidates[name], batch=batch: infer(batch))  # type: ignore[misc]
        for name in taking:
            ratio = float(np.median(taken[YARDSTICK]) / np.median(taken[name])) if YARDSTICK in taken else None
            rates[name][size] = (size / float(np.quantile(taken[name], 0.1)), ratio)
    return rates


def turn(work: Callable[[], Any]) -> list[float]:
    """Seconds of each pass in half a second; of one at least."""
    work()
    seconds, until = [], time.perf_counter() + _TURN
    while not seconds or time.perf_counter() < until:
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return seconds


def cosines(a: Vectors, b: Vectors) -> float:
    return float(((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())


def transformers(model: Path, rules: PixelRules) -> Infer:
    """The yardstick: transformers' CLIP in float32 as it comes, on pixels that are ready."""
    import torch
    from transformers import CLIPModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    plain = CLIPModel.from_pretrained(model, local_files_only=True).eval()

    def infer(batch: Sequence[Any]) -> Vectors:
        with torch.inference_mode():
            vectors: Vectors = plain.get_image_features(torch.from_numpy(normal(batch, rules))).pooler_output.numpy()
            return vectors

    return infer


def normal(batch: Sequence[Any], rules: PixelRules) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Float32 (B, 3, side, side), normalised."""
    return np.ascontiguousarray((np.stack(batch) * rules.scale + rules.shift).transpose(0, 3, 1, 2))


def own(model: Path) -> dict[str, Infer]:
    """The service's engines that this machine can run."""
    import torch

    wanted = [("openvino", "cpu", "float32"), ("openvino", "cpu", "auto"), ("torch", "cpu", "float32")]
    if "bf16" in Path("/proc/cpuinfo").read_text(encoding="ascii"):
        wanted += [("torch", "cpu", "bfloat16")]
    wanted += [("torch", "cuda", "bfloat16")] if torch.cuda.is_available() else []
    found: dict[str, Infer] = {}
    for runtime, device, dtype in wanted:
        values = {"embed_runtime": runtime, "embed_device": device, "embed_dtype": dtype}
        size = max(GPU_BATCHES if device == "cuda" else BATCHES)
        try:
            engine = load_engine(
                Settings(_env_file=None, embed_engine="clip", clip_model=str(model), batch_size=size, **values)  # type: ignore[arg-type]
            )
        except errors.FailedPrecondition as error:
            print(f"{runtime} {dtype}: {error.message}")
            continue
        engine.warm_up()
        found.setdefault(f"{engine.card.engine} {engine.card.device} {engine.card.dtype}", engine.infer)
    return found


def onnxruntime(model: Path, rules: PixelRules, scratch: Path) -> dict[str, Infer]:
    """The candidate that was not taken: exported by torch, with all of onnxruntime's graph optimisations.

    Needs `pip install onnx onnxscript`. int8: weights per channel, activations as they come; with 7 bits where
    the CPU has no VNNI, or sums overflow.
    """
    import torch
    from onnxruntime import InferenceSession, SessionOptions
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from transformers import CLIPModel

    class Tower(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.clip = CLIPModel.from_pretrained(model, local_files_only=True, attn_implementation="eager").eval()

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.clip.visual_projection(self.clip.vision_model(pixels).pooler_output)

    exact, small = scratch / "exact.onnx", scratch / "int8.onnx"
    with torch.inference_mode():
        # dynamo=False: what the other exporter writes, the quantiser does not recognise.
        torch.onnx.export(
            Tower(),
            (torch.zeros(2, 3, rules.crop, rules.crop),),
            exact,
            dynamo=False,
            input_names=["pixels"],
            dynamic_axes={"pixels": {0: "batch"}},
            opset_version=17,
        )
    vnni = "vnni" in Path("/proc/cpuinfo").read_text(encoding="ascii")
    quantize_dynamic(
        exact,
        small,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        reduce_range=not vnni,
    )

    def candidate(file: Path) -> Infer:
        options = SessionOptions()
        options.intra_op_num_threads = cpus()
        session = InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

        def infer(batch: Sequence[Any]) -> Vectors:
            vectors: Vectors = session.run(None, {"pixels": normal(batch, rules)})[0]
            return vectors

        return infer

    return {"onnxruntime float32": candidate(exact), "onnxruntime int8": candidate(small)}
