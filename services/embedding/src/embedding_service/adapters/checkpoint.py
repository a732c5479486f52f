"""Finds a CLIP checkpoint in a folder, the hub's cache or the hub, and checks that it is whole."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedding_service.engine import ModelCard
from embedding_service.pixels import PixelRules
from servicekit import errors

# Measured on real, unnormalised CLIP ViT-B/32 embeddings of shop photos (the project's decisions on the
# specification): below 5 lie re-encodings and 0.2% of different products, below 25 one product's look-alikes.
CLIP_DUPLICATE_DISTANCE = 5.0
CLIP_SIMILAR_DISTANCE = 25.0

logger = logging.getLogger(__name__)

_PICKLED = "pytorch_model.bin"
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", _PICKLED)
_TOKENIZER = ("tokenizer.json", "vocab.json")
# What is asked of the hub: never code, never other frameworks' copies of the weights.
_WANTED = ["*.json", "merges.txt", "model*.safetensors"]
# Seconds that the hub may take to answer a request for metadata.
_HUB_SECONDS = 5.0


@dataclass(frozen=True)
class Checkpoint:
    """A whole CLIP checkpoint on disk.

    Attributes:
        folder: Where its files lie.
        name: Hub id, or the folder's name.
        revision: Commit on the hub; empty for a folder.
        config: The parsed config.json.
        rules: How pictures are prepared.
        weights: Weight files, in the order in which they are hashed.
        has_tokenizer: Whether texts can be tokenised.
        notes: What an operator should know.
    """

    folder: Path
    name: str
    revision: str
    config: dict[str, Any]
    rules: PixelRules
    weights: tuple[Path, ...]
    has_tokenizer: bool
    notes: tuple[str, ...] = ()

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        return int(self.config["projection_dim"])

    def card(
        self, *, engine: str, device: str, dtype: str, has_text_tower: bool, notes: Sequence[str] = ()
    ) -> ModelCard:
        """Identity of the model as an engine runs it; reads the weights once to hash them."""
        return ModelCard(
            name=self.name,
            revision=self.revision,
            weights_sha256=self.weights_sha256(),
            preprocessing_sha256=self.rules.sha256,
            dtype=dtype,
            engine=engine,
            device=device,
            dimension=self.dimension,
            has_text_tower=has_text_tower,
            duplicate_distance=CLIP_DUPLICATE_DISTANCE,
            similar_distance=CLIP_SIMILAR_DISTANCE,
            detail="; ".join((*self.notes, *notes)),
        )

    def weights_sha256(self) -> str:
        """SHA-256 of the weight file; of several, over their bytes one after the other."""
        digest = hashlib.sha256()
        for path in self.weights:
            with open(path, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()


def find(model: str, *, revision: str = "main", token: str | None = None, download: bool = False) -> Checkpoint:
    """Finds and checks the checkpoint; reads no weights yet.

    Args:
        model: A folder, or a hub id.
        revision: Branch, tag or commit on the hub.
        token: Hub token.
        download: Whether the hub may be asked for what its cache lacks.

    Raises:
        errors.FailedPrecondition: It is not there, not whole, or not CLIP; the message says what is wrong.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return read(path, path.resolve().name, "")
    if path.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1:
        raise _refused("CHECKPOINT_MISSING", f"CLIP_MODEL names a folder that is not there: {model}")
    folder = _from_hub(model, revision, token, download)
    # The hub's cache names a snapshot's folder after its commit.
    return read(folder, model, folder.name)


