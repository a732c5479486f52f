"""The guide names what there is."""

from __future__ import annotations

import re

import pytest
import yaml  # type: ignore[import-untyped]

from deploy.check import code, rules
from deploy.check.manifests import K8S, ROOT

GUIDE = ROOT / "docs" / "deploy.md"


@pytest.fixture(scope="module")
def guide() -> str:
    return GUIDE.read_text(encoding="utf-8")


def test_every_path_is_there(guide: str) -> None:
    paths = set(re.findall(r"\b(deploy/k8s/[\w./-]*\w)", guide))
    paths |= {
        f"deploy/k8s/{path}" for path in re.findall(r"`((?:overlays|components|variants|base)/[\w./-]*\w)`", guide)
    }
    assert len(paths) > 8
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_every_target_is_there(guide: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"\bmake ([a-z]+)", guide)):
        assert re.search(rf"^{target}(-%|[-a-z]*):", makefile, re.MULTILINE), target


def test_every_service_of_the_trial_is_built(guide: str) -> None:
    built = re.search(r'^services="([^"]+)"', guide, re.MULTILINE)
    assert built is not None
    assert set(built.group(1).split()) == set(code.services())


def test_every_variable_is_one(guide: str) -> None:
    known = {name for service in code.services() for name in code.variables(service)}
    named = set(re.findall(r"`([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+)`", guide))
    assert "GATEWAY_API_KEYS" in named
    assert named - known == set()


def test_the_table_of_secrets_is_complete(guide: str) -> None:
    for secret, keys in rules.made_secrets().items():
        if secret in ("postgres", "redis"):
            continue  # a trial's stores alone read them
        row = next(line for line in guide.splitlines() if line.strip().startswith("|") and f"`{secret}`" in line)
        missing = {key for key in keys if key != "s3.json" and f"`{key}`" not in row}
        assert missing == set(), secret


def test_every_component_is_built_by_an_overlay_or_a_variant() -> None:
    used = set()
    for file in K8S.rglob("kustomization.yaml"):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        used |= {(file.parent / path).resolve() for path in content.get("components", [])}
    assert {path.parent for path in (K8S / "components").glob("*/kustomization.yaml")} - used == set()
