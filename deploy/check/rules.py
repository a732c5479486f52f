"""Project checks of one overlay: each yields sentences about what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from pydantic import ValidationError

from deploy.check import code, pods
from deploy.check.manifests import K8S, ROOT, Manifests, Workload, image_name, secrets
from servicekit import probe

# How often DRAIN_SECONDS may pass until a process has closed: the gateway lets requests end, then steps of its jobs.
DRAINS = {code.GATEWAY: 2}
# Seconds for closing what a drain leaves.
CLOSING = 10.0
# What a start may take at least: weights are read and the device is warmed up, elsewhere stores are asked.
STARTS = {"embedding": 300.0}
LEAST_START = 60.0
# What answers for a service that speaks HTTP. /readyz asks all the others: a pod is not to be restarted for them, and
# the gateway does much of its work without one of them.
HEALTH = {code.GATEWAY: "/healthz", code.STUDIO: "/_stcore/health"}
SECRET_STAND_IN = "stand-in"  # noqa: S105
WEIGHTS = "jewelry-weights"
# What no pod may start without.
NEEDED = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "GATEWAY_API_KEYS")
EXPORTED = ROOT / "deploy" / "monitoring" / "metrics.txt"
METRIC = re.compile(r"\bjewelry_[a-z0-9_]+")


def variables(manifests: Manifests) -> Iterator[str]:
    """Every variable is a service's, its value can be read, and secrets come from Secrets."""
    known = {name for service in code.services() for name in code.variables(service)}
    hidden = {name for service in code.services() for name in code.variables(service) if code.is_secret(service, name)}
    for config in manifests.of("ConfigMap"):
        if config["metadata"]["name"].startswith("config-"):
            for name in sorted(set(config["data"]) - known):
                yield f"ConfigMap config: no settings class has {name}"
            for name in sorted(set(config["data"]) & hidden):
                yield f"ConfigMap config: the secret {name} is in plain sight"
    for workload in manifests.workloads:
        if not workload.service:
            continue
        own = code.variables(workload.service)
        for entry in (entry for container in workload.containers for entry in container.get("env", [])):
            if entry["name"] not in own:
                yield f"{workload.name}: {entry['name']} is in no settings class of {workload.service}"
            elif code.is_secret(workload.service, entry["name"]) != ("secretKeyRef" in entry.get("valueFrom", {})):
                yield f"{workload.name}: {entry['name']} is a secret in one of settings and manifest only"
        if workload.serves:
            yield from _readable(manifests, workload)


def _readable(manifests: Manifests, workload: Workload) -> Iterator[str]:
    environment = manifests.environment(workload, SECRET_STAND_IN)
    for name in sorted(set(environment) & set(code.variables(workload.service))):
        if code.is_secret(workload.service, name) and environment[name] != SECRET_STAND_IN:
            yield f"{workload.name}: the secret {name} is in plain sight"
    sources = workload.main.get("envFrom", [])
    if len(sources) != 1 and workload.service != code.STUDIO:
        yield f"{workload.name}: settings come from one ConfigMap, not from {len(sources)}"
    try:
        code.read(workload.service, environment)
    except ValidationError as error:
        fields = ", ".join(str(problem["loc"][0]) for problem in error.errors())
        yield f"{workload.name}: its settings cannot be read from these variables: {fields}"


def stores(manifests: Manifests) -> Iterator[str]:
    """No service keeps what matters in a pod: a store that is left out would be an embedded one, and gone with it."""
    for workload in manifests.servers:
        settings = code.read(workload.service, manifests.environment(workload, SECRET_STAND_IN))
        fields = type(settings).model_fields
        if "milvus_host" in fields and not settings.vector_store_uri:
            yield f"{workload.name}: neither MILVUS_HOST nor ZILLIZ_URL; vectors would be lost with the pod"
        if "aws_access_key_id" in fields and settings.aws_access_key_id is None:
            yield f"{workload.name}: no AWS_ACCESS_KEY_ID; objects would be lost with the pod"
        if "database_url" in fields and settings.database_url is None:
            yield f"{workload.name}: no DATABASE_URL; what it keeps would be lost with the pod"
        for variable, secret, _, optional in secrets(workload):
            if optional and variable in NEEDED:
                yield f"{workload.name}: starts without {variable} of the Secret {secret}"


