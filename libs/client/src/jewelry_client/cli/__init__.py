"""The command line `jewelry`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from jewelry_client.cli import catalogue, jobs, pictures, templates
from jewelry_client.cli.console import Session, failing
from jewelry_client.settings import ClientSettings

app = typer.Typer(
    name="jewelry",
    help="Jewelry photos into captions, listings and searches, through the gateway.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("caption")(pictures.caption)
app.command("search")(pictures.search)
app.command("catalogue")(catalogue.catalogue)
app.command("catalog", hidden=True)(catalogue.catalogue)
app.add_typer(jobs.app, name="jobs")
app.add_typer(templates.app, name="templates")


@app.callback()
def options(
    context: typer.Context,
    url: Annotated[str, typer.Option(help="Address of the gateway; else JEWELRY_URL.", show_default=False)] = "",
    key: Annotated[str, typer.Option(help="Key; else JEWELRY_API_KEY.", show_default=False)] = "",
    timeout: Annotated[float, typer.Option(help="Longest time for one answer, in seconds.", show_default=False)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the gateway's answers as JSON lines.")] = False,
) -> None:
    """What every command needs."""
    settings = ClientSettings()
    given = key or (settings.api_key.get_secret_value() if settings.api_key else "")
    context.obj = Session(url or settings.url, given, timeout or settings.timeout, as_json)


@app.command()
def ready(context: typer.Context) -> None:
    """State of every service."""
    session: Session = context.obj
    with failing(session):
        found = session.run(lambda client: client.ready())
        session.show(found, lambda: session.services(found))
    if found.get("status") != "ready":
        raise typer.Exit(1)


def main() -> None:
    """The process's main call."""
    sys.exit(app())
