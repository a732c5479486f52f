"""Settings of the embedding service."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from servicekit import ServiceSettings

EngineChoice = Literal["auto", "clip", "perceptual"]
PlaceChoice = Literal["processes", "threads"]
RuntimeChoice = Literal["auto", "torch", "openvino"]
DtypeChoice = Literal["auto", "float32", "bfloat16"]


class Settings(ServiceSettings):
    """Read from the environment and `.env`; see the README for what each means to an operator."""

    embedding_addr: str = Field("127.0.0.1:50051", description="host:port to listen on.")

    embed_engine: EngineChoice = Field(
        "auto", description="auto: CLIP where its weights are at hand, else the perceptual descriptor."
    )
    clip_model: str = Field("openai/clip-vit-base-patch32", description="Folder of a checkpoint, or hub id.")
    clip_revision: str = Field("main", description="Branch, tag or commit of a hub checkpoint.")
    hf_token: SecretStr | None = Field(None, description="Hub token, for gated or private checkpoints.")
    embed_runtime: RuntimeChoice = Field("auto", description="What computes CLIP.")
    embed_device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    embed_dtype: DtypeChoice = Field("auto", description="auto: float32 on CPUs, bfloat16 on GPUs.")

    batch_size: int = Field(64, ge=1, le=2048, description="Most images in one pass of the model.")
    embed_batch_wait_ms: float = Field(
        0.0, ge=0, le=1000, description="Longest wait for a fuller batch while the device idles."
    )
    embed_batch_target_ms: float = Field(
        100.0, gt=0, description="Longest bulk pass aimed at, so that an interactive image never waits long."
    )
    embed_batch_quiet_ms: float = Field(
        600.0, gt=0, description="The same while no interactive image came for a minute; never below the former."
    )
    embed_threads: int = Field(0, ge=0, le=256, description="Threads of one CPU pass; 0: the CPUs at hand.")
    preprocess_in: PlaceChoice = Field("processes", description="Where pictures are decoded.")
    preprocess_threads: int = Field(
        0, ge=0, le=256, description="Pictures of each lane decoded at once; 0: the CPUs at hand."
    )
    embed_max_outstanding_images: int = Field(2048, ge=1, description="Images queued and in work; more are refused.")
    embed_max_outstanding_mb: int = Field(512, ge=32, description="MiB of files queued and in work.")
    embed_max_streams: int = Field(32, ge=1, description="Streams open at once; more are refused.")

    duplicate_distance: float | None = Field(None, gt=0, description="Overrides the model's own threshold.")
    similar_distance: float | None = Field(None, gt=0, description="Overrides the model's own threshold.")


def let_openmp_sleep() -> None:
    """To be called before torch is imported, when OpenMP reads the variable.

    Threads that spin while they wait starve the decoding threads: 0.8 images/s were seen where two
    processes shared two cores.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def harmless_environment() -> dict[str, str]:
    """What a process that reads strangers' files needs to find its interpreter's parts; no secret is among it."""
    names = (
        "PATH",
        "PYTHONHOME",
        "PYTHONPATH",
        "PYTHONDONTWRITEBYTECODE",
        "LD_LIBRARY_PATH",
        "LANG",
        "LC_ALL",
        "TMPDIR",
    )
    return {name: os.environ[name] for name in names if name in os.environ}


def cpus(quota_file: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """CPUs that this process may use, by affinity and by its container's quota; at least 1.

    Args:
        quota_file: cgroup v2: microseconds of CPU time per period, or `max`.
    """
    allowed = len(os.sched_getaffinity(0))
    try:
        quota, period = quota_file.read_text(encoding="ascii").split()
        allowed = min(allowed, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        # No cgroup v2 here, or no quota.
        pass
    return max(1, allowed)