def read(folder: Path, name: str, revision: str) -> Checkpoint:
    """Checks the files of a folder; see `find`."""
    config = _json(folder, "config.json")
    if config is None:
        raise _refused("CHECKPOINT_INCOMPLETE", f"{name} has no config.json")
    kind = config.get("model_type")
    if kind != "clip":
        raise _refused("CHECKPOINT_UNSUPPORTED", f"{name} is a {kind!r} model; CLIP_MODEL must name a CLIP one")
    notes = []
    image_size = int(config.get("vision_config", {}).get("image_size", 224))
    pixels = _json(folder, "preprocessor_config.json")
    if pixels is None:
        pixels = (_json(folder, "processor_config.json") or {}).get("image_processor")
    if pixels is None:
        notes.append("the checkpoint has no preprocessor_config.json: CLIP's published values are used")
    has_tokenizer = any((folder / file).is_file() for file in _TOKENIZER)
    if not has_tokenizer:
        notes.append("the checkpoint has no tokenizer: texts cannot be embedded")
    vision = config.get("vision_config", {})
    if (vision.get("hidden_size", 768), vision.get("patch_size", 32)) != (768, 32):
        notes.append("the thresholds were measured for ViT-B/32: calibrate and set DUPLICATE_DISTANCE")
    return Checkpoint(
        folder=folder,
        name=name,
        revision=revision,
        config={"projection_dim": 512, **config},
        rules=PixelRules.from_config(pixels or {}, image_size),
        weights=_weights(folder, name),
        has_tokenizer=has_tokenizer,
        notes=tuple(notes),
    )


def _weights(folder: Path, name: str) -> tuple[Path, ...]:
    found = next((folder / file for file in _WEIGHTS if (folder / file).is_file()), None)
    if found is None:
        raise _refused("CHECKPOINT_INCOMPLETE", f"{name} has no weights: none of {', '.join(_WEIGHTS)}")
    if not found.name.endswith(".index.json"):
        return (found,)
    index = _json(folder, found.name) or {}
    shards = tuple(folder / file for file in sorted(set(index.get("weight_map", {}).values())))
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing or not shards:
        raise _refused("CHECKPOINT_INCOMPLETE", f"{name} lacks weight files: {', '.join(missing) or 'all'}")
    return shards


def _json(folder: Path, file: str) -> dict[str, Any] | None:
    path = folder / file
    if not path.is_file():
        return None
    try:
        parsed = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _refused("CHECKPOINT_INCOMPLETE", f"{path} cannot be read as JSON") from error
    if not isinstance(parsed, dict):
        raise _refused("CHECKPOINT_INCOMPLETE", f"{path} holds no JSON object")
    return parsed


def _from_hub(model: str, revision: str, token: str | None, download: bool) -> Path:
    # Imported here: the perceptual descriptor must start without the hub's client.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    def fetch(patterns: list[str], *, local: bool) -> Path:
        return Path(
            snapshot_download(
                model,
                revision=revision,
                allow_patterns=patterns,
                token=token,
                etag_timeout=_HUB_SECONDS,
                local_files_only=local,
            )
        )

    try:
        folder = None
        with contextlib.suppress(LocalEntryNotFoundError):
            folder = fetch(_WANTED, local=True)
        if folder is not None and (_has_weights(folder) or not download):
            return folder
        if not download:
            raise _refused(
                "CHECKPOINT_MISSING", f"{model} is not in the hub's cache, and EMBED_ENGINE=auto does not download"
            )
        logger.info("fetching %s from the hub", model)
        folder = fetch(_WANTED, local=False)
        # Pickled weights only where there are no others: older checkpoints carry both, 600 MB each.
        return folder if _has_weights(folder) else fetch([*_WANTED, _PICKLED], local=False)
    except HFValidationError as error:
        raise _refused("CHECKPOINT_MISSING", f"CLIP_MODEL is neither a folder nor a hub id: {model}") from error
    except LocalEntryNotFoundError as error:
        raise _refused(
            "CHECKPOINT_MISSING", f"{model} is not in the hub's cache, nor can the hub be reached"
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise _refused(
            "CHECKPOINT_MISSING", f"the hub did not give {model}: {type(error).__name__}; check the id and HF_TOKEN"
        ) from error


def _has_weights(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _WEIGHTS)


def _refused(reason: str, message: str) -> errors.FailedPrecondition:
    return errors.FailedPrecondition(message, reason=reason)
