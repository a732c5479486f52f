"""`python -m jewelry_local up|demo`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from jewelry_local.demo import demo
from jewelry_local.up import up


def main() -> int:
    """Runs the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="jewelry_local", description="The whole system on one machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="keep the system running, with one log")
    demonstrate = commands.add_parser("demo", help="take sample products through the main job, then stop")
    demonstrate.add_argument("--samples", type=Path, default=Path("samples"), help="folder of the samples")
    demonstrate.add_argument("--out", type=Path, default=Path("build/demo"), help="folder of stores and workbooks")
    demonstrate.add_argument("--keep", action="store_true", help="go on with the stores of the last demo")
    arguments = parser.parse_args()
    if arguments.command == "up":
        return asyncio.run(up())
    return asyncio.run(demo(arguments.samples, arguments.out, keep=arguments.keep))


if __name__ == "__main__":
    sys.exit(main())
