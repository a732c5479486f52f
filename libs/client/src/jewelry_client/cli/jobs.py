"""`jewelry jobs ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jewelry_client.cli import following
from jewelry_client.cli.console import Session, failing, pairs
from jewelry_client.jobs import Job

app = typer.Typer(help="Catalogue jobs: list, follow, cancel, resume, review.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(help="Id of the job.")]


@app.command("list")
def list_jobs(context: typer.Context) -> None:
    """Lists the jobs."""
    session: Session = context.obj
    with failing(session):
        found = session.run(lambda client: client.jobs())
    columns = ("id", "kind", "status", "done", "failed", "total", "rupees")
    rows = [(one.id, one.kind, one.status, one.done, one.failed, one.total, f"{one.cost_inr:.2f}") for one in found]
    session.show([dict(one.raw) for one in found], lambda: session.table(columns, rows))


@app.command()
def show(context: typer.Context, job_id: JobId) -> None:
    """Shows a job."""
    session: Session = context.obj
    with failing(session):
        _print(session, session.run(lambda client: client.job(job_id)))


@app.command()
def follow(
    context: typer.Context,
    job_id: JobId,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where the workbook goes.")] = None,
) -> None:
    """Follows a job to its end and fetches its workbook."""
    session: Session = context.obj
    with failing(session):
        with session.progress() as progress:
            state = session.run(lambda client: following.follow(client, progress, job_id))
        following.finish(session, state, out)


@app.command()
def cancel(context: typer.Context, job_id: JobId) -> None:
    """Stops a job; what is finished stays."""
    session: Session = context.obj
    with failing(session):
        _print(session, session.run(lambda client: client.cancel(job_id)))


@app.command()
def resume(context: typer.Context, job_id: JobId) -> None:
    """Runs what failed or was cancelled."""
    session: Session = context.obj
    with failing(session):
        _print(session, session.run(lambda client: client.resume(job_id)))


@app.command()
def review(context: typer.Context, job_id: JobId) -> None:
    """Lists the fields that a person should look at."""
    session: Session = context.obj
    with failing(session):
        found = session.run(lambda client: client.review(job_id))
    rows = [
        (item.get("sku", ""), one.get("field", ""), ", ".join(map(str, one.get("values", []))), one.get("reason", ""))
        for item in found.get("items", [])
        for one in item.get("fields", [])
    ]
    session.show(found, lambda: session.table(("sku", "field", "values", "why"), rows))


@app.command("set")
def set_values(
    context: typer.Context,
    job_id: JobId,
    sku: Annotated[str, typer.Argument(help="SKU of the product.")],
    values: Annotated[list[str], typer.Argument(help="field=value, one or several.")],
) -> None:
    """Gives a person's values to a product of a job."""
    session: Session = context.obj
    given = pairs(values)
    with failing(session):
        found = session.run(lambda client: client.correct(job_id, sku, given))
    session.show(found, lambda: session.out.print(f"{sku}: {', '.join(given)} set", markup=False))


@app.command()
def export(
    context: typer.Context,
    job_id: JobId,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where the workbook goes.")] = None,
) -> None:
    """Writes a job's workbook again, with the values of the review."""
    session: Session = context.obj
    with failing(session):
        found = session.run(lambda client: client.export(job_id))
        url = str(found.get("excel_file_url") or "")
        session.show(found, lambda: session.out.print(url or "nothing to export", markup=False))
        if out and url:
            session.run(lambda client: client.download(url, out))


def _print(session: Session, state: Job) -> None:
    session.show(dict(state.raw), lambda: following.tell(session, state))
