"""What every pod keeps to: Pod Security's `restricted`, and what this project asks for beyond it."""

from __future__ import annotations

from collections.abc import Iterator

from deploy.check.manifests import NAME, PART_OF, Manifests

_RESTRICTED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def restricted(manifests: Manifests) -> Iterator[str]:
    """No token, no root, no variables of other Services."""
    for workload in manifests.workloads:
        pod, name = workload.pod, workload.name
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{name}: has a token of its ServiceAccount"
        account = manifests.named("ServiceAccount", pod.get("serviceAccountName", ""))
        if account is None or account.get("automountServiceAccountToken") is not False:
            yield f"{name}: has no ServiceAccount without a token"
        if pod.get("enableServiceLinks") is not False:
            yield f"{name}: enableServiceLinks would set variables such as MILVUS_PORT=tcp://..."
        context = pod.get("securityContext", {})
        if not context.get("runAsNonRoot") or context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{name}: runs as root or without a seccomp profile"


def containers(manifests: Manifests) -> Iterator[str]:
    """A read-only root, no capabilities, requests and limits."""
    for workload in manifests.workloads:
        for container in workload.containers:
            name = f"{workload.name}/{container['name']}"
            if container.get("securityContext") != _RESTRICTED:
                yield f"{name}: its security context is not that of `restricted` with a read-only root"
            for part in ("requests", "limits"):
                if not {"cpu", "memory"} <= set(container.get("resources", {}).get(part, {})):
                    yield f"{name}: no {part} of CPU and memory"


def replicas_apart(manifests: Manifests) -> Iterator[str]:
    """Replicas are spread, and never all evicted at once."""
    guarded = [one["spec"]["selector"]["matchLabels"].items() for one in manifests.of("PodDisruptionBudget")]
    for workload in manifests.servers:
        name = workload.name
        if not any(labels <= workload.labels.items() for labels in guarded):
            yield f"{name}: no PodDisruptionBudget"
        if workload.labels.get(PART_OF) != "jewelry" or not workload.labels.get(NAME):
            yield f"{name}: its pods lack the labels by which policies and monitors know them"
        spread = workload.pod.get("topologySpreadConstraints", [])
        if workload.manifest["spec"].get("replicas") != 1 and len(spread) != 2:
            yield f"{name}: its replicas may all be in one zone or on one node"
        for one in spread:
            if not one["labelSelector"]["matchLabels"].items() <= workload.labels.items():
                yield f"{name}: is spread by the labels of another"


def selectors(manifests: Manifests) -> Iterator[str]:
    """What selects pods selects some, and a workload selects its own."""
    for service in manifests.of("Service"):
        behind = manifests.behind(service)
        if len(behind) != 1:
            yield f"Service {service['metadata']['name']}: selects {len(behind)} workloads"
    for workload in manifests.workloads:
        wanted = workload.manifest["spec"].get("selector", {}).get("matchLabels", {})
        alike = [one.name for one in manifests.workloads if wanted and wanted.items() <= one.labels.items()]
        if wanted and alike != [workload.name]:
            yield f"{workload.name}: selects the pods of {', '.join(alike) or 'nobody'}"
    for budget in manifests.of("PodDisruptionBudget"):
        labels = budget["spec"]["selector"]["matchLabels"].items()
        if not any(labels <= workload.labels.items() for workload in manifests.workloads):
            yield f"PodDisruptionBudget {budget['metadata']['name']}: selects nothing"
