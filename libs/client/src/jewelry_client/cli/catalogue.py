"""`jewelry catalogue`: products from a CSV file or a folder into a workbook."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.progress import Progress

from jewelry_client import sources
from jewelry_client.cli import following
from jewelry_client.cli.console import Session, failing, pairs
from jewelry_client.client import Client, File
from jewelry_client.jobs import Job
from jewelry_client.sources import Product

UPLOADS_AT_ONCE = 4


def catalogue(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(help="A CSV file with a column `sku`, or a folder of photos.")],
    marketplace: Annotated[str, typer.Option("--marketplace", "-m", help="One of the ten codes, such as ama_ear.")],
    photos: Annotated[Path | None, typer.Option(help="Where the photos of a CSV file are.")] = None,
    website: Annotated[str, typer.Option(help="alya or blysk.")] = "",
    template: Annotated[str, typer.Option(help="Id of the template to fill.")] = "",
    values: Annotated[
        list[str] | None, typer.Option("--set", help="A value for every product, such as brand=Alya; repeatable.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where the workbook goes.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Only estimate calls, rupees and minutes.")] = False,
    max_cost: Annotated[float | None, typer.Option(help="Most rupees that it may cost.", show_default=False)] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Whether to follow the job to its end.")] = True,
) -> None:
    """Uploads photos, runs a catalogue job, and fetches its workbook."""
    session: Session = context.obj
    for_all = pairs(values or [])
    with failing(session):
        products = sources.read(source, photos=photos)
        with session.progress() as progress:
            state = session.run(
                lambda client: _run(
                    client,
                    progress,
                    products,
                    marketplace,
                    wait=wait and not dry_run,
                    website=website,
                    template_id=template,
                    seller=_seller(for_all, products),
                    dry_run=dry_run or None,
                    max_cost=max_cost,
                )
            )
        if dry_run:
            session.show(dict(state.raw), lambda: session.table(("estimate", ""), list(_flat(state.raw))))
            return
        following.finish(session, state, out)


async def _run(
    client: Client, progress: Progress, products: Sequence[Product], code: str, *, wait: bool, **fields: Any
) -> Job:
    if fields.get("dry_run"):
        # An estimate counts pictures and looks at none: nothing is stored for it.
        addresses = [[_placeholder(picture) for picture in product.pictures] for product in products]
    else:
        addresses = await _uploaded(client, progress, products, str(fields.get("website") or ""))
    state = await client.catalogue(addresses, [product.sku for product in products], code, **fields)
    if not wait or state.ended or not state.id:
        return state
    return await following.follow(client, progress, state.id)


def _placeholder(picture: Path | str) -> str:
    return picture if isinstance(picture, str) else f"https://dry-run.invalid/{quote(picture.name)}"


async def _uploaded(client: Client, progress: Progress, products: Sequence[Product], website: str) -> list[list[str]]:
    """Addresses of every product's pictures; files are stored first, known ones are found again."""
    files = sum(isinstance(picture, Path) for product in products for picture in product.pictures)
    bar = progress.add_task("storing photos", total=files, note="", visible=files > 0)
    room = asyncio.Semaphore(UPLOADS_AT_ONCE)

    async def address(picture: Path | str, sku: str) -> str:
        if isinstance(picture, str):
            return picture
        async with room:
            # Views of one product look alike: what counts as known here is the same file only.
            stored = await client.upload(File.read(picture), website=website, sku=sku, check_duplicate=False)
        progress.advance(bar)
        return str(stored["s3_url"])

    async def product_addresses(product: Product) -> list[str]:
        return await asyncio.gather(*(address(picture, product.sku) for picture in product.pictures))

    return await asyncio.gather(*(product_addresses(product) for product in products))


def _seller(for_all: dict[str, str], products: Sequence[Product]) -> dict[str, Any]:
    by_sku = {product.sku: dict(product.values) for product in products if product.values}
    return {**for_all, **({"by_sku": by_sku} if by_sku else {})}


def _flat(body: Any, prefix: str = "") -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for name, value in body.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        elif not isinstance(value, list) and value not in ("", None):
            rows.append((f"{prefix}{name}", value))
    return rows
