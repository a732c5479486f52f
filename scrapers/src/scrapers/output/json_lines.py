"""JSON lines: one whole record per line; money is text, so that no digit is lost."""

from __future__ import annotations

from pathlib import Path

from scrapers.output.tables import Results


def write(path: Path, results: Results) -> None:
    """Writes the file."""
    with path.open("w", encoding="utf-8") as file:
        for record in results.records():
            file.write(record.model_dump_json() + "\n")
