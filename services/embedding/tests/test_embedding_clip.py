"""CLIP through the real loading code, offline, against transformers' own pipeline."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedding_service.adapters.checkpoint import find
from embedding_service.engine import Engine
from embedding_service.selection import load_engine
from embedding_service.settings import Settings
from servicekit import errors

# One worker writes the checkpoint, 600 MB, and runs all that need it.
pytestmark = pytest.mark.xdist_group("clip_checkpoint")

TEXTS = ["a gold ring", "Silver   earrings with PEARLS", "हार", "ring " * 200]


def settings(**values: Any) -> Settings:
    # One thread: OpenMP's threads wait for each other by spinning, which a busy machine punishes.
    return Settings(_env_file=None, **{"embed_engine": "clip", "embed_dtype": "float32", "embed_threads": 1, **values})


@pytest.fixture(scope="module", autouse=True)
def _offline() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setenv("HF_HUB_OFFLINE", "1")
    yield
    patch.undo()


@pytest.fixture(scope="module")
def engines(checkpoint: Path) -> dict[str, Engine]:
    return {
        name: load_engine(settings(clip_model=str(checkpoint), embed_runtime=name, embed_device="cpu"))
        for name in ("torch", "openvino")
    }


@pytest.fixture(scope="module", params=["torch", "openvino"])
def engine(request: pytest.FixtureRequest, engines: dict[str, Engine]) -> Engine:
    return engines[request.param]


@pytest.fixture(scope="module")
def expected(checkpoint: Path, photos: list[bytes]) -> dict[str, np.ndarray]:
    """What transformers gives: its Pillow image processor, its tokenizer, its model in float32."""
    import io

    import torch
    from PIL import Image

    torch.set_num_threads(1)
    from transformers import CLIPModel, CLIPTokenizer
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    model = CLIPModel.from_pretrained(checkpoint, local_files_only=True).eval()
    processor = CLIPImageProcessorPil.from_pretrained(checkpoint)
    tokenizer = CLIPTokenizer.from_pretrained(checkpoint)
    pictures = [Image.open(io.BytesIO(photo)).convert("RGB") for photo in photos[:4]]
    with torch.inference_mode():
        pixels = processor(pictures, return_tensors="pt")
        tokens = tokenizer(TEXTS, padding=True, truncation=True, max_length=77, return_tensors="pt")
        return {
            "images": model.get_image_features(**pixels).pooler_output.numpy(),
            "texts": model.get_text_features(**tokens).pooler_output.numpy(),
        }


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_pictures_equal_transformers(engine: Engine, expected: dict[str, np.ndarray], photos: list[bytes]) -> None:
    """From the encoded file to the vector, reduced JPEG decoding included."""
    vectors = engine.infer([engine.preprocess(photo) for photo in photos[:4]])
    assert vectors.dtype == np.float32
    assert vectors.shape == (4, 512)
    assert cosines(vectors, expected["images"]).min() >= 0.9999
    # Raw, not normalised: the thresholds are for vectors of this length.
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), np.linalg.norm(expected["images"], axis=1), rtol=1e-3)
    # Random weights give all pictures much the same vector; the differences between them must agree too.
    mean = expected["images"].mean(axis=0)
    assert cosines(vectors - mean, expected["images"] - mean).min() >= 0.999


def test_texts_equal_transformers(engine: Engine, expected: dict[str, np.ndarray]) -> None:
    vectors = engine.infer_texts([engine.tokenize(text) for text in TEXTS])
    assert cosines(vectors, expected["texts"]).min() >= 0.9999
    mean = expected["texts"].mean(axis=0)
    assert cosines(vectors - mean, expected["texts"] - mean).min() >= 0.9999


def test_a_vector_does_not_depend_on_its_neighbours(engine: Engine, photos: list[bytes]) -> None:
    inputs = [engine.preprocess(photo) for photo in photos[:5]]
    alone = engine.infer(inputs[:1])
    others = [engine.infer(inputs[:2])[0], engine.infer(inputs[::-1])[-1], engine.infer(inputs[:1] * 3)[2]]
    for other in others:
        assert cosines(alone, other[None]).min() >= 0.9999
        np.testing.assert_allclose(other, alone[0], atol=1e-4)


def test_engines_agree_on_everything_but_themselves(engines: dict[str, Engine]) -> None:
    """Vectors of two engines share a collection, so the id must not tell them apart."""
    one, other = engines["torch"].card, engines["openvino"].card
    assert one.id == other.id
    assert one.id.startswith("random-vit-b-32@")
    assert (one.engine, other.engine) == ("torch", "openvino")
    assert one.dtype == other.dtype == "float32"
    assert one.has_text_tower
    assert (one.dimension, one.duplicate_distance, one.similar_distance) == (512, 5.0, 25.0)


def test_bfloat16_stays_close(checkpoint: Path, expected: dict[str, np.ndarray], photos: list[bytes]) -> None:
    engine = load_engine(
        settings(clip_model=str(checkpoint), embed_runtime="torch", embed_device="cpu", embed_dtype="bfloat16")
    )
    vectors = engine.infer([engine.preprocess(photos[0])])
    assert engine.card.dtype == "bfloat16"
    assert cosines(vectors, expected["images"][:1]).min() >= 0.999


# ---- checkpoints that are refused


def link(checkpoint: Path, folder: Path, *, without: str = "", **config: Any) -> Path:
    """The checkpoint again, by links, less a file, with changes to config.json."""
    folder.mkdir(exist_ok=True)
    for path in checkpoint.iterdir():
        if path.name != without:
            os.symlink(path, folder / path.name)
    if config:
        changed = json.loads((checkpoint / "config.json").read_text()) | config
        (folder / "config.json").unlink()
        (folder / "config.json").write_text(json.dumps(changed))
    return folder


def cut_weights(checkpoint: Path, folder: Path) -> Path:
    link(checkpoint, folder, without="model.safetensors")
    with open(checkpoint / "model.safetensors", "rb") as whole:
        (folder / "model.safetensors").write_bytes(whole.read(1_000_000))
    return folder


def half_weights(checkpoint: Path, folder: Path) -> Path:
    from safetensors.torch import load_file, save_file

    link(checkpoint, folder, without="model.safetensors")
    state = load_file(checkpoint / "model.safetensors")
    kept = {name: tensor for name, tensor in state.items() if "vision_model.encoder.layers.0." in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


# Name, how to break it, and what the refusal must say.
BROKEN: list[tuple[str, Callable[[Path, Path], Path], str]] = [
    ("no_config", lambda source, folder: link(source, folder, without="config.json"), "config.json"),
    ("no_weights", lambda source, folder: link(source, folder, without="model.safetensors"), "no weights"),
    ("cut_off", cut_weights, "cannot be read"),
    ("half", half_weights, "not whole"),
    ("other_kind", lambda source, folder: link(source, folder, model_type="siglip"), "siglip"),
    ("other_shape", lambda source, folder: link(source, folder, projection_dim=768), "shape"),
    ("small_vocabulary", lambda source, folder: link(source, folder, text_config={"vocab_size": 1000}), "tokenizer"),
]


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
@pytest.mark.parametrize(("breaks", "says"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_broken_checkpoint_is_refused_with_what_is_wrong(
    checkpoint: Path, tmp_path: Path, runtime: str, breaks: Callable[[Path, Path], Path], says: str
) -> None:
    folder = breaks(checkpoint, tmp_path / "broken")
    with pytest.raises(errors.FailedPrecondition, match=says):
        load_engine(settings(clip_model=str(folder), embed_runtime=runtime))
    shutil.rmtree(folder)


def test_auto_takes_the_descriptor_and_says_why(checkpoint: Path, tmp_path: Path) -> None:
    folder = link(checkpoint, tmp_path / "broken", without="model.safetensors")
    card = load_engine(settings(embed_engine="auto", clip_model=str(folder))).card
    assert card.engine == "perceptual"
    assert "no weights" in card.detail
    card = load_engine(settings(embed_engine="auto", clip_model="nobody/no-such-model")).card
    assert "not in the hub's cache" in card.detail


def test_the_hubs_cache_is_found_without_a_network(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--someone--clip"
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    link(checkpoint, snapshot, without="model.safetensors")
    with pytest.raises(errors.FailedPrecondition, match="no weights"):
        find("someone/clip")
    with pytest.raises(errors.FailedPrecondition, match="no weights"):
        find("someone/clip", download=True)
    os.symlink(checkpoint / "model.safetensors", snapshot / "model.safetensors")
    found = find("someone/clip")
    assert (found.name, found.revision) == ("someone/clip", commit)
    assert found.has_tokenizer
    assert not found.notes


@pytest.mark.parametrize("model", ["/no/such/folder", "./none", "a/b/c", "not an id"])
def test_a_model_that_is_nowhere(model: str) -> None:
    with pytest.raises(errors.FailedPrecondition, match="CLIP_MODEL"):
        find(model, download=True)


def test_auto_takes_clip_and_tells_what_it_had_to_make_up(checkpoint: Path, tmp_path: Path) -> None:
    folder = link(checkpoint, tmp_path / "bare", without="preprocessor_config.json")
    (folder / "tokenizer.json").unlink()
    card = load_engine(settings(embed_engine="auto", clip_model=str(folder), duplicate_distance=95)).card
    assert card.name == "bare"
    assert (card.duplicate_distance, card.similar_distance) == (95.0, 25.0)
    assert not card.has_text_tower
    assert "preprocessor_config.json" in card.detail
    assert "tokenizer" in card.detail