def replicas(manifests: Manifests) -> Iterator[str]:
    """Who may have several replicas, under which names, and who decides how many."""
    scaled = {one["spec"]["scaleTargetRef"]["name"] for one in manifests.of("ScaledObject", "HorizontalPodAutoscaler")}
    for name in sorted(scaled - {workload.name for workload in manifests.workloads}):
        yield f"{name}: is scaled and is not there"
    for workload in manifests.servers:
        count = workload.manifest["spec"].get("replicas")
        if (count is None) != (workload.name in scaled):
            both = "both do" if count is not None else "neither does"
            yield f"{workload.name}: its manifest or an autoscaler says how many replicas there are; {both}"
        if workload.service in ("exporter", "semantic", "studio") and count != 1:
            yield f"{workload.name}: keeps its state in one process, and has {count} replicas"
    for workload in (one for one in manifests.servers if one.service == code.GATEWAY):
        sources = {entry["name"]: entry.get("valueFrom", {}) for entry in workload.main["env"]}
        stable = sources.get("GATEWAY_REPLICA", {}).get("fieldRef", {}).get("fieldPath") == "metadata.name"
        if workload.kind != "StatefulSet" or not stable:
            yield f"{workload.name}: replicas need names that stay: a StatefulSet, GATEWAY_REPLICA from metadata.name"


def ports(manifests: Manifests) -> Iterator[str]:
    """Ports are those of the code, and addresses lead to every replica."""
    for workload in manifests.servers:
        environment = manifests.environment(workload)
        expected = code.default_port(workload.service)
        if workload.port != expected:
            yield f"{workload.name}: its port is {workload.port}, in the code {expected}"
        listens = environment.get(code.address_variable(workload.service))
        if listens != f"0.0.0.0:{expected}":
            yield f"{workload.name}: listens on {listens}"
        named = {port["name"]: port["containerPort"] for port in workload.main["ports"]}
        measured = "metrics_port" in code.settings(workload.service).model_fields
        if measured and str(named.get("metrics")) != environment.get("METRICS_PORT"):
            yield f"{workload.name}: METRICS_PORT is {environment.get('METRICS_PORT')}, not {named.get('metrics')}"
        service = manifests.named("Service", workload.name)
        if service is None:
            yield f"{workload.name}: has no Service"
            continue
        if [port["port"] for port in service["spec"]["ports"]] != [expected]:
            yield f"{workload.name}: its Service has another port than {expected}"
        if workload.service not in HEALTH and service["spec"].get("clusterIP") != "None":
            yield f"{workload.name}: its Service has an address, so that clients would see one replica"
        for name, value in environment.items():
            own = name == code.address_variable(workload.service)
            if name.endswith("_ADDR") and not own and not value.startswith("dns:///"):
                yield f"{workload.name}: {name}={value} does not ask for all replicas (dns:///)"


def probes(manifests: Manifests) -> Iterator[str]:
    """Probes ask what the code answers, the start has time, and life depends on nobody else."""
    for workload in manifests.servers:
        main = workload.main
        if not all(f"{kind}Probe" in main for kind in ("startup", "readiness", "liveness")):
            yield f"{workload.name}: needs a startup, a readiness and a liveness probe"
            continue
        for kind in ("startup", "readiness", "liveness"):
            problem = _probe(manifests, workload, kind)
            if problem:
                yield f"{workload.name}: its {kind} probe {problem}"
        start = main["startupProbe"]
        seconds = start.get("periodSeconds", 10) * start.get("failureThreshold", 3)
        needed = STARTS.get(workload.service, LEAST_START)
        if seconds < needed:
            yield f"{workload.name}: has {seconds} s to start, and may need {needed:.0f}"


def _probe(manifests: Manifests, workload: Workload, kind: str) -> str:
    found = workload.main[f"{kind}Probe"]
    if workload.service in HEALTH:
        asked = found.get("httpGet", {})
        good = asked.get("path") == HEALTH[workload.service] and asked.get("port") == "http"
        return "" if good else f"is not GET {HEALTH[workload.service]}"
    port = code.default_port(workload.service)
    if manifests.environment(workload).get("TLS_CERT"):
        command = ["python", "-m", probe.__name__, f"127.0.0.1:{port}"]
        good = found.get("exec", {}).get("command") == command and "grpc" not in found
        if good and found.get("timeoutSeconds", 1) <= probe.SECONDS:
            return f"gives up before {probe.__name__} does"
        return "" if good else f"is not {' '.join(command)}; Kubernetes' own knows no TLS"
    # Alive is the process as a whole, ready is the interface.
    wanted: dict[str, object] = {"port": port}
    if kind != "liveness":
        wanted["service"] = code.grpc_name(workload.service)
    asked = dict(found.get("grpc", {}))
    if not asked.get("service"):
        asked.pop("service", None)
    return "" if asked == wanted else f"is not gRPC health on {wanted}"


