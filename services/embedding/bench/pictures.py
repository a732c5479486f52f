"""Pictures for the benchmarks, and how fast they can be decoded."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image

from embedding_service.adapters.perceptual_engine import PerceptualEngine
from embedding_service.pixels import PixelRules, prepare
from embedding_service.settings import cpus


def per_second(work: Callable[[], Any], seconds: float) -> float:
    """Best rate of single calls: on a shared machine the mean measures the neighbours."""
    work()
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return 1 / best


def jpeg(size: tuple[int, int], quality: int = 88) -> bytes:
    """A picture with a photo's structure: smooth shapes under fine grain."""
    random = np.random.default_rng(size[0])
    coarse = Image.fromarray(random.integers(0, 256, (12, 12, 3), dtype=np.uint8)).resize(
        size, Image.Resampling.BICUBIC
    )
    grain = random.normal(0, 6, (size[1], size[0], 1))
    image = Image.fromarray(np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def files() -> dict[str, bytes]:
    """Two sizes, about 0.2 MB and 1.2 MB."""
    return {"0.2 MB": jpeg((1000, 750), 88), "1.2 MB": jpeg((2400, 1800), 90)}


def decode(seconds: float) -> dict[str, dict[str, float]]:
    """Images per second that all CPUs can prepare, by engine and kind of file: no service can do more."""
    ceilings: dict[str, dict[str, float]] = {"clip": {}, "perceptual": {}}
    print("\n## Decode ceilings, images/s\n")
    print("| file | bytes | CLIP, one core | CLIP, all | perceptual, one core | perceptual, all |")
    print("|---|--:|--:|--:|--:|--:|")
    prepares: dict[str, Callable[[bytes], Any]] = {
        "clip": lambda data: prepare(data, PixelRules()),
        "perceptual": PerceptualEngine().preprocess,
    }
    for name, data in files().items():
        cells = []
        for engine, work in prepares.items():
            ceilings[engine][name] = on_all_cpus(work, data, seconds / 2)
            cells += [per_second(lambda work=work, data=data: work(data), seconds / 2), ceilings[engine][name]]
        print(f"| {name} | {len(data)} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |")
    return ceilings


def on_all_cpus(work: Callable[[bytes], Any], data: bytes, seconds: float) -> float:
    """Mean rate with as many threads as CPUs."""
    with ThreadPoolExecutor(cpus()) as pool:
        started, count = time.perf_counter(), 0
        while time.perf_counter() - started < seconds:
            count += len(list(pool.map(work, [data] * 4 * cpus())))
        return count / (time.perf_counter() - started)
