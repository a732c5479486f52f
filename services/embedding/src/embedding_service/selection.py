"""Which engine answers: the one asked for, or with `auto` the best one at hand."""

from __future__ import annotations

import dataclasses
import logging
import os
from importlib.util import find_spec

from embedding_service.adapters import checkpoint as checkpoints
from embedding_service.adapters.checkpoint import Checkpoint
from embedding_service.adapters.perceptual_engine import PerceptualEngine
from embedding_service.engine import Engine
from embedding_service.settings import Settings, cpus, let_openmp_sleep
from servicekit import errors

logger = logging.getLogger(__name__)


def load_engine(settings: Settings) -> Engine:
    """Loads what EMBED_ENGINE asks for.

    `clip` and `perceptual` are strict. `auto` takes CLIP where a whole checkpoint lies in a folder or in
    the hub's cache, and the perceptual descriptor otherwise; it never waits for a network.

    Raises:
        errors.FailedPrecondition: A strict choice cannot be had; the message says what is wrong.
    """
    detail = ""
    if settings.embed_engine != "perceptual":
        try:
            return _with_thresholds(_load_clip(settings), settings)
        except errors.FailedPrecondition as error:
            if settings.embed_engine == "clip":
                raise
            detail = f"CLIP was not taken: {error.message}"
            logger.warning("%s; the perceptual descriptor answers instead", detail)
    return _with_thresholds(PerceptualEngine(max_batch=settings.batch_size, detail=detail), settings)


def _load_clip(settings: Settings) -> Engine:
    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    checkpoint = checkpoints.find(
        settings.clip_model,
        revision=settings.clip_revision,
        token=token,
        download=settings.embed_engine == "clip",
    )
    # Engines are imported where they are used: torch takes seconds, and the others do without it.
    try:
        if _wants_openvino(settings):
            return _openvino(checkpoint, settings)
        return _torch(checkpoint, settings)
    except ImportError as error:
        raise errors.FailedPrecondition(
            f"CLIP needs the package {error.name}, which is not installed", reason="PACKAGE_MISSING"
        ) from error


def _wants_openvino(settings: Settings) -> bool:
    if settings.embed_runtime != "auto":
        return settings.embed_runtime == "openvino"
    if find_spec("openvino") is None or settings.embed_device not in ("auto", "cpu"):
        return False
    return settings.embed_device == "cpu" or not _has_cuda()


def _has_cuda() -> bool:
    """Whether there is a CUDA device, by the driver's own files: asking torch costs its import."""
    return os.path.exists("/dev/nvidiactl")


def _openvino(checkpoint: Checkpoint, settings: Settings) -> Engine:
    from embedding_service.adapters.openvino_engine import OpenVinoEngine

    if settings.embed_device not in ("auto", "cpu"):
        raise errors.FailedPrecondition(
            f"EMBED_RUNTIME=openvino computes on CPUs, not on {settings.embed_device}", reason="NO_DEVICE"
        )
    return OpenVinoEngine(
        checkpoint,
        dtype=settings.embed_dtype,
        max_batch=settings.batch_size,
        threads=settings.embed_threads or cpus(),
    )


def _torch(checkpoint: Checkpoint, settings: Settings) -> Engine:
    let_openmp_sleep()
    from embedding_service.adapters.torch_engine import TorchEngine, choose_device

    device = choose_device(settings.embed_device)
    dtype = settings.embed_dtype
    if dtype == "auto":
        dtype = "float32" if device == "cpu" else "bfloat16"
    return TorchEngine(
        checkpoint,
        device=device,
        dtype=dtype,
        max_batch=settings.batch_size,
        threads=settings.embed_threads or cpus(),
    )


def _with_thresholds(engine: Engine, settings: Settings) -> Engine:
    """The engine with the thresholds that the settings give instead of its own."""
    card = engine.card
    engine.card = dataclasses.replace(
        card,
        duplicate_distance=settings.duplicate_distance or card.duplicate_distance,
        similar_distance=settings.similar_distance or card.similar_distance,
    )
    return engine
