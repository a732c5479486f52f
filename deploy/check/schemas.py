"""Kubernetes' own schemas, strictly, for a range of versions; those of custom resources by their packages."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from deploy.check.manifests import ROOT, Manifests

VERSIONS = tuple(f"1.{minor}" for minor in range(29, 38))
# What needs a later version says so here: image volumes are beta, and let in by Pod Security, since 1.33.
SINCE = {"weights-image": 33}
# Kinds that operators bring.
CUSTOM = ("keda.sh/", "monitoring.coreos.com/", "cert-manager.io/")
# Made by `make check-deploy`: node_modules with schemas of custom resources, an environment with Kubernetes' own.
TOOLS = ROOT / "build" / "tools"
SECONDS = 240.0
HERE = Path(__file__).parent


def builtin(every: Iterable[Manifests], tools: Path = TOOLS) -> Iterator[str]:
    """Sentences about objects that a version of Kubernetes would not take. Unknown fields are errors."""
    asked, seen = [], set()
    for manifests in every:
        for version in VERSIONS:
            if int(version.partition(".")[2]) < SINCE.get(manifests.name, 0):
                continue
            for one in manifests.objects:
                key = (version, json.dumps(one, sort_keys=True))
                if one["apiVersion"].startswith(CUSTOM) or key in seen:
                    continue
                seen.add(key)
                asked.append((manifests.name, version, one))
    python = tools / "schemas" / "bin" / "python"
    answers = _ask([str(python), str(HERE / "tools" / "validate.py")], [entry[1:] for entry in asked])
    for index, sentence in answers:
        name, version, one = asked[index]
        yield f"{name}: {one['kind']} {one['metadata']['name']}, Kubernetes {version}: {sentence}"


def custom(every: Iterable[Manifests], tools: Path = TOOLS) -> Iterator[str]:
    """Sentences about custom resources that their operators would not take."""
    objects = {
        json.dumps(one, sort_keys=True)
        for manifests in every
        for one in manifests.objects
        if one["apiVersion"].startswith(CUSTOM)
    }
    yield from _ask(["node", str(HERE / "crds.mjs"), str(tools)], [json.loads(one) for one in sorted(objects)])


def _ask(command: Sequence[str], question: object) -> list[Any]:
    """The answer of a tool.

    Raises:
        RuntimeError: It could not be asked.
    """
    try:
        asked = subprocess.run(  # noqa: S603
            command, input=json.dumps(question), check=False, capture_output=True, text=True, timeout=SECONDS
        )
    except OSError as error:
        raise RuntimeError(f"{command[0]} could not be started; make check-deploy installs it") from error
    if asked.returncode:
        raise RuntimeError(f"{Path(command[1]).name} failed: {asked.stderr.strip()[-500:]}")
    answer: list[Any] = json.loads(asked.stdout)
    return answer
