"""Holds the manifests against `chosen.toml`, and `chosen.toml` against the simulation."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped,unused-ignore]  # stubs are not installed

from deploy.autoscaling.hpa import Rules
from deploy.autoscaling.simulate import BEHAVIOR, Candidate

CHOSEN = Path(__file__).with_name("chosen.toml")
K8S = Path(__file__).resolve().parents[1] / "k8s"
SCALED_OBJECT = K8S / "components" / "keda" / "embedding.yaml"
HPA = K8S / "components" / "hpa" / "embedding.yaml"


def chosen() -> dict[str, Any]:
    """The settings that the manifests must have."""
    return tomllib.loads(CHOSEN.read_text(encoding="utf-8"))


def against_choice(curve: str, best: Candidate) -> list[str]:
    """Where `chosen.toml` is not the candidate that the simulation found best for a curve."""
    said = chosen()[curve]
    wanted = {"outstanding": best.outstanding, "wait": best.wait}
    return [
        f"chosen.toml: {curve}.{name} is {said.get(name)}, the simulation chooses {value}"
        for name, value in wanted.items()
        if said.get(name) != value
    ]


def manifests(scaled_object: Path = SCALED_OBJECT, hpa: Path = HPA) -> list[str]:
    """Where the ScaledObject (GPU) and the HorizontalPodAutoscaler (CPU) are not as chosen."""
    every = chosen()
    found = list(_scaled_object(_read(scaled_object)["spec"], every["gpu"])) if scaled_object.exists() else []
    if hpa.exists():
        found += _hpa(_read(hpa)["spec"], every["cpu"])
    return found


def _read(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def _scaled_object(spec: Mapping[str, Any], said: Mapping[str, Any]) -> Iterator[str]:
    triggers = {trigger["name"]: trigger for trigger in spec["triggers"]}
    actual = {
        "outstanding": float(triggers["outstanding"]["metadata"]["threshold"]),
        "wait": float(triggers["wait"]["metadata"]["threshold"]),
        "minimum": spec["minReplicaCount"],
        "maximum": spec["maxReplicaCount"],
        "polling_seconds": spec["pollingInterval"],
        "fallback_replicas": spec["fallback"]["replicas"],
    }
    yield from _differences("ScaledObject embedding", actual, said)
    yield from _behavior("ScaledObject embedding", spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"])


def _hpa(spec: Mapping[str, Any], said: Mapping[str, Any]) -> Iterator[str]:
    (metric,) = [one["pods"] for one in spec["metrics"] if one["type"] == "Pods"]
    actual = {
        "outstanding": _quantity(str(metric["target"]["averageValue"])),
        "minimum": spec["minReplicas"],
        "maximum": spec["maxReplicas"],
    }
    yield from _differences("HorizontalPodAutoscaler embedding", actual, said)
    if metric["metric"].get("selector", {}).get("matchLabels") != {"lane": "interactive"}:
        yield "HorizontalPodAutoscaler embedding: counts bulk too; its metric needs the selector lane=interactive"
    yield from _behavior("HorizontalPodAutoscaler embedding", spec["behavior"])


def _differences(what: str, actual: Mapping[str, Any], said: Mapping[str, Any]) -> Iterator[str]:
    for name, value in actual.items():
        if value != said[name]:
            yield f"{what}: {name} is {value}, chosen.toml says {said[name]}"


def _quantity(text: str) -> float:
    """A number of Kubernetes: `2`, or thousandths as `1800m`."""
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def behavior() -> dict[str, Any]:
    """The behaviour that was simulated, as manifests write it."""
    return {"scaleUp": _as_manifest(BEHAVIOR.up), "scaleDown": _as_manifest(BEHAVIOR.down)}


def _behavior(what: str, actual: Mapping[str, Any]) -> Iterator[str]:
    for direction, rules in behavior().items():
        if actual[direction] != rules:
            yield f"{what}: {direction} is not what was simulated: {rules}"


def _as_manifest(rules: Rules) -> dict[str, Any]:
    return {
        "stabilizationWindowSeconds": rules.stabilization_seconds,
        "policies": [
            {"type": policy.type, "value": policy.value, "periodSeconds": policy.period_seconds}
            for policy in rules.policies
        ],
    }
