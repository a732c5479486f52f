"""Which members of the workspace a member needs, itself included: a path a line. No package is needed to run it.

Usage: python deploy/images/members.py [--needs PACKAGE] MEMBER    (--needs: status 0 if the member asks for PACKAGE)
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("protos", "libs/*", "services/*", "scrapers")


def requirements(member: str) -> list[str]:
    """Names of what a member asks for."""
    content = tomllib.loads((ROOT / member / "pyproject.toml").read_text(encoding="utf-8"))
    return [re.split(r"[^A-Za-z0-9._-]", entry)[0].lower() for entry in content["project"].get("dependencies", [])]


def closure(member: str) -> list[str]:
    """Paths of the member and of every member that it needs, in a stable order."""
    paths = {
        tomllib.loads((path / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]: str(
            path.relative_to(ROOT)
        )
        for place in PLACES
        for path in ROOT.glob(place)
        if (path / "pyproject.toml").exists()
    }
    todo, found = [member], set()
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            todo.extend(paths[name] for name in requirements(path) if name in paths)
    return sorted(found)


def environment(member: str, folder: Path) -> Path:
    """Builds a member's environment in a folder, from what its image would see of the repository; gives its place."""
    source, app = folder / "src", folder / "app"
    for item in ("constraints.txt", "overrides.txt", "scripts/protos.py", "deploy/images", "protos", "libs", member):
        target = source / item
        target.parent.mkdir(parents=True, exist_ok=True)
        ignored = shutil.ignore_patterns("tests", "bench", "__pycache__", "gen")
        if (ROOT / item).is_dir():
            shutil.copytree(ROOT / item, target, ignore=ignored)
        else:
            shutil.copy(ROOT / item, target)
    command = ["deploy/images/install.sh", member, str(app)]
    subprocess.run(command, cwd=source, check=True, env={**os.environ, "PYTHON": sys.executable})  # noqa: S603
    return app


def main() -> int:
    """Prints the paths, or answers --needs by its status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--needs", metavar="PACKAGE")
    parser.add_argument("member")
    options = parser.parse_args()
    members = closure(options.member)
    if options.needs:
        return 0 if any(options.needs in requirements(path) for path in members) else 1
    print("\n".join(f"./{path}" for path in members))
    return 0


if __name__ == "__main__":
    sys.exit(main())
