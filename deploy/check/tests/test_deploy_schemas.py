"""The schemas find what they are there for. Needs the tools that `make check-deploy` installs."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.check import schemas
from deploy.check.manifests import Manifests

pytestmark = pytest.mark.slow


def pod(**more: Any) -> dict[str, Any]:
    container = {"name": "a", "image": "a:1"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a"},
        "spec": {"containers": [{**container, **more.pop("container", {})}], **more},
    }


def test_an_unknown_field_is_found_in_every_version() -> None:
    broken = pod(container={"livenesProbe": {"grpc": {"port": 1}}})
    found = list(schemas.builtin([Manifests("broken", [broken])]))
    assert len(found) == len(schemas.VERSIONS)
    assert all("livenesProbe" in sentence for sentence in found)


def test_what_an_old_version_lacks_is_found_there_only() -> None:
    volume = {"name": "weights", "image": {"reference": "weights:1"}}
    found = list(schemas.builtin([Manifests("new", [pod(volumes=[volume])])]))
    assert [sentence.split("Kubernetes ")[1].split(":")[0] for sentence in found] == ["1.29", "1.30"]


def test_a_kind_that_is_gone_is_found() -> None:
    gone = {"apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget", "metadata": {"name": "a"}}
    found = list(schemas.builtin([Manifests("old", [gone])]))
    assert len(found) == len(schemas.VERSIONS)


def test_a_whole_pod_is_taken_by_every_version() -> None:
    probe = {"grpc": {"port": 1, "service": "a"}}
    assert not list(schemas.builtin([Manifests("good", [pod(container={"livenessProbe": probe})])]))


def test_custom_resources_have_schemas_of_their_own() -> None:
    behavior = {"scaleDown": {"stabilisationWindowSeconds": 600}}
    dropped = {
        "scaleTargetRef": {"name": "a"},
        "triggers": [{"type": "cpu", "metadata": {}}],
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}},
    }
    broken = [
        ("keda.sh/v1alpha1", "ScaledObject", {"triggers": []}, "scaleTargetRef"),
        ("monitoring.coreos.com/v1", "PodMonitor", {"selector": "all"}, "selector must be object"),
        ("cert-manager.io/v1", "Certificate", {"secretName": "a"}, "issuerRef"),
        ("keda.sh/v1alpha1", "ScaledThing", {}, "no schema of"),
        # What the operator would drop without a word.
        ("keda.sh/v1alpha1", "ScaledObject", dropped, "stabilisationWindowSeconds"),
    ]
    objects: list[dict[str, Any]] = [
        {"apiVersion": version, "kind": kind, "metadata": {"name": f"number-{index}"}, "spec": spec}
        for index, (version, kind, spec, _) in enumerate(broken)
    ]
    found = list(schemas.custom([Manifests("broken", objects)]))
    assert len(found) == len(broken)
    for index, (_, kind, _, phrase) in enumerate(broken):
        (sentence,) = [one for one in found if one.startswith(f"{kind} number-{index}:")]
        assert phrase in sentence
