"""What the embedding service does on this machine, beside its yardsticks, in one run, as Markdown.

    python services/embedding/bench/bench_embedding.py [--model FOLDER] [--only engines,decode,...]

Without a checkpoint it writes one with random weights: speed is the same, accuracy figures then say little
(random weights exaggerate rounding). Sections: engines, decode, batcher, service, latency, overload; the last four
for CLIP and for the perceptual descriptor (`--engine`). `--onnx` adds onnxruntime to the engines.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import tempfile
import time
from pathlib import Path

from engines import engines
from load import batcher, service
from pictures import decode

from embedding_service.settings import cpus
from embedding_service.testing import write_random_checkpoint

SECTIONS = ("engines", "decode", "batcher", "service", "latency", "overload")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of a CLIP checkpoint")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each measurement")
    parser.add_argument("--only", default=",".join(SECTIONS))
    parser.add_argument("--engine", default="clip,perceptual", help="of the batcher and the service")
    parser.add_argument("--onnx", action="store_true", help="measure onnxruntime too; needs onnx and onnxscript")
    given = parser.parse_args()
    sections = set(given.only.split(","))
    started = time.monotonic()
    print(f"{time.strftime('%Y-%m-%d')}, {cpu()}, {cpus()} CPUs, load {os.getloadavg()[0]:.1f} at the start")
    with tempfile.TemporaryDirectory() as scratch:
        model = given.model or Path(scratch) / "random-vit-b-32"
        if given.model is None and ("engines" in sections or "clip" in given.engine):
            write_random_checkpoint(model)
        if "engines" in sections:
            engines(model, given.seconds, given.onnx)
        ceilings = decode(given.seconds) if "decode" in sections else {}
        for engine in given.engine.split(","):
            if "batcher" in sections:
                asyncio.run(batcher(model, engine, given.seconds))
            if {"service", "latency", "overload"} & sections:
                asyncio.run(service(model, engine, given.seconds, sections, ceilings.get(engine, {})))
    print(f"\n{time.monotonic() - started:.0f} s in all")


def cpu() -> str:
    """The CPU's name, where the system tells it."""
    lines = Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
