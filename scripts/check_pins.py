"""Holds the rule that every package of the environment is pinned in constraints.txt.

Follows what the workspace's members need, and what that needs, through the installed packages.

Usage: python scripts/check_pins.py [--of MEMBER]   (--of lists what one member's image would hold)
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
MANIFESTS = ("pyproject.toml", "protos/", "libs/*/", "services/*/", "scrapers/", "deploy/local/")
# Installed by the Makefile itself: torch from an index of its own, uv and pip as tools.
ELSEWHERE = {"torch", "pip"}


def canonical(name: str) -> str:
    """A package's name as the index knows it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def members() -> Iterator[tuple[str, list[str]]]:
    """Name and requirements of every member; the workspace itself is called `dev`."""
    for pattern in MANIFESTS:
        for path in sorted(ROOT.glob(pattern if pattern.endswith(".toml") else f"{pattern}pyproject.toml")):
            content = tomllib.loads(path.read_text(encoding="utf-8"))
            project = content.get("project", {"name": "dev"})
            groups = [entry for group in content.get("dependency-groups", {}).values() for entry in group]
            yield canonical(project["name"]), [*project.get("dependencies", []), *groups]


def closure(requirements: Iterable[str], installed: dict[str, Distribution]) -> set[str]:
    """Canonical names of everything that the requirements need; what is not installed is left out."""
    todo, seen, found = list(requirements), set(), set()
    while todo:
        requirement = Requirement(todo.pop())
        name, extras = canonical(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen or name not in installed:
            continue
        seen.add((name, extras))
        found.add(name)
        for needed in installed[name].requires or []:
            marker = Requirement(needed).marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                todo.append(needed)
    return found


def main() -> int:
    """Prints what is not pinned, or pinned to another version; 1 when there is something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--of", help="a member, such as jewelry-gateway: list what it needs, and nothing else")
    options = parser.parse_args()
    installed = {canonical(item.metadata["Name"]): item for item in distributions()}
    every = dict(members())
    if options.of:
        print("\n".join(sorted(closure(every[canonical(options.of)], installed))))
        return 0
    pins = (line.partition("==") for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").split())
    pinned = {canonical(name): version for name, _, version in pins}
    needed = closure([entry for entries in every.values() for entry in entries], installed) - set(every) - ELSEWHERE
    problems = [
        f"{name}=={installed[name].version} is needed, and constraints.txt has {pinned.get(name, 'no pin')}"
        for name in sorted(needed)
        if pinned.get(name) != installed[name].version
    ]
    for problem in problems:
        print(problem)
    if not problems:
        print(f"pins: {len(needed)} packages are pinned")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
