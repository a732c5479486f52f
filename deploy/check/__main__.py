"""Checks every overlay and variant of deploy/k8s.

Usage: python -m deploy.check [--quick] [--arrows NAME]

--quick leaves out what needs tools from outside: Kubernetes' schemas, those of custom resources, checkov.
--arrows prints who may connect to whom in an overlay, and checks nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.autoscaling import check as autoscaling
from deploy.check import code, network, schemas
from deploy.check.manifests import Manifests, build, folders, load
from deploy.check.rules import RULES

CHECKOV_SECONDS = 300.0


def project(every: Sequence[Manifests]) -> Iterator[str]:
    """Sentences of the project's own checks."""
    for module in code.unknown_callers():
        yield f"services/{module}: deploy/check/code.py has another list of who calls whom"
    # What make simulate-autoscaling chose.
    yield from autoscaling.manifests()
    for manifests in every:
        for rule in (*RULES, network.check):
            for sentence in rule(manifests):
                yield f"{manifests.name}: {sentence}"


def checkov() -> Iterator[str]:
    """Sentences of checkov, which reads what kustomize makes."""
    with tempfile.TemporaryDirectory() as folder:
        for overlay in folders():
            (Path(folder) / f"{overlay.name}.yaml").write_text(build(overlay), encoding="utf-8")
        command = [
            str(schemas.TOOLS / "checkov" / "bin" / "checkov"),
            "--config-file",
            str(schemas.HERE / "checkov.yaml"),
        ]
        try:
            asked = subprocess.run(  # noqa: S603
                [*command, "--directory", folder],
                check=False,
                capture_output=True,
                text=True,
                timeout=CHECKOV_SECONDS,
            )
        except OSError as error:
            raise RuntimeError("checkov could not be started; make check-deploy installs it") from error
    print("".join(f"  checkov: {line}\n" for line in asked.stdout.splitlines() if line.startswith("Passed")), end="")
    if asked.returncode:
        yield f"checkov:\n{asked.stdout}{asked.stderr[-500:]}"


def main() -> int:
    """Prints what is wrong; 1 when there is something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--arrows", metavar="NAME")
    options = parser.parse_args()
    every = [load(folder) for folder in folders() if options.arrows in (None, folder.name)]
    if options.arrows:
        print("\n".join(network.drawn(manifests) for manifests in every))
        return 0
    problems = list(project(every))
    objects = sum(len(manifests.objects) for manifests in every)
    print(f"deploy: {len(every)} overlays and variants, {objects} objects, {len(RULES) + 1} project checks each")
    if not options.quick:
        problems += schemas.builtin(every)
        print(f"  Kubernetes {schemas.VERSIONS[0]} to {schemas.VERSIONS[-1]}: every object asked, strictly")
        problems += schemas.custom(every)
        print("  custom resources: every object asked")
        problems += checkov()
    for problem in problems:
        print(problem)
    print("deploy: " + (f"{len(problems)} problems" if problems else "the manifests keep the rules"))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
