"""What `make demo` prints at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jewelry_local.demo_job import WISH, ProductReport, Report


def print_services(console: Console, ready: dict[str, Any]) -> None:
    """One line per service: who stands for the outside systems."""
    table = Table(title="Services", title_justify="left")
    for heading in ("service", "adapter", "model", "note"):
        table.add_column(heading)
    for name, entry in sorted(ready.get("services", {}).items()):
        adapters = entry.get("adapters") or [{}]
        for position, adapter in enumerate(adapters):
            label = f"{adapter.get('role', '')}: {adapter.get('name', '')}".strip(": ")
            embedded = " (embedded)" if adapter.get("embedded") else ""
            table.add_row(
                name if position == 0 else "",
                escape(label + embedded),
                escape(str(adapter.get("model_id") or entry.get("model") or "")),
                escape(str(adapter.get("detail") or "")),
            )
    console.print(table)


def print_report(console: Console, report: Report, *, seconds: float) -> None:
    """One line per product, the workbooks, and what failed."""
    table = Table(title="Products", title_justify="left")
    for heading in ("sku", "verdict", "marketplace", "attributes found", "left for review", "answered by", "seconds"):
        table.add_column(heading, justify="right" if heading == "seconds" else "left")
    for entry in report.products:
        for position, (code, result) in enumerate(entry.results.items()):
            first = position == 0
            table.add_row(
                entry.product.sku if first else "",
                entry.verdict if first else "",
                code,
                escape(_attributes(result)),
                str(len(result.get("review", []))),
                escape(_answered_by(result)),
                f"{entry.upload_seconds + entry.seconds:.1f}" if first else "",
            )
    console.print(table)
    first_product: ProductReport = report.products[0]
    console.print(
        f"{first_product.product.sku} sent a second time: [bold]{report.repeat_verdict}[/] of {report.repeat_match}"
    )
    console.print("Workbooks:")
    for code, path in report.workbooks.items():
        console.print(f"  {code}  {_relative(path)}")
    if matches := report.collection.get("matches"):
        console.print(
            f"Collection for {WISH['manual_prompt']!r}: [bold]{escape(report.collection['collection_title'])}[/]"
        )
        for match in matches:
            console.print(f"  {escape(match['id'])}  {match['score']:.2f}  {escape(match['why'])}")
    for failure in report.failures:
        console.print(f"[bold red]failed:[/] {escape(failure)}")
    outcome = "[bold red]Not everything worked[/]" if report.failures else "[bold green]Everything worked[/]"
    console.print(f"{outcome}; {seconds:.0f} s from start to workbooks.")


def _attributes(result: dict[str, Any]) -> str:
    found = {name: value for name, value in result.get("attributes", {}).items() if value}
    shown = ", ".join(str(value) for value in dict.fromkeys(map(_text, found.values())))
    return f"{len(found)}: {shown[:70]}{'...' if len(shown) > 70 else ''}"


def _text(value: object) -> str:
    return " / ".join(map(str, value)) if isinstance(value, list) else str(value)


def _answered_by(result: dict[str, Any]) -> str:
    provenance = result.get("provenance", {})
    return ", ".join(f"{role}: {provenance[role]}" for role in ("vision", "copy") if provenance.get(role))


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_absolute() and path.is_relative_to(Path.cwd()) else path
