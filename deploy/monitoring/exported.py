"""Names of the metrics that services really export, as they were scraped from running ones (`metrics.txt`)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

RECORD = Path(__file__).with_name("metrics.txt")
_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{| )", re.MULTILINE)
# Of the Python process and the exporter itself; not ours to hold, and not the same everywhere.
_NOT_OURS = ("python_", "process_", "target_info", "otel_")
_HEAD = """# Names of metrics by service, scraped from running ones: python -m deploy.monitoring.check --online --write
# What a service shows only now and then, such as the end of a model that was announced, is in it too.
"""


def names(text: str) -> set[str]:
    """Names of samples in Prometheus' text format; a histogram gives its `_bucket`, `_count` and `_sum`."""
    found = {name for name in _SAMPLE.findall(text) if not name.startswith("#")}
    return {name for name in found if not name.startswith(_NOT_OURS) and not name.endswith("_created")}


def recorded(path: Path = RECORD) -> dict[str, set[str]]:
    """Names by service, as recorded."""
    found: dict[str, set[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            service, name = line.split()
            found.setdefault(service, set()).add(name)
    return found


def write(shown: Mapping[str, set[str]], path: Path = RECORD) -> None:
    """Replaces the record."""
    lines = [f"{service} {name}\n" for service, every in sorted(shown.items()) for name in sorted(every)]
    path.write_text(_HEAD + "".join(lines), encoding="utf-8")


def wait_for(
    scrape: Callable[[], Mapping[str, str]], wanted: Mapping[str, set[str]], seconds: float = 40.0
) -> dict[str, set[str]]:
    """Scrapes until every wanted name was seen, or the time is over; what was seen, by service."""
    seen: dict[str, set[str]] = {}
    deadline = time.monotonic() + seconds
    while True:
        for service, text in scrape().items():
            seen.setdefault(service, set()).update(names(text))
        if all(every <= seen.get(service, set()) for service, every in wanted.items()):
            return seen
        if time.monotonic() > deadline:
            return seen
        time.sleep(0.5)
