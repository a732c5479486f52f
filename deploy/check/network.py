"""Who may connect to whom by the policies, against who has to by the addresses that services are told."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from deploy.check import code
from deploy.check.manifests import NAME, Manifests, Object, Workload
from deploy.check.rules import SECRET_STAND_IN

# Where the addresses of stores stand, and the ports of a store that is not in the cluster.
STORES = {
    "postgres": {5432},
    "redis": {6379},
    "milvus": {19530, 443},
    "chroma": {443},
    "object-store": {443},
}
_STORE_FIELDS = {
    "database_url": "postgres",
    "redis_url": "redis",
    "milvus_host": "milvus",
    "chroma_url": "chroma",
    "aws_access_key_id": "object-store",
}
# Fields that say that a service asks a provider, or a shop, over the public network.
_PROVIDER_FIELDS = ("google_api_key", "openai_api_key", "products_api_url")
# The hub, once: pods that serve download nothing.
_JOBS = {"weights": {443}}
_PRIVATE = {"10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"}
_PRIVATE_6 = {"::1/128", "fc00::/7", "fe80::/10"}
DOOR, MONITORING = "jewelry-ingress", "jewelry-monitoring"


@dataclass(frozen=True, order=True)
class Arrow:
    """A connection: from and to are workloads, or one of
    `public` (any address but private ones), `anywhere`, `namespace LABEL`."""

    source: str
    target: str
    port: int

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}:{self.port}"


def check(manifests: Manifests) -> Iterator[str]:
    """Sentences about connections that are allowed and not needed, or the reverse."""
    named = {one["metadata"]["name"]: one for one in manifests.of("NetworkPolicy")}
    closed = named.get("default-deny", {}).get("spec", {})
    if closed.get("podSelector") != {} or set(closed.get("policyTypes", [])) != {"Ingress", "Egress"}:
        yield "no policy that denies everything else"
        return
    for name, policy in named.items():
        if not any(_selects(policy["spec"]["podSelector"], workload.labels) for workload in manifests.workloads):
            yield f"NetworkPolicy {name}: selects nothing"
    have, want = allowed(manifests), needed(manifests)
    for arrow in sorted(want - have):
        yield f"{arrow}: is needed and not allowed"
    for arrow in sorted(have - want):
        yield f"{arrow}: is allowed and nobody needs it"


def needed(manifests: Manifests) -> set[Arrow]:
    """Connections that the services make, by their settings."""
    arrows = set()
    for workload in manifests.workloads:
        if workload.name in _JOBS:
            arrows |= {Arrow(workload.name, "public", port) for port in _JOBS[workload.name]}
    for workload in manifests.servers:
        settings = code.read(workload.service, manifests.environment(workload, SECRET_STAND_IN))
        own = code.address_variable(workload.service).lower()
        for field in type(settings).model_fields:
            if (field.endswith("_addr") and field != own) or field == "gateway_url":
                host, port = _place(str(getattr(settings, field)))
                arrows |= _inside(manifests, workload, host, port)
            elif field in _STORE_FIELDS:
                arrows |= _to_store(manifests, workload, settings, field)
            elif field in _PROVIDER_FIELDS:
                arrows.add(Arrow(workload.name, "public", 443))
            elif field == "allowed_image_hosts":
                fetched = importlib.import_module("gateway_service.fetch")._PUBLIC_PORTS
                arrows |= {Arrow(workload.name, "public", port) for port in fetched}
        if manifests.of("PodMonitor") and "metrics_port" in type(settings).model_fields:
            arrows.add(Arrow(f"namespace {MONITORING}", workload.name, settings.metrics_port))
        if getattr(settings, "otel_exporter_otlp_endpoint", None):
            arrows.add(Arrow(workload.name, f"namespace {MONITORING}", _place(settings.otel_exporter_otlp_endpoint)[1]))
        behind_door = workload.service == code.GATEWAY and manifests.of("Ingress")
        if behind_door or workload.service == code.STUDIO:
            arrows.add(Arrow(f"namespace {DOOR}", workload.name, code.default_port(workload.service)))
    return arrows


def _place(address: str) -> tuple[str, int]:
    """Host and port of `dns:///host:port` or `http://host:port`."""
    rest = address.removeprefix("dns:///") if address.startswith("dns:") else urlsplit(address).netloc
    host, _, port = rest.rpartition(":")
    return host, int(port)


def _inside(manifests: Manifests, source: Workload, host: str, port: int) -> set[Arrow]:
    service = manifests.named("Service", host)
    return {Arrow(source.name, target.name, port) for target in manifests.behind(service)} if service else set()


def _to_store(manifests: Manifests, source: Workload, settings: Any, field: str) -> set[Arrow]:
    store = _STORE_FIELDS[field]
    if field == "aws_access_key_id" and settings.aws_endpoint_url_s3:
        host, port = _place(settings.aws_endpoint_url_s3)
    elif field == "chroma_url" and settings.chroma_url and settings.chroma_url.scheme == "http":
        host, port = str(settings.chroma_url.host), int(settings.chroma_url.port or 80)
    elif field == "milvus_host" and settings.milvus_host:
        host, port = settings.milvus_host, settings.milvus_port
    else:
        # In a Secret: by its name in the cluster, or elsewhere.
        host, port = store, min(STORES[store])
    return _inside(manifests, source, host, port) or {Arrow(source.name, "anywhere", one) for one in STORES[store]}


def allowed(manifests: Manifests) -> set[Arrow]:
    """Connections that the policies let through, names' servers aside."""
    arrows = set()
    policies = [one["spec"] for one in manifests.of("NetworkPolicy")]
    for workload in manifests.workloads:
        mine = [policy for policy in policies if _selects(policy["podSelector"], workload.labels)]
        for rule in (rule for policy in mine for rule in policy.get("egress", [])):
            arrows |= {Arrow(workload.name, to, port) for to, port in _peers(manifests, rule, "to")}
        for rule in (rule for policy in mine for rule in policy.get("ingress", [])):
            arrows |= {Arrow(source, workload.name, port) for source, port in _peers(manifests, rule, "from")}
    inside = {workload.name for workload in manifests.workloads}
    # Between two pods both ends have to allow it.
    out = {arrow for arrow in arrows if not (arrow.source in inside and arrow.target in inside)}
    for arrow in arrows - out:
        if _both(manifests, policies, arrow):
            out.add(arrow)
    return out


