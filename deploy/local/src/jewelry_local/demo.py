"""`make demo`: sample products through the main job, over REST, on a system of its own."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from jewelry_local.console import FileLog
from jewelry_local.demo_job import DemoJob, Failure, Product
from jewelry_local.demo_report import print_report, print_services
from jewelry_local.readiness import NotReady, wait_until_ready
from jewelry_local.supervisor import GaveUp, Supervisor
from jewelry_local.topology import PROCESSES, environment, free_addresses

READY_SECONDS = 120.0
# Columns where nobody watches: wide enough for the tables.
FILE_WIDTH = 160
# Few enough to be quick, and one of every category that the marketplaces take.
SKUS = (
    *("ALY-EAR-002", "ALY-EAR-007", "ALY-EAR-011"),
    *("ALY-NEC-001", "ALY-NEC-004"),
    *("ALY-BRA-003", "ALY-BRA-010"),
)


async def demo(
    samples: Path, out: Path, *, keep: bool, costs: list[dict[str, object]] | None = None, collect: bool = True
) -> int:
    """Runs the demo; returns 0 when everything worked.

    Args:
        samples: Folder of the sample products.
        out: Folder of stores, log and workbooks.
        keep: Go on with the stores of an earlier demo.
        costs: Filled with what each product says it cost, where given.
        collect: Take over the samples as the shop's catalogue, too, and find a collection in it.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = FILE_WIDTH
    if not keep:
        shutil.rmtree(out, ignore_errors=True)
    products = load_products(samples)
    log = FileLog(out / "log.txt")
    started = time.monotonic()
    try:
        async with running_system(out, log, catalogue=samples / "products.csv" if collect else None) as base_url:
            with _progress(console) as progress:
                waiting = progress.add_task("starting the services", total=len(PROCESSES) - 1)
                ready = await wait_until_ready(
                    base_url,
                    seconds=READY_SECONDS,
                    told=lambda states: progress.update(waiting, completed=_count_ready(states)),
                )
                async with httpx.AsyncClient(base_url=base_url, timeout=180.0, trust_env=False) as client:
                    job = DemoJob(client, products, out / "workbooks", progress)
                    report = await job.run(collect=collect)
            print_services(console, ready)
            print_report(console, report, seconds=time.monotonic() - started)
            if costs is not None:
                costs.extend(result.get("cost", {}) for entry in report.products for result in entry.results.values())
            return 1 if report.failures else 0
    except (NotReady, GaveUp, Failure, httpx.HTTPError) as error:
        console.print(f"[bold red]The demo failed:[/] {escape(str(error) or type(error).__name__)}")
        console.print(f"The services' log: {log.path}")
        return 1
    finally:
        log.close()


def load_products(samples: Path) -> list[Product]:
    """The demo's products from the samples' table."""
    with (samples / "products.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["sku"]: row for row in csv.DictReader(file)}
    return [
        Product(sku, samples / "photos" / f"{sku}.jpg", rows[sku]["category"], float(rows[sku]["mrp_inr"]))
        for sku in SKUS
    ]


@asynccontextmanager
async def running_system(out: Path, log: FileLog, *, catalogue: Path | None) -> AsyncIterator[str]:
    """Every service as its own process, on free ports and stores of its own; gives the gateway's address.

    `catalogue` is what the shop sells; PRODUCTS_API_URL, where set, wins over it.
    The block is left at once, with GaveUp, when a service dies.
    """
    addresses = free_addresses()
    gateway = f"http://{addresses['GATEWAY_ADDR']}"
    stores = {"DATA_DIR": str((out / "data").resolve())}
    if catalogue is not None:
        stores["PRODUCTS_FILE"] = str(catalogue.resolve())
    used = environment(**addresses, **stores, GATEWAY_PUBLIC_URL=gateway)
    supervisor = Supervisor(PROCESSES, used, log, restart=False)
    running = asyncio.create_task(supervisor.run())
    body = asyncio.current_task()
    assert body is not None
    running.add_done_callback(lambda task: None if task.cancelled() else body.cancel())
    try:
        yield gateway
    except asyncio.CancelledError:
        if running.done() and not running.cancelled() and (error := running.exception()) is not None:
            raise error from None
        raise
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError, GaveUp):
            await running


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description:<44}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def _count_ready(states: dict[str, str]) -> int:
    return sum(state == "ready" for state in states.values())