def grace(manifests: Manifests) -> Iterator[str]:
    """A pod that stops has time for the longest call that it may have taken."""
    running = {workload.service: workload for workload in manifests.servers if workload.name == workload.service}
    configured = {
        service: code.read(service, manifests.environment(workload, SECRET_STAND_IN))
        for service, workload in running.items()
        if service != code.STUDIO
    }
    longest = code.deadlines(configured)
    for workload in manifests.servers:
        hook = workload.main.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [])
        sleep = float(hook[1]) if hook[:1] == ["sleep"] else 0.0
        if sleep < 5:
            yield f"{workload.name}: does not wait until endpoints have forgotten it"
        if workload.service not in longest:
            continue
        settings = code.read(workload.service, manifests.environment(workload, SECRET_STAND_IN))
        waits = longest[workload.service]
        if settings.drain_seconds <= waits:
            yield f"{workload.name}: DRAIN_SECONDS is {settings.drain_seconds:g}, callers wait {waits:g} s"
        needed = sleep + DRAINS.get(workload.service, 1) * settings.drain_seconds + CLOSING
        given = workload.pod.get("terminationGracePeriodSeconds", 30)
        if given < needed:
            yield f"{workload.name}: is killed after {given} s, and may need {needed:g} to stop"


def images(manifests: Manifests) -> Iterator[str]:
    """Images are those that `make image-*` builds, or foreign ones with a version."""
    made = {f"jewelry-{path.parent.name}" for path in ROOT.glob("services/*/Dockerfile")} | {WEIGHTS}
    for workload in manifests.workloads:
        volumes = [volume["image"]["reference"] for volume in workload.pod.get("volumes", []) if "image" in volume]
        for image in [*(container["image"] for container in workload.containers), *volumes]:
            tag = image.rpartition("/")[2].partition(":")[2]
            name = image_name(image)
            if not tag or tag == "latest":
                yield f"{workload.name}: {image} has no version"
            if name.startswith("jewelry-") and name not in made:
                yield f"{workload.name}: make image-* builds no {name}"


def metrics(manifests: Manifests) -> Iterator[str]:
    """Every metric that something scales on is exported (the list is made from running services)."""
    exported = set(METRIC.findall(EXPORTED.read_text(encoding="utf-8")))
    for one in manifests.of("ScaledObject", "HorizontalPodAutoscaler"):
        for name in sorted(set(METRIC.findall(str(one["spec"])))):
            if name not in exported:
                yield f"{one['kind']} {one['metadata']['name']}: nobody exports {name}"


def made_secrets() -> dict[str, set[str]]:
    """Secrets and their keys, as `secrets.sh` makes them."""
    text = (K8S / "secrets.sh").read_text(encoding="utf-8")
    found: dict[str, set[str]] = {}
    for name, keys in re.findall(r"^secret ([a-z-]+)((?:[^\n]*\\\n)*[^\n]*)", text, re.MULTILINE):
        found[name] = set(re.findall(r"--from-literal=([A-Za-z0-9_.]+)=", keys))
    return found


def referred_secrets(manifests: Manifests) -> Iterator[str]:
    """Every Secret that a pod of the trial cannot start without is made by `secrets.sh`."""
    if manifests.name != "trial":
        return
    made = made_secrets()
    for workload in manifests.workloads:
        for variable, secret, key, optional in secrets(workload):
            if not optional and key not in made.get(secret, set()):
                yield f"{workload.name}: secrets.sh does not make {key} of {secret}, which {variable} needs"
        for volume in workload.pod.get("volumes", []):
            if "secret" in volume and volume["secret"]["secretName"] not in made:
                yield f"{workload.name}: secrets.sh does not make {volume['secret']['secretName']}"


RULES: Sequence[Callable[[Manifests], Iterator[str]]] = (
    variables,
    stores,
    replicas,
    ports,
    probes,
    grace,
    images,
    pods.restricted,
    pods.containers,
    pods.replicas_apart,
    pods.selectors,
    metrics,
    referred_secrets,
)
