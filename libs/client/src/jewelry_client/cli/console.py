"""What the commands share: the client, the output, errors as one sentence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from jewelry_client.client import Client
from jewelry_client.errors import ApiError, JewelryError

T = TypeVar("T")


@dataclass(frozen=True)
class Session:
    """One call of the command line. Results go to standard output, everything else to standard error."""

    url: str
    key: str = field(repr=False)
    timeout: float
    as_json: bool

    @property
    def out(self) -> Console:
        """Where results go."""
        return Console(highlight=False, soft_wrap=True)

    @property
    def err(self) -> Console:
        """Where progress and errors go."""
        return Console(stderr=True, highlight=False, soft_wrap=True)

    def run(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """Runs asynchronous work with a client."""

        async def with_client() -> T:
            async with Client(self.url, self.key, timeout=self.timeout) as client:
                return await work(client)

        return asyncio.run(with_client())

    def show(self, answer: object, pretty: Callable[[], None]) -> None:
        """Prints an answer as JSON where that was asked for, else as people like it."""
        if self.as_json:
            typer.echo(json.dumps(answer, ensure_ascii=False))
        else:
            pretty()

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Prints a table."""
        shown = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            shown.add_column(column, overflow="fold")
        for row in rows:
            shown.add_row(*(escape(str(cell)) for cell in row))
        self.out.print(shown)

    def services(self, ready: Mapping[str, Any]) -> None:
        """Prints the state of every service."""
        rows = []
        for name, one in ready.get("services", {}).items():
            adapters = ", ".join(
                f"{adapter['role']}: {adapter['name']}"
                + (f" (ends {adapter['shutdown_date']})" if adapter.get("shutdown_date") else "")
                for adapter in one.get("adapters", [])
            )
            rows.append((name, one.get("status", ""), one.get("model", ""), adapters, one.get("detail", "")))
        self.table(("service", "state", "model", "adapters", "detail"), rows)

    def progress(self) -> Progress:
        """Progress bars on standard error; nothing where nobody watches."""
        return Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.err,
            disable=self.as_json or not self.err.is_terminal,
        )


@contextmanager
def failing(session: Session) -> Iterator[None]:
    """Ends the process with a sentence and status 1 where the work fails."""
    try:
        yield
    except ApiError as error:
        session.err.print(f"[bold red]{escape(str(error))}[/]")
        if error.request_id:
            session.err.print(f"[dim]{error.status} {error.code}, request {escape(error.request_id)}[/]")
        raise typer.Exit(1) from error
    except (JewelryError, OSError) as error:
        session.err.print(f"[bold red]{escape(str(error))}[/]")
        raise typer.Exit(1) from error


def pairs(given: Sequence[str]) -> dict[str, str]:
    """Values from `name=value` arguments."""
    found = {}
    for entry in given:
        name, equals, value = entry.partition("=")
        if not equals or not name.strip():
            raise typer.BadParameter(f"{entry!r} is not name=value")
        found[name.strip()] = value
    return found
