"""Every overlay keeps the rules, and every rule finds the manifest that breaks it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from deploy.check import code, network, pods, rules
from deploy.check.manifests import K8S, Manifests, build, folders

pytestmark = pytest.mark.skipif(
    not (shutil.which("kubectl") or shutil.which("kustomize")), reason="needs kubectl or kustomize"
)

Rule = Callable[[Manifests], Iterator[str]]
_built: dict[str, list[dict[str, Any]]] = {}


def overlay(name: str) -> Manifests:
    """A copy of an overlay that may be broken; each is built once."""
    if name not in _built:
        folder = next(path for path in folders() if path.name == name)
        _built[name] = [one for one in yaml.safe_load_all(build(folder)) if one]
    return Manifests(name, deepcopy(_built[name]))


def workload(manifests: Manifests, name: str) -> dict[str, Any]:
    return next(one.manifest for one in manifests.workloads if one.name == name)


def pod(manifests: Manifests, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = workload(manifests, name)["spec"]["template"]["spec"]
    return spec


def main(manifests: Manifests, name: str) -> dict[str, Any]:
    container: dict[str, Any] = pod(manifests, name)["containers"][0]
    return container


def variable(manifests: Manifests, name: str, key: str, value: str) -> None:
    entries = [entry for entry in main(manifests, name)["env"] if entry["name"] != key]
    main(manifests, name)["env"] = [*entries, {"name": key, "value": value}]


def config(manifests: Manifests) -> dict[str, str]:
    found = next(one for one in manifests.of("ConfigMap") if one["metadata"]["name"].startswith("config-"))
    data: dict[str, str] = found["data"]
    return data


def policy(manifests: Manifests, name: str) -> dict[str, Any]:
    found = manifests.named("NetworkPolicy", name)
    assert found is not None
    spec: dict[str, Any] = found["spec"]
    return spec


def drop(manifests: Manifests, kind: str, name: str) -> None:
    manifests.objects = [o for o in manifests.objects if (o["kind"], o["metadata"]["name"]) != (kind, name)]


def test_every_overlay_and_variant_keeps_every_rule() -> None:
    assert len(folders()) >= 6
    for folder in folders():
        manifests = overlay(folder.name)
        problems = [sentence for rule in (*rules.RULES, network.check) for sentence in rule(manifests)]
        assert problems == [], folder.name


def test_who_calls_whom_is_the_same_list_in_code_and_check() -> None:
    assert code.unknown_callers() == []


def break_unknown_variable(m: Manifests) -> None:
    variable(m, "embedding", "EMBED_MAGIC", "1")


def break_unknown_config(m: Manifests) -> None:
    config(m)["GRPC_MAX_AGE"] = "1"


def break_plain_secret(m: Manifests) -> None:
    variable(m, "analyzer", "GOOGLE_API_KEY", "AIza-in-plain-sight")


def break_secret_in_config(m: Manifests) -> None:
    config(m)["OPENAI_API_KEY"] = "sk-in-plain-sight"


def break_value(m: Manifests) -> None:
    # What a service link of Kubernetes would do.
    config(m)["MILVUS_PORT"] = "tcp://10.0.0.1:19530"


def break_vectors(m: Manifests) -> None:
    del config(m)["MILVUS_HOST"]


def break_objects(m: Manifests) -> None:
    main(m, "exporter")["env"] = [e for e in main(m, "exporter")["env"] if not e["name"].startswith("AWS_")]


def break_optional_database(m: Manifests) -> None:
    for entry in main(m, "gateway")["env"]:
        if entry["name"] == "DATABASE_URL":
            entry["valueFrom"]["secretKeyRef"]["optional"] = True


def break_replica_names(m: Manifests) -> None:
    variable(m, "gateway", "GATEWAY_REPLICA", "gateway")


def break_single(m: Manifests) -> None:
    workload(m, "exporter")["spec"]["replicas"] = 2


def break_scaled(m: Manifests) -> None:
    workload(m, "embedding")["spec"]["replicas"] = 3


def break_scale_target(m: Manifests) -> None:
    for one in m.of("ScaledObject"):
        one["spec"]["scaleTargetRef"]["name"] = "embeding"


def break_port(m: Manifests) -> None:
    for port in main(m, "semantic")["ports"]:
        if port["name"] == "grpc":
            port["containerPort"] = 50057


def break_listen(m: Manifests) -> None:
    variable(m, "vision-index", "VISION_INDEX_ADDR", "127.0.0.1:50052")


def break_metrics_port(m: Manifests) -> None:
    config(m)["METRICS_PORT"] = "9090"


def break_service_port(m: Manifests) -> None:
    service = m.named("Service", "analyzer")
    assert service is not None
    service["spec"]["ports"][0]["port"] = 80


def break_headless(m: Manifests) -> None:
    service = m.named("Service", "embedding")
    assert service is not None
    del service["spec"]["clusterIP"]


def break_round_robin(m: Manifests) -> None:
    config(m)["EMBEDDING_ADDR"] = "10.0.0.7:50051"


def break_probe_service(m: Manifests) -> None:
    main(m, "copywriter")["readinessProbe"]["grpc"]["service"] = "jewelry.copywriter.v1.Copywriter"


def break_liveness_on_others(m: Manifests) -> None:
    main(m, "gateway")["livenessProbe"]["httpGet"]["path"] = "/readyz"


def break_no_startup(m: Manifests) -> None:
    del main(m, "embedding")["startupProbe"]


def break_hasty_startup(m: Manifests) -> None:
    main(m, "embedding")["startupProbe"]["failureThreshold"] = 3


def break_tls_probe(m: Manifests) -> None:
    main(m, "embedding")["livenessProbe"] = {"grpc": {"port": 50051}}


def break_drain(m: Manifests) -> None:
    variable(m, "copywriter", "DRAIN_SECONDS", "60")


def break_grace(m: Manifests) -> None:
    pod(m, "gateway")["terminationGracePeriodSeconds"] = 330


def break_longer_deadline(m: Manifests) -> None:
    # Nothing but a caller's setting changes: the embedder's grace has to follow.
    variable(m, "vision-index", "EMBEDDING_TIMEOUT", "90")


def break_pre_stop(m: Manifests) -> None:
    del main(m, "analyzer")["lifecycle"]


def break_image_name(m: Manifests) -> None:
    main(m, "analyzer")["image"] = "registry.example.com/jewelry-analyser:0.1.0"
    workload(m, "analyzer")["kind"] = "Job"


def break_image_tag(m: Manifests) -> None:
    main(m, "milvus")["image"] = "milvusdb/milvus:latest"


def break_token(m: Manifests) -> None:
    del pod(m, "gateway")["automountServiceAccountToken"]


def break_links(m: Manifests) -> None:
    del pod(m, "vision-index")["enableServiceLinks"]


def break_root(m: Manifests) -> None:
    del pod(m, "redis")["securityContext"]["runAsNonRoot"]


def break_writable(m: Manifests) -> None:
    main(m, "exporter")["securityContext"]["readOnlyRootFilesystem"] = False


def break_limits(m: Manifests) -> None:
    del main(m, "chroma")["resources"]["limits"]["memory"]


def break_budget(m: Manifests) -> None:
    drop(m, "PodDisruptionBudget", "semantic")


def break_spread(m: Manifests) -> None:
    pod(m, "gateway")["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"] = {"app": "gateway"}


def break_selector(m: Manifests) -> None:
    service = m.named("Service", "chroma")
    assert service is not None
    service["spec"]["selector"] = {"app": "chroma"}


def break_metric(m: Manifests) -> None:
    for one in m.of("ScaledObject"):
        one["spec"]["triggers"][-1]["metadata"]["query"] = "sum(jewelry_embedding_outstanding_pictures)"


def break_secret_file(m: Manifests) -> None:
    for entry in main(m, "studio")["env"]:
        if entry["name"] == "STUDIO_PASSWORD":
            entry["valueFrom"]["secretKeyRef"]["key"] = "PASSWORD"


BROKEN: list[tuple[str, Callable[[Manifests], None], Rule, str]] = [
    ("trial", break_unknown_variable, rules.variables, "EMBED_MAGIC is in no settings class"),
    ("trial", break_unknown_config, rules.variables, "no settings class has GRPC_MAX_AGE"),
    ("trial", break_plain_secret, rules.variables, "GOOGLE_API_KEY is a secret"),
    ("trial", break_secret_in_config, rules.variables, "the secret OPENAI_API_KEY is in plain sight"),
    ("trial", break_value, rules.variables, "cannot be read from these variables: milvus_port"),
    ("trial", break_vectors, rules.stores, "neither MILVUS_HOST nor ZILLIZ_URL"),
    ("trial", break_objects, rules.stores, "exporter: no AWS_ACCESS_KEY_ID"),
    ("trial", break_optional_database, rules.stores, "gateway: starts without DATABASE_URL"),
    ("trial", break_replica_names, rules.replicas, "names that stay"),
    ("trial", break_single, rules.replicas, "exporter: keeps its state in one process"),
    ("gpu", break_scaled, rules.replicas, "embedding: its manifest or an autoscaler"),
    ("gpu", break_scale_target, rules.replicas, "embeding: is scaled and is not there"),
    ("trial", break_port, rules.ports, "semantic: its port is 50057, in the code 50056"),
    ("trial", break_listen, rules.ports, "vision-index: listens on 127.0.0.1:50052"),
    ("trial", break_metrics_port, rules.ports, "METRICS_PORT is 9090, not 9464"),
    ("trial", break_service_port, rules.ports, "its Service has another port than 50053"),
    ("trial", break_headless, rules.ports, "clients would see one replica"),
    ("trial", break_round_robin, rules.ports, "does not ask for all replicas"),
    ("trial", break_probe_service, rules.probes, "copywriter: its readiness probe is not gRPC health"),
    ("trial", break_liveness_on_others, rules.probes, "gateway: its liveness probe is not GET /healthz"),
    ("trial", break_no_startup, rules.probes, "embedding: needs a startup"),
    ("trial", break_hasty_startup, rules.probes, "embedding: has 15 s to start, and may need 300"),
    ("mtls", break_tls_probe, rules.probes, "Kubernetes' own knows no TLS"),
    ("trial", break_drain, rules.grace, "copywriter: DRAIN_SECONDS is 60, callers wait 310 s"),
    ("trial", break_grace, rules.grace, "gateway: is killed after 330 s, and may need 650"),
    ("trial", break_longer_deadline, rules.grace, "embedding: DRAIN_SECONDS is 100, callers wait 154 s"),
    ("trial", break_pre_stop, rules.grace, "analyzer: does not wait until endpoints have forgotten it"),
    ("trial", break_image_name, rules.images, "builds no jewelry-analyser"),
    ("trial", break_image_tag, rules.images, "milvusdb/milvus:latest has no version"),
    ("trial", break_token, pods.restricted, "gateway: has a token"),
    ("trial", break_links, pods.restricted, "vision-index: enableServiceLinks"),
    ("trial", break_root, pods.restricted, "redis: runs as root"),
    ("trial", break_writable, pods.containers, "exporter/service: its security context"),
    ("trial", break_limits, pods.containers, "chroma/store: no limits"),
    ("trial", break_budget, pods.replicas_apart, "semantic: no PodDisruptionBudget"),
    ("production", break_spread, pods.replicas_apart, "gateway: is spread by the labels of another"),
    ("trial", break_selector, pods.selectors, "Service chroma: selects 0 workloads"),
    ("gpu", break_metric, rules.metrics, "nobody exports jewelry_embedding_outstanding_pictures"),
    ("trial", break_secret_file, rules.referred_secrets, "secrets.sh does not make PASSWORD of studio"),
]


@pytest.mark.parametrize(("name", "breaking", "rule", "phrase"), BROKEN, ids=[entry[1].__name__ for entry in BROKEN])
def test_a_broken_manifest_is_found(name: str, breaking: Callable[[Manifests], None], rule: Rule, phrase: str) -> None:
    manifests = overlay(name)
    breaking(manifests)
    found = list(rule(manifests))
    assert any(phrase in sentence for sentence in found), found


def test_every_rule_has_a_manifest_that_breaks_it() -> None:
    assert {entry[2] for entry in BROKEN} == set(rules.RULES)


def unneeded_ingress(m: Manifests) -> None:
    policy(m, "exporter")["ingress"][0]["from"].append(
        {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "semantic"}}}
    )
    policy(m, "semantic")["egress"].append(
        {
            "to": [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "exporter"}}}],
            "ports": [{"port": 50055}],
        }
    )


def missing_egress(m: Manifests) -> None:
    policy(m, "vision-index")["egress"] = []


def missing_ingress(m: Manifests) -> None:
    policy(m, "analyzer")["ingress"][0]["from"] = [
        {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "gateway"}}}
    ]


def open_to_the_world(m: Manifests) -> None:
    policy(m, "embedding")["egress"] = [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 443}]}]


def private_addresses(m: Manifests) -> None:
    for rule in policy(m, "gateway")["egress"]:
        for peer in rule["to"]:
            peer.get("ipBlock", {}).pop("except", None)


def everything(m: Manifests) -> None:
    policy(m, "semantic")["ingress"] = [{}]


def no_default(m: Manifests) -> None:
    drop(m, "NetworkPolicy", "default-deny")


def moved_store(m: Manifests) -> None:
    config(m)["MILVUS_HOST"] = "milvus.example.com"


def blind_policy(m: Manifests) -> None:
    policy(m, "to-redis")["podSelector"] = {"matchLabels": {"app": "analyzer"}}


@pytest.mark.parametrize(
    ("breaking", "phrase"),
    [
        (unneeded_ingress, "semantic -> exporter:50055: is allowed and nobody needs it"),
        (missing_egress, "vision-index -> embedding:50051: is needed and not allowed"),
        (missing_ingress, "semantic -> analyzer:50053: is needed and not allowed"),
        (open_to_the_world, "embedding -> anywhere:443: is allowed and nobody needs it"),
        (private_addresses, "gateway -> public:443: is needed and not allowed"),
        (everything, "anywhere -> semantic:0: is allowed and nobody needs it"),
        (no_default, "no policy that denies everything else"),
        (moved_store, "vision-index -> anywhere:19530: is needed and not allowed"),
        (blind_policy, "NetworkPolicy to-redis: selects nothing"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_connection_too_many_or_too_few_is_found(breaking: Callable[[Manifests], None], phrase: str) -> None:
    manifests = overlay("trial")
    breaking(manifests)
    assert phrase in list(network.check(manifests))


def test_the_arrows_between_services_are_those_of_the_architecture() -> None:
    ours = set(code.services())
    inside = {(a.source, a.target) for a in network.allowed(overlay("trial")) if {a.source, a.target} <= ours}
    assert inside == {
        *((code.GATEWAY, name) for name in ours - {code.GATEWAY, code.STUDIO}),
        (code.STUDIO, code.GATEWAY),
        ("vision-index", "embedding"),
        ("copywriter", "embedding"),
        ("semantic", "analyzer"),
        ("semantic", "copywriter"),
    }


def test_a_trial_fits_on_one_node_with_4_cpus_and_16_gib() -> None:
    cpu = memory = 0.0
    for one in overlay("trial").workloads:
        asked = one.main["resources"]["requests"]
        cpu += float(asked["cpu"].removesuffix("m")) / (1000 if asked["cpu"].endswith("m") else 1)
        memory += float(asked["memory"][:-2]) / (1 if asked["memory"].endswith("Gi") else 1024)
    # Half a CPU and 2 GiB are left for the node itself.
    assert cpu <= 3.5
    assert memory <= 14


def test_a_gpu_is_asked_for_by_embedders_only_and_the_bulk_tier_costs_nothing() -> None:
    manifests = overlay("gpu")
    asking = [one.name for one in manifests.workloads if "nvidia.com/gpu" in one.main["resources"]["limits"]]
    assert sorted(asking) == ["embedding", "embedding-bulk"]
    scaled = {one["metadata"]["name"]: one["spec"] for one in manifests.of("ScaledObject")}
    assert scaled["embedding-bulk"]["minReplicaCount"] == 0
    assert scaled["embedding"]["minReplicaCount"] >= 1
    assert workload(manifests, "vision-index-bulk")["spec"]["replicas"] == 0


def test_the_base_alone_can_be_built() -> None:
    assert build(K8S / "base").count("kind: NetworkPolicy") == 9
