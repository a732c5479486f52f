"""Each alert on series that must raise it and on series that must not, judged by Prometheus' own promtool."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped,unused-ignore]  # stubs are not installed

from deploy.monitoring import check
from deploy.monitoring.rules import ALERTS, SERVICE, SERVICES, groups

# One sample a minute. Names by alert: series that raise it, series that do not.
Series = dict[str, str]
UP = {f'up{{namespace="jewelry",{SERVICE}="{service}"}}': "1x90" for service in SERVICES}
CASES: dict[str, tuple[Series, Series]] = {
    "KeysParked": (
        {'jewelry_key_pool_parked{group="a"}': "1x90", 'jewelry_key_pool_parked{group="b"}': "0x90"},
        {'jewelry_key_pool_parked{group="a"}': "0x90"},
    ),
    "AllKeysParked": (
        {'jewelry_key_pool_parked{group="a"}': "1x90", 'jewelry_key_pool_parked{group="b"}': "1x90"},
        {'jewelry_key_pool_parked{group="a"}': "1x90", 'jewelry_key_pool_parked{group="b"}': "0x90"},
    ),
    "KeysRefused": (
        {'jewelry_key_pool_quarantined{group="a"}': "2x90"},
        {'jewelry_key_pool_quarantined{group="a"}': "0x90"},
    ),
    "ModelShutdownNear": (
        {'jewelry_model_days_left{model="m"}': "29x90"},
        {'jewelry_model_days_left{model="m"}': "31x90"},
    ),
    "ModelShutdownImminent": (
        {'jewelry_model_days_left{model="m"}': "6x90"},
        {'jewelry_model_days_left{model="m"}': "8x90"},
    ),
    "EmbeddingQueueWait": (
        {
            'jewelry_embedding_queue_wait_seconds_bucket{lane="interactive",le="0.5"}': "0+60x90",
            'jewelry_embedding_queue_wait_seconds_bucket{lane="interactive",le="1"}': "0+100x90",
            'jewelry_embedding_queue_wait_seconds_bucket{lane="interactive",le="+Inf"}': "0+100x90",
        },
        {
            'jewelry_embedding_queue_wait_seconds_bucket{lane="interactive",le="0.5"}': "0+99x90",
            'jewelry_embedding_queue_wait_seconds_bucket{lane="interactive",le="+Inf"}': "0+100x90",
            # Bulk may wait.
            'jewelry_embedding_queue_wait_seconds_bucket{lane="bulk",le="30"}': "0+100x90",
            'jewelry_embedding_queue_wait_seconds_bucket{lane="bulk",le="+Inf"}': "0+100x90",
        },
    ),
    "ImagesRefused": (
        {
            'jewelry_embedding_refused_total{reason="full"}': "0+2x90",
            'jewelry_embedding_images_total{outcome="ok"}': "0+98x90",
        },
        {
            'jewelry_embedding_refused_total{reason="full"}': "0x90",
            'jewelry_embedding_images_total{outcome="ok"}': "0+98x90",
        },
    ),
    "EmbeddingDeviceFails": (
        {'jewelry_embedding_device_failures_total{attempt="retry",pod="e-1"}': "0x80 1x9"},
        {'jewelry_embedding_device_failures_total{attempt="first",pod="e-1"}': "0x80 1x9"},
    ),
    "EmbeddingWorkersLost": (
        {'jewelry_embedding_workers_lost_total{pod="e-1"}': "0x80 8x9"},
        # One picture, and it is tried twice.
        {'jewelry_embedding_workers_lost_total{pod="e-1"}': "0x80 2x9"},
    ),
    "ServiceErrors": (
        {
            f'jewelry_rpc_server_seconds_count{{{SERVICE}="analyzer",code="OK"}}': "0+90x90",
            f'jewelry_rpc_server_seconds_count{{{SERVICE}="analyzer",code="INTERNAL"}}': "0+10x90",
        },
        {
            f'jewelry_rpc_server_seconds_count{{{SERVICE}="analyzer",code="OK"}}': "0+50x90",
            # The callers' own.
            f'jewelry_rpc_server_seconds_count{{{SERVICE}="analyzer",code="INVALID_ARGUMENT"}}': "0+50x90",
        },
    ),
    "GatewayErrors": (
        {
            'http_server_request_duration_seconds_count{http_response_status_code="200"}': "0+90x90",
            'http_server_request_duration_seconds_count{http_response_status_code="503"}': "0+10x90",
        },
        {
            'http_server_request_duration_seconds_count{http_response_status_code="200"}': "0+90x90",
            'http_server_request_duration_seconds_count{http_response_status_code="422"}': "0+10x90",
        },
    ),
    "StoreErrors": (
        {
            'jewelry_store_call_seconds_count{system="s3",outcome="ok"}': "0+90x90",
            'jewelry_store_call_seconds_count{system="s3",outcome="error"}': "0+10x90",
        },
        {
            'jewelry_store_call_seconds_count{system="s3",outcome="ok"}': "0+50x90",
            'jewelry_store_call_seconds_count{system="s3",outcome="refused"}': "0+50x90",
        },
    ),
    "ProviderErrors": (
        {
            'jewelry_provider_calls_total{provider="gemini",outcome="ok"}': "0+70x90",
            'jewelry_provider_calls_total{provider="gemini",outcome="Unavailable"}': "0+30x90",
        },
        {
            'jewelry_provider_calls_total{provider="gemini",outcome="ok"}': "0+90x90",
            'jewelry_provider_calls_total{provider="gemini",outcome="Unavailable"}': "0+10x90",
        },
    ),
    "Orphans": (
        {'jewelry_index_problems{kind="row_without_object"}': "3x90"},
        {
            'jewelry_index_problems{kind="row_without_object"}': "0x90",
            'jewelry_index_problems{kind="wrong_url"}': "3x90",
        },
    ),
    "PicturesUnreadable": (
        {'jewelry_index_problems{kind="unreadable"}': "1x90"},
        {'jewelry_index_problems{kind="unreadable"}': "0x90"},
    ),
    "JobsStuck": ({"jewelry_job_products_pending": "40x90"}, {"jewelry_job_products_pending": "100-1x90"}),
    "JobsNotStarted": (
        {'jewelry_job_oldest_seconds{status="queued"}': "0+60x90"},
        {
            'jewelry_job_oldest_seconds{status="queued"}': "0x90",
            'jewelry_job_oldest_seconds{status="running"}': "0+60x90",
        },
    ),
    "ScrapeMissing": (
        {name: values for name, values in UP.items() if "exporter" not in name},
        {},
    ),
}
# What the series of a case raise besides, rightly.
ALSO = {"AllKeysParked": {"KeysParked"}, "ModelShutdownImminent": {"ModelShutdownNear"}}
"""By the alert of the case; so in its quiet series, which come near to it."""


def promtool_tests() -> dict[str, object]:
    tests = []
    for name, (raising, quiet) in CASES.items():
        # Every other service is there, unless that is what the case is about.
        around = {} if name == "ScrapeMissing" else UP
        also = ALSO.get(name, set())
        for series, raised in ((raising | around, {name} | also), (quiet | UP, also)):
            tests.append(
                {
                    "interval": "1m",
                    "input_series": [{"series": one, "values": values} for one, values in series.items()],
                    "promql_expr_test": [
                        {
                            "expr": 'group by (alertname) (ALERTS{alertstate="firing"})',
                            "eval_time": "85m",
                            "exp_samples": [
                                {"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(raised)
                            ],
                        }
                    ],
                }
            )
    return {"rule_files": ["rules.yaml"], "evaluation_interval": "5m", "tests": tests}


def test_every_alert_has_a_case() -> None:
    assert {alert.name for alert in ALERTS} == set(CASES)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is in Debian's package prometheus")
def test_alerts_are_raised_when_they_should_be_and_only_then(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(groups()), encoding="utf-8")
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(promtool_tests()), encoding="utf-8")
    asked = subprocess.run(
        ["promtool", "test", "rules", "tests.yaml"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert asked.returncode == 0, asked.stdout + asked.stderr


def test_rules_dashboard_pages_and_metrics_fit_together() -> None:
    assert check.problems() == []


def test_a_metric_that_nobody_exports_is_told() -> None:
    (told,) = check.unknown({"panel X": "rate(jewelry_embedding_imagez_total[5m])"})
    assert "jewelry_embedding_imagez_total" in told


def test_a_manifest_that_scales_on_an_unknown_metric_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(
        "kind: ScaledObject\nspec: {triggers: [{metadata: {query: sum(jewelry_nobody_counts)}}]}\n", encoding="utf-8"
    )
    monkeypatch.setattr(check, "K8S", tmp_path)
    monkeypatch.setattr(check, "ROOT", tmp_path)
    texts = check.named()
    assert list(check.unknown(texts)) == ["one.yaml: nobody exports jewelry_nobody_counts"]
