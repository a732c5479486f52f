"""Alerts and recording rules: the one place where thresholds stand.

Labels of a target are those of `deploy/k8s/components/monitoring`: `namespace`, `pod`, and `app_kubernetes_io_name`,
which is the service.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

# Where a page is found that tells what to do: a path of the repository. Put the address at which it is read in front.
RUNBOOKS = "docs/runbooks"
NAMESPACE = "jewelry"
SERVICE = "app_kubernetes_io_name"
SERVICES = ("gateway", "vision-index", "embedding", "analyzer", "copywriter", "exporter", "semantic")

# What is the server's fault (servicekit.interceptors) and not the caller's.
FAULTS = "UNKNOWN|DEADLINE_EXCEEDED|INTERNAL|UNAVAILABLE|DATA_LOSS"
# The autoscaling's own bound (deploy/autoscaling/simulate.py).
WAIT_SECONDS = 0.5
# What a repair pass can leave, and that nobody mends by itself.
ORPHANS = "object_without_row|row_without_object"


@dataclass(frozen=True)
class Record:
    """A recording rule."""

    name: str
    expression: str


@dataclass(frozen=True)
class Alert:
    """An alert; its page is `docs/runbooks/<name>.md`.

    Attributes:
        wait: How long it must hold, as Prometheus writes it.
        severity: `page` is for at once, `ticket` for the next working day.
        summary: One sentence; `{{ }}` as in Prometheus.
        service: Which service it is about, where there is one such alert for each.
    """

    name: str
    expression: str
    wait: str
    severity: Literal["page", "ticket"]
    summary: str
    service: str = ""


RECORDS = (
    Record(
        "jewelry:rpc_errors:ratio5m",
        f'sum by ({SERVICE}) (rate(jewelry_rpc_server_seconds_count{{code=~"{FAULTS}"}}[5m]))'
        f" / sum by ({SERVICE}) (rate(jewelry_rpc_server_seconds_count[5m]))",
    ),
    Record(
        "jewelry:http_errors:ratio5m",
        'sum(rate(http_server_request_duration_seconds_count{http_response_status_code=~"5.."}[5m]))'
        " / sum(rate(http_server_request_duration_seconds_count[5m]))",
    ),
    Record(
        "jewelry:embedding_wait_seconds:p95",
        "histogram_quantile(0.95,"
        ' sum by (le) (rate(jewelry_embedding_queue_wait_seconds_bucket{lane="interactive"}[5m])))',
    ),
    Record(
        "jewelry:embedding_refused:ratio5m",
        "sum(rate(jewelry_embedding_refused_total[5m]))"
        " / (sum(rate(jewelry_embedding_refused_total[5m])) + sum(rate(jewelry_embedding_images_total[5m])))",
    ),
    Record(
        "jewelry:store_errors:ratio5m",
        'sum by (system) (rate(jewelry_store_call_seconds_count{outcome="error"}[5m]))'
        " / sum by (system) (rate(jewelry_store_call_seconds_count[5m]))",
    ),
    Record(
        "jewelry:provider_errors:ratio5m",
        'sum by (provider) (rate(jewelry_provider_calls_total{outcome!="ok"}[5m]))'
        " / sum by (provider) (rate(jewelry_provider_calls_total[5m]))",
    ),
)

ALERTS = (
    Alert(
        "KeysParked",
        "max by (group) (jewelry_key_pool_parked) == 1",
        "5m",
        "ticket",
        "The day's quota of the Gemini keys of group {{ $labels.group }} is used up.",
    ),
    Alert(
        "AllKeysParked",
        "min(max by (group) (jewelry_key_pool_parked)) == 1",
        "2m",
        "page",
        "Every group of Gemini keys has used up its day's quota; nothing is analyzed.",
    ),
    Alert(
        "KeysRefused",
        "max by (group) (jewelry_key_pool_quarantined) > 0",
        "5m",
        "ticket",
        "{{ $value }} Gemini keys of group {{ $labels.group }} are refused by the provider.",
    ),
    Alert(
        "ModelShutdownNear",
        "min by (model) (jewelry_model_days_left) < 30",
        "1h",
        "ticket",
        "The provider ends the model {{ $labels.model }} in {{ $value }} days.",
    ),
    Alert(
        "ModelShutdownImminent",
        "min by (model) (jewelry_model_days_left) < 7",
        "1h",
        "page",
        "The provider ends the model {{ $labels.model }} in {{ $value }} days.",
    ),
    Alert(
        "EmbeddingQueueWait",
        f"jewelry:embedding_wait_seconds:p95 > {WAIT_SECONDS}",
        "5m",
        "page",
        "Pictures that a person waits for wait {{ $value | humanizeDuration }} for the embedder (p95).",
    ),
    Alert(
        "ImagesRefused",
        "jewelry:embedding_refused:ratio5m > 0.01",
        "5m",
        "page",
        "The embedder refuses {{ $value | humanizePercentage }} of the pictures.",
    ),
    Alert(
        "EmbeddingDeviceFails",
        'sum by (pod) (increase(jewelry_embedding_device_failures_total{attempt="retry"}[10m])) > 0',
        "0m",
        "page",
        "The device of {{ $labels.pod }} failed the same pictures twice.",
    ),
    Alert(
        "EmbeddingWorkersLost",
        "sum by (pod) (increase(jewelry_embedding_workers_lost_total[10m])) > 4",
        "0m",
        "ticket",
        "{{ $labels.pod }} lost {{ $value }} decoding processes in 10 minutes, to pictures or for want of memory.",
    ),
    Alert(
        "ServiceErrors",
        "jewelry:rpc_errors:ratio5m > 0.05",
        "5m",
        "page",
        f"{{{{ $value | humanizePercentage }}}} of the calls to {{{{ $labels.{SERVICE} }}}} end with its own errors.",
    ),
    Alert(
        "GatewayErrors",
        "jewelry:http_errors:ratio5m > 0.05",
        "5m",
        "page",
        "{{ $value | humanizePercentage }} of the requests are answered with 5xx.",
    ),
    Alert(
        "StoreErrors",
        "jewelry:store_errors:ratio5m > 0.05",
        "5m",
        "page",
        "{{ $value | humanizePercentage }} of the calls to {{ $labels.system }} fail.",
    ),
    Alert(
        "ProviderErrors",
        "jewelry:provider_errors:ratio5m > 0.2",
        "10m",
        "ticket",
        "{{ $value | humanizePercentage }} of the requests to {{ $labels.provider }} fail.",
    ),
    Alert(
        "Orphans",
        f'max by (kind) (jewelry_index_problems{{kind=~"{ORPHANS}"}}) > 0',
        "15m",
        "ticket",
        "The last look through the index left {{ $value }} of kind {{ $labels.kind }}.",
    ),
    Alert(
        "PicturesUnreadable",
        'max by (kind) (jewelry_index_problems{kind=~"unreadable|failed"}) > 0',
        "15m",
        "ticket",
        "The last look through the index could not mend {{ $value }} pictures ({{ $labels.kind }}).",
    ),
    Alert(
        "JobsStuck",
        "min_over_time(max(jewelry_job_products_pending)[30m:1m]) > 0"
        " and changes(max(jewelry_job_products_pending)[30m:1m]) == 0",
        "5m",
        "page",
        "{{ $value }} products of jobs wait, and none was finished for half an hour.",
    ),
    Alert(
        "JobsNotStarted",
        'max(jewelry_job_oldest_seconds{status="queued"}) > 300',
        "5m",
        "page",
        "A job was taken {{ $value | humanizeDuration }} ago and nobody has begun it.",
    ),
    *(
        Alert(
            "ScrapeMissing",
            f'absent(up{{namespace="{NAMESPACE}",{SERVICE}="{service}"}} == 1)',
            "5m",
            "page",
            f"No metrics of {service} arrive: it is down, or cannot be scraped.",
            service,
        )
        for service in SERVICES
    ),
)


def groups() -> dict[str, Any]:
    """The rules as a file of Prometheus."""
    return {
        "groups": [
            {"name": "jewelry.records", "rules": [{"record": one.name, "expr": one.expression} for one in RECORDS]},
            {"name": "jewelry.alerts", "rules": [_rule(one) for one in ALERTS]},
        ]
    }


def prometheus_rule() -> dict[str, Any]:
    """The same for Prometheus' operator."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "jewelry"},
        "spec": groups(),
    }


def _rule(alert: Alert) -> dict[str, Any]:
    about = {"service": alert.service} if alert.service else {}
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": alert.wait,
        "labels": {"severity": alert.severity, **about},
        "annotations": {"summary": alert.summary, "runbook_url": f"{RUNBOOKS}/{alert.name}.md"},
    }
