"""Following a job to its end, and what is told then."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.progress import Progress

from jewelry_client.cli.console import Session
from jewelry_client.client import Client
from jewelry_client.jobs import Job

# Statuses of the process: all went well, some products failed, none went well.
_EXIT = {"succeeded": 0, "partial": 2}


async def follow(client: Client, progress: Progress, job_id: str) -> Job:
    """The job when it has ended; a bar shows how far it is."""
    bar = progress.add_task(f"job {job_id}", total=None, note="")
    async for state in client.follow(job_id):
        note = f"₹{state.cost_inr:.2f}" + (f", {state.failed} failed" if state.failed else "")
        progress.update(bar, total=state.total or None, completed=state.done, note=note)
    return state


def finish(session: Session, state: Job, out: Path | None) -> None:
    """Says what became of a job, fetches its workbook, and ends the process with a status."""
    session.show(dict(state.raw), lambda: tell(session, state))
    if not state.ended:
        return
    if state.excel_file_url:
        name = state.excel_file_url.split("?")[0].rpartition("/")[2] or "workbook.xlsx"
        to = out or Path(name)
        session.run(lambda client: client.download(state.excel_file_url, to))
        session.err.print(f"workbook: {to}", markup=False)
    if status := _EXIT.get(state.status, 1):
        raise typer.Exit(status)


def tell(session: Session, state: Job) -> None:
    """Says in a few lines how a job stands."""
    session.out.print(
        f"job {state.id}: {state.status}, {state.succeeded} of {state.total} done, {state.failed} failed, "
        f"₹{state.cost_inr:.2f}",
        markup=False,
    )
    for result in state.results:
        if result.get("status") == "failed":
            session.out.print(f"  {result.get('sku')}: {result.get('error') or _first_issue(result)}", markup=False)


def _first_issue(result: dict[str, object]) -> str:
    issues = result.get("issues")
    if isinstance(issues, list) and issues and isinstance(issues[0], dict):
        return str(issues[0].get("message", ""))
    return "failed"