def _both(manifests: Manifests, policies: list[Object], arrow: Arrow) -> bool:
    named = {workload.name: workload for workload in manifests.workloads}
    source, target = named[arrow.source], named[arrow.target]
    leaves = any(
        (arrow.target, arrow.port) in _peers(manifests, rule, "to")
        for policy in policies
        if _selects(policy["podSelector"], source.labels)
        for rule in policy.get("egress", [])
    )
    enters = any(
        (arrow.source, arrow.port) in _peers(manifests, rule, "from")
        for policy in policies
        if _selects(policy["podSelector"], target.labels)
        for rule in policy.get("ingress", [])
    )
    return leaves and enters


def _peers(manifests: Manifests, rule: Object, side: str) -> set[tuple[str, int]]:
    """Names and ports of one rule. A rule without peers or without ports is open: `anywhere`, port 0."""
    ports = [int(port["port"]) for port in rule.get("ports", [])] or [0]
    names: set[str] = set()
    for peer in rule.get(side, [{}]):
        if "ipBlock" in peer:
            names.add(_block(peer["ipBlock"]))
        elif "namespaceSelector" in peer:
            labels = peer["namespaceSelector"].get("matchLabels", {})
            if labels.get("kubernetes.io/metadata.name") == "kube-system" and set(ports) == {53}:
                continue
            names.add("namespace " + (",".join(sorted(labels)) or "any"))
        elif "podSelector" in peer:
            names |= {one.name for one in manifests.workloads if _selects(peer["podSelector"], one.labels)}
        else:
            names.add("anywhere")
    return {(name, port) for name in names for port in ports}


def _block(block: Mapping[str, Any]) -> str:
    private = _PRIVATE if "." in block["cidr"] else _PRIVATE_6
    return "public" if set(block.get("except", [])) >= private else "anywhere"


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    for wish in selector.get("matchExpressions", []):
        value = labels.get(wish["key"])
        holds = {
            "In": value in wish.get("values", []),
            "NotIn": value not in wish.get("values", []),
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }[wish["operator"]]
        if not holds:
            return False
    return True


def drawn(manifests: Manifests) -> str:
    """The arrows between our own services, for a person to read."""
    own = {workload.name for workload in manifests.workloads if workload.labels.get(NAME)}
    lines = [str(arrow) for arrow in sorted(allowed(manifests)) if arrow.source in own]
    return "\n".join(lines)
