"""`jewelry templates ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from jewelry_client.cli.console import Session, failing
from jewelry_client.client import File

app = typer.Typer(help="Sellers' own workbooks.", no_args_is_help=True)


@app.command("list")
def list_templates(
    context: typer.Context,
    marketplace: Annotated[str, typer.Option("--marketplace", "-m", help="Only of this code.")] = "",
    website: Annotated[str, typer.Option(help="Only of alya or blysk.")] = "",
) -> None:
    """Lists templates, built-in ones included."""
    session: Session = context.obj
    with failing(session):
        found = session.run(lambda client: client.templates(marketplace_type=marketplace, website=website))
    rows = [
        (
            one["template_id"],
            one["marketplace_type"],
            "built in" if one["built_in"] else one["original_name"],
            one["created"],
        )
        for one in found
    ]
    session.show(found, lambda: session.table(("id", "marketplace", "file", "registered"), rows))


@app.command()
def add(
    context: typer.Context,
    workbook: Annotated[Path, typer.Argument(help="The workbook.", exists=True, dir_okay=False)],
    marketplace: Annotated[str, typer.Option("--marketplace", "-m", help="One of the ten codes, such as ama_ear.")],
    website: Annotated[str, typer.Option(help="Whose it is: alya or blysk.")] = "",
) -> None:
    """Registers a workbook; from then on it is the one that is filled."""
    session: Session = context.obj
    with failing(session):
        file = File.read(workbook)
        found = session.run(lambda client: client.register_template(file, marketplace, website=website))
    session.show(found, lambda: _show(session, found))


@app.command()
def show(context: typer.Context, template_id: Annotated[str, typer.Argument(help="Id of the template.")]) -> None:
    """Shows what was understood of a template."""
    session: Session = context.obj
    with failing(session):
        found = session.run(lambda client: client.template(template_id))
    session.show(found, lambda: _show(session, found))


def _show(session: Session, found: dict[str, Any]) -> None:
    session.out.print(f"template {found['template_id']} for {found['marketplace_type']}", markup=False)
    rows = [
        (
            one["letters"],
            one["name"],
            one["field"] or "(not understood)",
            "yes" if one["required"] else "",
            len(one["allowed_values"]) or "",
        )
        for one in found["columns"]
    ]
    session.table(("column", "name", "field", "required", "allowed values"), rows)
    for warning in found.get("warnings", []):
        session.err.print(warning, style="yellow", markup=False)
