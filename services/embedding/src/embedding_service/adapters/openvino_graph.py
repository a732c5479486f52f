"""CLIP's two towers as OpenVINO graphs, built from the checkpoint's tensors.

Built by hand rather than converted: no tracing (seconds at every start), no torch in the process, and
the normalisation of the pixels becomes part of the graph. The structure is transformers'
`modeling_clip.py` (Radford et al., 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedding_service.adapters.openvino_runtime import Model, Node, Type, ops
from embedding_service.pixels import PixelRules
from servicekit import errors

Tensors = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class TowerShape:
    """Sizes of a tower, from config.json."""

    width: int
    heads: int
    layers: int
    epsilon: float
    activation: str

    @classmethod
    def of(cls, config: Mapping[str, Any], width: int, heads: int) -> TowerShape:
        """Reads a tower's config; `width` and `heads` are ViT-B/32's, where the file leaves them out.

        Raises:
            errors.FailedPrecondition: The tower has an activation that CLIP does not.
        """
        activation = str(config.get("hidden_act", "quick_gelu"))
        if activation not in _ACTIVATIONS:
            raise errors.FailedPrecondition(
                f"the checkpoint's activation {activation!r} is not the OpenVINO engine's; set EMBED_RUNTIME=torch",
                reason="CHECKPOINT_UNSUPPORTED",
            )
        return cls(
            width=int(config.get("hidden_size", width)),
            heads=int(config.get("num_attention_heads", heads)),
            layers=int(config.get("num_hidden_layers", 12)),
            epsilon=float(config.get("layer_norm_eps", 1e-5)),
            activation=activation,
        )


def vision_tower(tensors: Tensors, config: Mapping[str, Any], rules: PixelRules) -> Model:
    """uint8 (B, side, side, 3) to image_embeds (B, dimension), not normalised."""
    shape = TowerShape.of(config, 768, 12)
    patch = int(config.get("patch_size", 32))
    grid = rules.crop // patch
    pixels = ops.parameter([-1, rules.crop, rules.crop, 3], Type.u8, "pixels")
    # Patches do not overlap: their convolution is one product of matrices, which is faster. The normalisation
    # of the pixels goes into its weights and bias.
    rows = ops.reshape(pixels, _ints(0, grid, patch, grid, patch * 3), True)
    patches = ops.reshape(
        ops.convert(ops.transpose(rows, _ints(0, 1, 3, 2, 4)), Type.f32), _ints(0, grid * grid, patch * patch * 3), True
    )
    kernel = tensors["vision_model.embeddings.patch_embedding.weight"].transpose(0, 2, 3, 1)
    weight, bias = (kernel * rules.scale).reshape(shape.width, -1), (kernel * rules.shift).sum(axis=(1, 2, 3))
    tokens = ops.add(ops.matmul(patches, _constant(weight), False, True), _constant(bias))
    batch = ops.gather(ops.shape_of(pixels, Type.i64), _ints(0), _ints(0))
    start = tensors["vision_model.embeddings.class_embedding"].reshape(1, 1, -1)
    starts = ops.broadcast(_constant(start), ops.concat([batch, _ints(1, shape.width)], 0))
    hidden = ops.concat([starts, tokens], 1)
    hidden = ops.add(hidden, _constant(tensors["vision_model.embeddings.position_embedding.weight"][None]))
    tower = _Tower(tensors, "vision_model", shape)
    hidden = tower.norm(hidden, "pre_layrnorm")
    hidden = tower.layers(hidden, causal=False, first_only=True)
    pooled = tower.norm(ops.gather(hidden, _int(0), _int(1)), "post_layernorm")
    return Model([tower.project(pooled, "visual_projection")], [pixels], "clip-vision")


def text_tower(tensors: Tensors, config: Mapping[str, Any]) -> Model:
    """int64 ids (B, L) and positions of their ends (B,) to text_embeds (B, dimension), not normalised."""
    shape = TowerShape.of(config, 512, 8)
    ids = ops.parameter([-1, -1], Type.i64, "ids")
    ends = ops.parameter([-1], Type.i64, "ends")
    words = ops.gather(_constant(tensors["text_model.embeddings.token_embedding.weight"]), ids, _int(0))
    length = ops.gather(ops.shape_of(ids, Type.i64), _ints(1), _ints(0))
    positions = ops.slice(
        _constant(tensors["text_model.embeddings.position_embedding.weight"]), _ints(0), length, _ints(1), _ints(0)
    )
    tower = _Tower(tensors, "text_model", shape)
    hidden = tower.layers(ops.add(words, positions), causal=True)
    hidden = tower.norm(hidden, "final_layer_norm")
    pooled = ops.gather(hidden, ends, _int(1), 1)
    return Model([tower.project(pooled, "text_projection")], [ids, ends], "clip-text")


class _Tower:
    """The parts that both towers share."""

    def __init__(self, tensors: Tensors, name: str, shape: TowerShape) -> None:
        self._tensors = tensors
        self._name = name
        self._shape = shape

    def layers(self, hidden: Node, *, causal: bool, first_only: bool = False) -> Node:
        """The transformer: pre-norm attention and MLP, each with a residual.

        With `first_only` the last layer is computed for the first token alone, the only one that the vision
        tower's output looks at: 7% less work, the same numbers.
        """
        for index in range(self._shape.layers):
            layer = f"encoder.layers.{index}"
            normal = asking = self.norm(hidden, f"{layer}.layer_norm1")
            if first_only and index == self._shape.layers - 1:
                hidden, asking = _first_token(hidden), _first_token(normal)
            hidden = ops.add(hidden, self._attention(asking, normal, f"{layer}.self_attn", causal))
            inner = self._linear(self.norm(hidden, f"{layer}.layer_norm2"), f"{layer}.mlp.fc1")
            hidden = ops.add(hidden, self._linear(_ACTIVATIONS[self._shape.activation](inner), f"{layer}.mlp.fc2"))
        return hidden

    def norm(self, hidden: Node, part: str) -> Node:
        """Layer normalisation over the last axis."""
        normal = ops.mvn(hidden, _ints(-1), True, self._shape.epsilon, "inside_sqrt")
        scaled = ops.multiply(normal, _constant(self._tensors[f"{self._name}.{part}.weight"]))
        return ops.add(scaled, _constant(self._tensors[f"{self._name}.{part}.bias"]))

    def project(self, pooled: Node, name: str) -> Node:
        """The last projection, without bias."""
        return ops.matmul(pooled, _constant(self._tensors[f"{name}.weight"]), False, True)

    def _attention(self, asking: Node, hidden: Node, part: str, causal: bool) -> Node:
        """What the tokens of `asking` take from those of `hidden`."""
        heads, depth = self._shape.heads, self._shape.width // self._shape.heads
        query, key, value = (
            ops.transpose(
                ops.reshape(self._linear(tokens, f"{part}.{name}"), _ints(0, 0, heads, depth), True), _ints(0, 2, 1, 3)
            )
            for name, tokens in (("q_proj", asking), ("k_proj", hidden), ("v_proj", hidden))
        )
        attended = ops.scaled_dot_product_attention(query, key, value, causal=causal)
        merged = ops.reshape(ops.transpose(attended, _ints(0, 2, 1, 3)), _ints(0, 0, self._shape.width), True)
        return self._linear(merged, f"{part}.out_proj")

    def _linear(self, hidden: Node, part: str) -> Node:
        weight = _constant(self._tensors[f"{self._name}.{part}.weight"])
        return ops.add(ops.matmul(hidden, weight, False, True), _constant(self._tensors[f"{self._name}.{part}.bias"]))


def _first_token(tokens: Node) -> Node:
    return ops.slice(tokens, _ints(0), _ints(1), _ints(1), _ints(1))


def _quick_gelu(node: Node) -> Node:
    return ops.multiply(node, ops.sigmoid(ops.multiply(node, _constant(np.float32(1.702)))))


_ACTIVATIONS: dict[str, Callable[[Node], Node]] = {
    "quick_gelu": _quick_gelu,
    "gelu": lambda node: ops.gelu(node, "erf"),
}


def _constant(values: NDArray[np.float32] | np.float32) -> Node:
    return ops.constant(np.asarray(values, dtype=np.float32))


def _ints(*values: int) -> Node:
    return ops.constant(np.array(values, dtype=np.int64))


def _int(value: int) -> Node:
    return ops.constant(np.int64(value))
