"""A checkpoint's tensors as numpy arrays, checked against its config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from embedding_service.adapters.checkpoint import Checkpoint
from servicekit import errors


def read_tensors(checkpoint: Checkpoint, *, texts: bool) -> dict[str, NDArray[np.float32]]:
    """Every tensor of the vision tower, and of the text tower when asked, as float32.

    Raises:
        errors.FailedPrecondition: A file is damaged, or a tensor is missing or has another shape.
    """
    wanted = _vision_shapes(checkpoint) | (_text_shapes(checkpoint) if texts else {})
    tensors: dict[str, NDArray[np.float32]] = {}
    for path in checkpoint.weights:
        try:
            for name, values in _read(path, wanted):
                tensors[name] = np.asarray(values, dtype=np.float32)
        # A damaged file raises whatever its parser trips over.
        except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, EOFError) as error:
            raise _refused(checkpoint, f"{path.name} cannot be read, it may be cut off") from error
    missing = sorted(wanted.keys() - tensors.keys())
    if missing:
        raise _refused(checkpoint, f"{len(missing)} tensors are missing: {', '.join(missing[:3])}")
    other = sorted(name for name, shape in wanted.items() if tensors[name].shape != shape)
    if other:
        raise _refused(
            checkpoint, f"{len(other)} tensors have another shape than config.json says: {', '.join(other[:3])}"
        )
    return tensors


def _refused(checkpoint: Checkpoint, what: str) -> errors.FailedPrecondition:
    return errors.FailedPrecondition(
        f"the weights of {checkpoint.name} are not whole: {what}", reason="CHECKPOINT_INCOMPLETE"
    )


def _read(path: Path, wanted: Mapping[str, object]) -> Iterator[tuple[str, Any]]:
    if path.suffix == ".safetensors":
        with safe_open(path, framework="numpy") as file:
            names = [name for name in file.keys() if name in wanted]  # noqa: SIM118  # not a mapping
            if all(file.get_slice(name).get_dtype() != "BF16" for name in names):
                for name in names:
                    yield name, file.get_tensor(name)
                return
    # numpy has no bfloat16, and pickled weights need torch's reader, which loads tensors and no code.
    import torch
    from safetensors.torch import load_file

    if path.suffix == ".safetensors":
        state = load_file(path)
    else:
        state = torch.load(path, map_location="cpu", weights_only=True)
    for name, tensor in state.items():
        if name in wanted:
            yield name, tensor.float().numpy()


def _vision_shapes(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    config = checkpoint.config.get("vision_config", {})
    width, patch = int(config.get("hidden_size", 768)), int(config.get("patch_size", 32))
    tokens = (checkpoint.rules.crop // patch) ** 2 + 1
    tower = "vision_model"
    return {
        f"{tower}.embeddings.class_embedding": (width,),
        f"{tower}.embeddings.patch_embedding.weight": (width, 3, patch, patch),
        f"{tower}.embeddings.position_embedding.weight": (tokens, width),
        **_norm(f"{tower}.pre_layrnorm", width),
        **_norm(f"{tower}.post_layernorm", width),
        **_layers(tower, config, width, 3072),
        "visual_projection.weight": (checkpoint.dimension, width),
    }


def _text_shapes(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    config = checkpoint.config.get("text_config", {})
    width = int(config.get("hidden_size", 512))
    tower = "text_model"
    return {
        f"{tower}.embeddings.token_embedding.weight": (int(config.get("vocab_size", 49408)), width),
        f"{tower}.embeddings.position_embedding.weight": (int(config.get("max_position_embeddings", 77)), width),
        **_norm(f"{tower}.final_layer_norm", width),
        **_layers(tower, config, width, 2048),
        "text_projection.weight": (checkpoint.dimension, width),
    }


def _layers(tower: str, config: Mapping[str, Any], width: int, inner: int) -> dict[str, tuple[int, ...]]:
    inner = int(config.get("intermediate_size", inner))
    shapes: dict[str, tuple[int, ...]] = {}
    for index in range(int(config.get("num_hidden_layers", 12))):
        layer = f"{tower}.encoder.layers.{index}"
        shapes |= _norm(f"{layer}.layer_norm1", width) | _norm(f"{layer}.layer_norm2", width)
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= {f"{layer}.self_attn.{part}.weight": (width, width), f"{layer}.self_attn.{part}.bias": (width,)}
        shapes |= {f"{layer}.mlp.fc1.weight": (inner, width), f"{layer}.mlp.fc1.bias": (inner,)}
        shapes |= {f"{layer}.mlp.fc2.weight": (width, inner), f"{layer}.mlp.fc2.bias": (width,)}
    return shapes


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
