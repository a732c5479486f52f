"""The Grafana dashboard, as Grafana 10 to 12 import it (schema version 39)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deploy.monitoring.rules import NAMESPACE, SERVICE, WAIT_SECONDS

UID = "jewelry"
_WIDTH, _HEIGHT, _COLUMNS = 8, 7, 3
_SOURCE = {"type": "prometheus", "uid": "${source}"}


@dataclass(frozen=True)
class Panel:
    """Lines over time: queries with their legends.

    Attributes:
        unit: Grafana's: `s`, `percentunit`, `reqps`, `short`.
        threshold: A line that should not be passed.
    """

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    threshold: float | None = None


def _quantiles(metric: str, by: str, selector: str = "") -> tuple[tuple[str, str], ...]:
    """p50 and p95 of a histogram."""
    return tuple(
        (
            f"histogram_quantile({quantile}, sum by (le, {by}) (rate({metric}_bucket{selector}[$__rate_interval])))",
            f"p{quantile * 100:.0f} {{{{{by}}}}}",
        )
        for quantile in (0.5, 0.95)
    )


ROWS: dict[str, tuple[Panel, ...]] = {
    "What people see": (
        Panel(
            "Requests by path",
            (
                (
                    "sum by (http_route) (rate(http_server_request_duration_seconds_count[$__rate_interval]))",
                    "{{http_route}}",
                ),
            ),
            "reqps",
        ),
        Panel("Answers 5xx", (("jewelry:http_errors:ratio5m", "5xx"),), "percentunit", 0.05),
        Panel(
            "Duration of requests (p95)",
            (
                (
                    "histogram_quantile(0.95, sum by (le, http_route)"
                    " (rate(http_server_request_duration_seconds_bucket[$__rate_interval])))",
                    "{{http_route}}",
                ),
            ),
            "s",
        ),
    ),
    "Jobs": (
        Panel("Jobs that have not ended", (("max by (status) (jewelry_jobs)", "{{status}}"),)),
        Panel("Products pending", (("max(jewelry_job_products_pending)", "products"),)),
        Panel("Oldest job", (("max by (status) (jewelry_job_oldest_seconds)", "{{status}}"),), "s"),
    ),
    "Services": (
        Panel(
            "Calls",
            ((f"sum by ({SERVICE}) (rate(jewelry_rpc_server_seconds_count[$__rate_interval]))", f"{{{{{SERVICE}}}}}"),),
            "reqps",
        ),
        Panel("Errors of their own", (("jewelry:rpc_errors:ratio5m", f"{{{{{SERVICE}}}}}"),), "percentunit", 0.05),
        Panel("Duration of calls", _quantiles("jewelry_rpc_server_seconds", SERVICE), "s"),
        Panel("Calls being served", ((f"sum by ({SERVICE}) (jewelry_rpc_server_active)", f"{{{{{SERVICE}}}}}"),)),
        Panel("Store calls failing", (("jewelry:store_errors:ratio5m", "{{system}}"),), "percentunit", 0.05),
        Panel("Duration of store calls", _quantiles("jewelry_store_call_seconds", "system"), "s"),
    ),
    "Embedder": (
        Panel(
            "Images outstanding per replica",
            (("avg by (lane) (jewelry_embedding_outstanding_images)", "{{lane}}"),),
        ),
        Panel(
            "Queue wait (p95)",
            (("jewelry:embedding_wait_seconds:p95", "interactive"),),
            "s",
            WAIT_SECONDS,
        ),
        Panel(
            "Images by outcome",
            (
                ("sum by (outcome) (rate(jewelry_embedding_images_total[$__rate_interval]))", "{{outcome}}"),
                ("sum by (reason) (rate(jewelry_embedding_refused_total[$__rate_interval]))", "refused: {{reason}}"),
            ),
        ),
        Panel(
            "Replicas", ((f'count(up{{namespace="{NAMESPACE}",{SERVICE}=~"embedding.*"}} == 1)', "serving metrics"),)
        ),
        Panel(
            "Batch size",
            (
                (
                    "sum by (lane) (rate(jewelry_embedding_batch_size_sum[$__rate_interval]))"
                    " / sum by (lane) (rate(jewelry_embedding_batch_size_count[$__rate_interval]))",
                    "{{lane}}",
                ),
            ),
        ),
        Panel(
            "Time of a picture and of a pass (p95)",
            (
                (
                    "histogram_quantile(0.95, sum by (le)"
                    " (rate(jewelry_embedding_preprocess_seconds_bucket[$__rate_interval])))",
                    "prepare",
                ),
                (
                    "histogram_quantile(0.95, sum by (le)"
                    " (rate(jewelry_embedding_infer_seconds_bucket[$__rate_interval])))",
                    "infer",
                ),
            ),
            "s",
        ),
    ),
    "Providers and money": (
        Panel(
            "Calls by outcome",
            (
                (
                    "sum by (provider, outcome) (rate(jewelry_provider_calls_total[$__rate_interval]))",
                    "{{provider}} {{outcome}}",
                ),
            ),
            "reqps",
        ),
        Panel("Duration of calls", _quantiles("jewelry_provider_call_seconds", "provider"), "s"),
        Panel(
            "Rupees an hour",
            (
                (
                    "sum by (model) (rate(jewelry_provider_cost_inr_micros_total[1h])) * 3600 / 1e6",
                    "{{model}}",
                ),
            ),
        ),
        Panel(
            "Tokens",
            (
                (
                    "sum by (model, direction) (rate(jewelry_provider_tokens_total[$__rate_interval]))",
                    "{{model}} {{direction}}",
                ),
            ),
        ),
        Panel(
            "Groups of keys",
            (
                ("max by (group) (jewelry_key_pool_used)", "{{group}}: a minute"),
                ("max by (group) (jewelry_key_pool_waiting)", "{{group}}: waiting"),
                ("max by (group) (jewelry_key_pool_parked)", "{{group}}: parked"),
                ("max by (group) (jewelry_key_pool_quarantined)", "{{group}}: keys refused"),
            ),
        ),
        Panel("Days until models end", (("min by (model) (jewelry_model_days_left)", "{{model}}"),), "d", None),
    ),
    "Index": (
        Panel("Wrong at the last look", (("max by (kind) (jewelry_index_problems)", "{{kind}}"),)),
        Panel("Since the last look", (("time() - max(jewelry_index_looked_timestamp_seconds)", "age"),), "s"),
    ),
}


def dashboard() -> dict[str, Any]:
    """The dashboard."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS.items():
        panels.append(
            {
                "type": "row",
                "title": title,
                "collapsed": False,
                "panels": [],
                "id": len(panels) + 1,
                "gridPos": {"x": 0, "y": top, "w": 24, "h": 1},
            }
        )
        top += 1
        for number, panel in enumerate(row):
            place = {
                "x": _WIDTH * (number % _COLUMNS),
                "y": top + _HEIGHT * (number // _COLUMNS),
                "w": _WIDTH,
                "h": _HEIGHT,
            }
            panels.append(_panel(panel, len(panels) + 1, place))
        top += _HEIGHT * -(-len(row) // _COLUMNS)
    return {
        "uid": UID,
        "title": "Jewelry listings",
        "tags": ["jewelry"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [{"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"}]
        },
        "panels": panels,
    }


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.threshold is not None:
        steps = [{"color": "green", "value": None}, {"color": "red", "value": panel.threshold}]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
        defaults["custom"] = {"thresholdsStyle": {"mode": "line"}}
    return {
        "type": "timeseries",
        "title": panel.title,
        "id": number,
        "gridPos": place,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": expression, "legendFormat": legend, "datasource": _SOURCE}
            for index, (expression, legend) in enumerate(panel.queries)
        ],
    }
