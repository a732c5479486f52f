"""A checkpoint without a download, with random weights, and a preprocessing that fails on demand."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embedding_service import decoding


def prepare_fragile(data: bytes) -> NDArray[np.int32]:
    """What a worker can be made to do, by the file that it gets.

    `die` and `hang` do that, `fault` raises; a number becomes itself and the process's id, a picture its width and
    height.
    """
    if data == b"die":
        os.kill(os.getpid(), signal.SIGKILL)
    if data == b"hang":
        time.sleep(1000)
    if data == b"fault":
        raise ZeroDivisionError("a fault of this code")
    if data.isdigit():
        return np.array([int(data), os.getpid()], dtype=np.int32)
    with decoding.decoded(data, 8) as (header, _):
        return np.array([header.width, header.height], dtype=np.int32)


def write_random_checkpoint(folder: Path, seed: int = 0) -> Path:
    """Writes a CLIP ViT-B/32 checkpoint (`CLIPConfig()` defaults, 600 MB) for tests and benchmarks.

    Its vectors mean nothing, but every line of code that a real one takes is taken. The tokenizer knows
    every byte and a few merges, with CLIP's own special ids.
    """
    import torch
    from safetensors.torch import save_file
    from transformers import CLIPConfig, CLIPModel

    folder.mkdir(parents=True, exist_ok=True)
    config = CLIPConfig()
    # Filled here and not by transformers, whose initialisation takes several seconds.
    with torch.device("meta"):
        model = CLIPModel(config)
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, tensor in model.named_parameters():
        # Matrices scaled so that signals keep their size through 12 layers and inputs stay apart.
        spread = 0.02 if tensor.ndim < 2 else tensor[0].numel() ** -0.5
        state[name] = torch.empty(tensor.shape).normal_(0.0, spread, generator=generator)
        if "norm" in name and name.endswith("weight"):
            state[name] += 1.0
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    config.architectures = ["CLIPModel"]
    config.save_pretrained(folder)
    _write_preprocessor(folder)
    _write_tokenizer(folder)
    return folder


def _write_preprocessor(folder: Path) -> None:
    """The file as OpenAI's ViT-B/32 carries it."""
    values = {
        "crop_size": 224,
        "do_center_crop": True,
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "size": 224,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(values), encoding="utf-8")


def _write_tokenizer(folder: Path) -> None:
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    merges = [("g", "o"), ("l", "d</w>"), ("go", "ld</w>"), ("r", "i"), ("n", "g</w>"), ("ri", "ng</w>")]
    words = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges)]
    vocabulary = {word: index for index, word in enumerate(words)}
    vocabulary |= {"<|startoftext|>": 49406, "<|endoftext|>": 49407}
    CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77).save_pretrained(folder)
