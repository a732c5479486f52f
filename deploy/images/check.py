"""Checks the images without a container engine.

Quickly: every Dockerfile has the same base pinned by digest, runs as nobody, names the port and module of its
service, copies what its service needs, and hadolint finds nothing. With --build: each service's environment is built as
its image does, holds nothing that it must not, and its service starts from it and says SERVING.

Usage: python deploy/images/check.py [--build] [SERVICE ...]
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import members
from jewelry_local.topology import STUDIO, WITH_SCREENS, Process

ROOT = Path(__file__).resolve().parents[2]
BASE = re.compile(r"^ARG PYTHON_IMAGE=(\S+@sha256:[0-9a-f]{64})$", re.MULTILINE)
# What an image must not hold: hundreds of megabytes that its service never imports, or tools of the workshop.
NEVER = {
    **{process.name: {"torch", "transformers", "openvino", "playwright"} for process in WITH_SCREENS},
    "embedding": {"playwright", "boto3", "fastapi"},
    "analyzer": {"playwright", "openvino", "pymilvus"},
    STUDIO.name: {"torch", "transformers", "openvino", "playwright", "grpcio", "pymilvus"},
}
TOOLS = {"pip", "uv", "pytest", "mypy", "ruff", "grpcio-tools"}
READY_SECONDS = 120.0
# Where those answer that speak HTTP; the others are asked over gRPC.
HEALTH = {"gateway": "/healthz", STUDIO.name: "/_stcore/health"}


def dockerfile(name: str) -> Path:
    """Where a member's Dockerfile is."""
    return ROOT / (name if name == "scrapers" else f"services/{name}") / "Dockerfile"


def static(process: Process) -> Iterator[str]:
    """Sentences about what a service's Dockerfile gets wrong."""
    text = dockerfile(process.name).read_text(encoding="utf-8")
    port = process.default_address.rpartition(":")[2]
    member = f"services/{process.name}"
    for line in (
        f"{process.address_variable}=0.0.0.0:{port}",
        f'ENTRYPOINT ["python", "-m", "{process.module}"]',
        f"deploy/images/install.sh {member}",
        "USER 10001:10001",
        "HEALTHCHECK ",
    ):
        if line not in text:
            yield f"{process.name}: no line with {line!r}"
    if not re.search(rf"^EXPOSE (\d+ )*{port}\b", text, re.MULTILINE):
        yield f"{process.name}: does not expose {port}"
    for path in members.closure(member):
        if not any(f"COPY {parent} " in text for parent in (path, path.split("/")[0])):
            yield f"{process.name}: needs {path}, which is not copied"


def built(process: Process, folder: Path) -> Iterator[str]:
    """Sentences about what is wrong with a service's environment, built as its image does."""
    app = members.environment(f"services/{process.name}", folder)
    python = app / "bin" / "python"
    code = "import importlib.metadata as m; print(*(d.metadata['Name'].lower() for d in m.distributions()))"
    listed = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)  # noqa: S603
    for package in sorted(set(listed.stdout.split()) & (NEVER[process.name] | TOOLS)):
        yield f"{process.name}: holds {package}, which it must not"
    size = sum(path.stat().st_size for path in app.rglob("*") if path.is_file()) / 2**20
    seconds = _starts(process, python, folder / "data")
    state = "did not become ready" if seconds is None else f"ready in {seconds:.1f} s"
    print(f"{process.name:14} {len(listed.stdout.split()):4} packages {size:7.0f} MiB  {state}", flush=True)
    if seconds is None:
        yield f"{process.name}: did not become ready within {READY_SECONDS:.0f} s"


def _starts(process: Process, python: Path, data: Path) -> float | None:
    """Seconds until the service answers its image's health check; None when it does not."""
    data.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    # As in a container: none of this machine's variables, and nothing but /data to write.
    clean = {"PATH": os.environ["PATH"], "DATA_DIR": str(data), process.address_variable: address}
    started = time.monotonic()
    running = subprocess.Popen([python, "-m", process.module], cwd=data, env=clean)  # noqa: S603
    if process.name in HEALTH:
        code = f"import urllib.request as r; r.urlopen('http://{address}{HEALTH[process.name]}', timeout=3)"
        probe = [str(python), "-c", code]
    else:
        probe = [str(python), "-m", "servicekit.probe", address]
    try:
        while time.monotonic() - started < READY_SECONDS and running.poll() is None:
            asked = subprocess.run(probe, check=False, capture_output=True, env=clean, cwd=data)  # noqa: S603
            if asked.returncode == 0:
                return time.monotonic() - started
            time.sleep(0.2)
        return None
    finally:
        running.terminate()
        running.wait(timeout=40)


def main() -> int:
    """Prints what is wrong; 1 when there is something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", action="store_true")
    parser.add_argument("services", nargs="*", help="all unless named")
    options = parser.parse_args()
    chosen = [process for process in WITH_SCREENS if not options.services or process.name in options.services]
    files = [dockerfile(name) for name in (*(process.name for process in WITH_SCREENS), "scrapers")]
    bases = {match for path in files for match in BASE.findall(path.read_text(encoding="utf-8")) or ["no digest"]}
    problems = [f"one base for all images, not {', '.join(sorted(bases))}"] if len(bases) != 1 else []
    problems += [problem for process in chosen for problem in static(process)]
    hadolint = Path(sys.executable).parent / "hadolint"
    if subprocess.run([hadolint, *files], check=False).returncode:  # noqa: S603
        problems.append("hadolint found something")
    if options.build:
        for process in chosen:
            with tempfile.TemporaryDirectory() as folder:
                problems += built(process, Path(folder))
    for problem in problems:
        print(problem)
    if not problems:
        print(f"images: {len(files)} Dockerfiles keep the rules")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
