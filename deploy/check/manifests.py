"""Overlays as they would reach a cluster, and what is asked of them most."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "deploy" / "k8s"
NAME = "app.kubernetes.io/name"
PART_OF = "app.kubernetes.io/part-of"
OURS = "jewelry"
SECONDS = 60.0
_PODS = ("Deployment", "StatefulSet", "Job")

Object = dict[str, Any]


@dataclass(frozen=True)
class Workload:
    """Something that runs pods.

    Attributes:
        manifest: The Deployment, StatefulSet or Job.
    """

    manifest: Object

    @property
    def kind(self) -> str:
        """Such as `Deployment`."""
        return str(self.manifest["kind"])

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.manifest["metadata"]["name"])

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels of its pods."""
        return dict(self.template["metadata"].get("labels", {}))

    @property
    def template(self) -> Object:
        """Template of its pods."""
        template: Object = self.manifest["spec"]["template"]
        return template

    @property
    def pod(self) -> Object:
        """Specification of its pods."""
        spec: Object = self.template["spec"]
        return spec

    @property
    def containers(self) -> list[Object]:
        """All containers, those that run first included."""
        return [*self.pod.get("initContainers", []), *self.pod["containers"]]

    @property
    def main(self) -> Object:
        """The container that the workload is about."""
        container: Object = self.pod["containers"][0]
        return container

    @property
    def image(self) -> str:
        """Last part of the main image's name, without registry and tag."""
        return image_name(self.main["image"])

    @property
    def service(self) -> str:
        """Name of the service of ours that the image holds, such as `vision-index`; empty for others."""
        return self.image.removeprefix(f"{OURS}-") if self.image.startswith(f"{OURS}-") else ""

    @property
    def serves(self) -> bool:
        """True for a service of ours that runs as such; a Job may use its image for something else."""
        return bool(self.service) and self.kind != "Job"

    @property
    def port(self) -> int:
        """Where its callers go, by the container's port that is no metrics'."""
        return next(int(port["containerPort"]) for port in self.main["ports"] if port["name"] != "metrics")


class Manifests:
    """All objects of one overlay."""

    def __init__(self, name: str, objects: Sequence[Object]) -> None:
        self.name = name
        self.objects = list(objects)

    def of(self, *kinds: str) -> list[Object]:
        """Objects of these kinds."""
        return [one for one in self.objects if one["kind"] in kinds]

    def named(self, kind: str, name: str) -> Object | None:
        """The object of this kind and name, if there is one."""
        return next((one for one in self.of(kind) if one["metadata"]["name"] == name), None)

    @property
    def workloads(self) -> list[Workload]:
        """Everything that runs pods."""
        return [Workload(one) for one in self.of(*_PODS)]

    @property
    def servers(self) -> list[Workload]:
        """Our own services."""
        return [workload for workload in self.workloads if workload.serves]

    def environment(self, workload: Workload, secret: str = "") -> dict[str, str]:
        """Variables of the main container as a pod gets them; those of Secrets have the value `secret`.

        Raises:
            KeyError: A ConfigMap that is named is not there.
        """
        found: dict[str, str] = {}
        for source in workload.main.get("envFrom", []):
            name = source["configMapRef"]["name"]
            config = self.named("ConfigMap", name)
            if config is None:
                raise KeyError(f"there is no ConfigMap {name}")
            found.update(config.get("data", {}))
        for entry in workload.main.get("env", []):
            source = entry.get("valueFrom")
            if source is None:
                found[entry["name"]] = entry["value"]
            else:
                found[entry["name"]] = secret if "secretKeyRef" in source else workload.name
        return found

    def behind(self, service: Object) -> list[Workload]:
        """Workloads whose pods a Service selects."""
        wanted = service["spec"]["selector"].items()
        return [workload for workload in self.workloads if wanted <= workload.labels.items()]


def image_name(image: str) -> str:
    """`jewelry-gateway` of `registry.example.com:5000/jewelry-gateway:0.1.0`."""
    return image.rpartition("/")[2].partition("@")[0].partition(":")[0]


def secrets(workload: Workload) -> Iterator[tuple[str, str, str, bool]]:
    """Variable, Secret, key and whether it may be missing, for every variable that comes from a Secret."""
    for container in workload.containers:
        for entry in container.get("env", []):
            reference = entry.get("valueFrom", {}).get("secretKeyRef")
            if reference:
                yield entry["name"], reference["name"], reference["key"], bool(reference.get("optional"))


def folders() -> list[Path]:
    """Every overlay, and every variant that shows a component at work."""
    return sorted(
        path.parent for part in ("overlays", "variants") for path in (K8S / part).glob("*/kustomization.yaml")
    )


def build(folder: Path) -> str:
    """What kustomize makes of a folder, as YAML.

    Raises:
        RuntimeError: It cannot be built, or there is nothing to build it with.
    """
    kubectl, kustomize = shutil.which("kubectl"), shutil.which("kustomize")
    if kubectl is None and kustomize is None:
        raise RuntimeError("neither kubectl nor kustomize is installed")
    command = [kustomize, "build", str(folder)] if kustomize else [str(kubectl), "kustomize", str(folder)]
    made = subprocess.run(command, check=False, capture_output=True, text=True, timeout=SECONDS)  # noqa: S603
    if made.returncode or "Warning" in made.stderr:
        raise RuntimeError(f"{folder.relative_to(ROOT)} cannot be built: {made.stderr.strip()}")
    return made.stdout


def load(folder: Path) -> Manifests:
    """Builds a folder; see `build`."""
    return Manifests(folder.name, [one for one in yaml.safe_load_all(build(folder)) if one])
