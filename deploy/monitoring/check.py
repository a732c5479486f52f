"""Checks rules, dashboard, pages and manifests against each other and against what services export.

Usage: python -m deploy.monitoring.check [--write] [--online]

Without arguments, quickly: the generated files are those that the code makes, every alert has its page, and every
metric that rules, dashboard or manifests name is in `metrics.txt`. --write makes the files. --online starts the system
with emulated providers, takes a product through it, scrapes every service and compares with `metrics.txt`; with --write
it replaces that record.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml  # type: ignore[import-untyped,unused-ignore]  # stubs are not installed

from deploy.monitoring import exported
from deploy.monitoring.dashboard import dashboard
from deploy.monitoring.rules import ALERTS, RECORDS, RUNBOOKS, groups, prometheus_rule

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
K8S = HERE.parent / "k8s"
METRIC = re.compile(r"\b(?:jewelry_|http_server_)[a-z0-9_]+")
_MADE = "# Made by python -m deploy.monitoring.check --write; change rules.py instead.\n"


def made() -> dict[Path, str]:
    """Files that the code makes, with what is in them."""
    return {
        HERE / "rules.yaml": _MADE + _yaml(groups()),
        HERE / "prometheusrule.yaml": _MADE + _yaml(prometheus_rule()),
        HERE / "dashboard.json": json.dumps(dashboard(), indent=1) + "\n",
    }


def _yaml(value: object) -> str:
    return str(yaml.safe_dump(value, sort_keys=False, width=1000))


def stale() -> Iterator[str]:
    """Files that are not what the code makes."""
    for path, text in made().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            yield f"{path.relative_to(ROOT)} is not what the code makes: python -m deploy.monitoring.check --write"


def pages() -> Iterator[str]:
    """Alerts without a page, pages without an alert."""
    alerts = {alert.name for alert in ALERTS}
    found = {path.stem for path in (ROOT / RUNBOOKS).glob("*.md") if path.stem != "README"}
    for name in sorted(alerts - found):
        yield f"{RUNBOOKS}/{name}.md: the alert has no page"
    for name in sorted(found - alerts):
        yield f"{RUNBOOKS}/{name}.md: there is no such alert"


def unknown(names: dict[str, str]) -> Iterator[str]:
    """Metrics that are named and that nobody exports; `names`: texts by where they are from."""
    known = set().union(*exported.recorded().values())
    for where, text in names.items():
        for name in sorted(set(METRIC.findall(text)) - known):
            yield f"{where}: nobody exports {name}"


def named() -> dict[str, str]:
    """Texts that name metrics: expressions of rules and panels, and what autoscalers ask for."""
    texts = {f"alert {alert.name}": alert.expression for alert in ALERTS}
    texts |= {f"record {record.name}": record.expression for record in RECORDS}
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            texts[f"panel {panel['title']}, {target['refId']}"] = target["expr"]
    for path in sorted(K8S.rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if isinstance(document, dict) and document.get("kind") in ("ScaledObject", "HorizontalPodAutoscaler"):
                texts[str(path.relative_to(ROOT))] = json.dumps(document["spec"])
    return texts


def unrecorded() -> Iterator[str]:
    """Recorded series that rules and panels use, and that no rule records."""
    known = {record.name for record in RECORDS}
    for where, text in named().items():
        for name in sorted(set(re.findall(r"\bjewelry:[a-z0-9_:]+", text)) - known):
            yield f"{where}: no rule records {name}"


def problems() -> list[str]:
    """Everything that is wrong, without starting anything."""
    return [*stale(), *pages(), *unknown(named()), *unrecorded()]


def online(*, write: bool) -> list[str]:
    """Scrapes running services; the record is replaced, or differences are told."""
    # Only here: the system and its emulators are the tests'.
    from tests.emulated import seen_system, take_through

    recorded = exported.recorded()
    with tempfile.TemporaryDirectory() as folder, seen_system(Path(folder)) as seen:
        with seen.system.client() as client:
            take_through(client, "SCRAPED-1", {})
        shown = exported.wait_for(seen.system.metrics, recorded)
    if write:
        exported.write(shown)
        return []
    return [
        f"{service} does not export {name}"
        for service, names in sorted(recorded.items())
        for name in sorted(names - shown.get(service, set()))
    ]


def main() -> int:
    """1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--online", action="store_true")
    options = parser.parse_args()
    found = online(write=options.write) if options.online else []
    if options.write:
        for path, text in made().items():
            path.write_text(text, encoding="utf-8")
    found += problems()
    for problem in found:
        print(problem)
    count = sum(len(names) for names in exported.recorded().values())
    said = f"{len(found)} problems" if found else "fit together"
    print(f"monitoring: {len(ALERTS)} alerts, {len(RECORDS)} records, {count} exported series: {said}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
