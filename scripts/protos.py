"""Generates the Python stubs of every contract into protos/gen (not committed).

Usage: python scripts/protos.py
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

PROTOS = Path(__file__).resolve().parents[1] / "protos"
OUT = PROTOS / "gen"


def main() -> int:
    """Runs protoc over all contracts; returns its exit status."""
    shutil.rmtree(OUT / "jewelry", ignore_errors=True)
    OUT.mkdir(exist_ok=True)
    contracts = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.glob("jewelry/**/*.proto"))
    command = [
        *(sys.executable, "-m", "grpc_tools.protoc", "-I.", f"-I{files('grpc_tools') / '_proto'}"),
        *("--python_out=gen", "--grpc_python_out=gen", "--mypy_out=quiet:gen", "--mypy_grpc_out=quiet:gen"),
        *contracts,
    ]
    # The protoc plugins of mypy-protobuf lie beside the interpreter.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(  # noqa: S603  # every argument is our own
        command, cwd=PROTOS, env={**os.environ, "PATH": path}, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
