"""`jewelry caption` and `jewelry search`."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from jewelry_client.cli.console import Session, failing
from jewelry_client.client import Client, File
from jewelry_client.errors import ApiError
from jewelry_client.sources import PICTURES

# Pictures described at once; the gateway and its providers set the pace.
AT_ONCE = 4


def caption(
    context: typer.Context,
    pictures: Annotated[list[Path], typer.Argument(help="Files, or folders of pictures.", exists=True)],
    product_type: Annotated[
        str, typer.Option("--type", help="earrings, necklace, bracelet, ring or auto: find out.")
    ] = "auto",
    website: Annotated[str, typer.Option(help="Whose bucket stores them: alya or blysk.")] = "",
    check_duplicate: Annotated[
        bool,
        typer.Option("--check-duplicate/--no-check-duplicate", help="Whether known pictures are left as they are."),
    ] = True,
) -> None:
    """Stores pictures and describes what they show."""
    session: Session = context.obj
    files = _files(pictures)
    answers: dict[Path, dict[str, Any]] = {}
    failures: dict[Path, str] = {}

    async def describe(client: Client) -> None:
        room = asyncio.Semaphore(AT_ONCE)

        async def one(path: Path) -> None:
            async with room:
                try:
                    answers[path] = await client.caption(
                        File.read(path), product_type=product_type, website=website, check_duplicate=check_duplicate
                    )
                except ApiError as error:
                    failures[path] = str(error)
            progress.advance(bar)

        await asyncio.gather(*(one(path) for path in files))

    with failing(session), session.progress() as progress:
        bar = progress.add_task("describing", total=len(files), note="")
        session.run(describe)
    for path in files:
        if path in answers:
            answer = answers[path]
            session.show({"file": str(path), **answer}, partial(_show, session, path, answer))
        else:
            session.err.print(f"{path}: {failures[path]}", style="red", markup=False)
    if failures:
        raise typer.Exit(1)


def search(
    context: typer.Context,
    picture: Annotated[str, typer.Argument(help="A file, or the address of a picture.")],
    top_k: Annotated[int, typer.Option(help="Most matches.", min=1, max=1000)] = 10,
    website: Annotated[str, typer.Option(help="Only pictures of alya or blysk.")] = "",
    threshold: Annotated[float | None, typer.Option(help="Largest distance of a match.", show_default=False)] = None,
) -> None:
    """Finds stored pictures near a picture; stores nothing."""
    session: Session = context.obj
    with failing(session):
        asked = picture if picture.startswith(("http://", "https://")) else File.read(Path(picture))
        found = session.run(lambda client: client.search(asked, top_k=top_k, website=website, threshold=threshold))
    rows = [
        (match["verdict"], f"{match['distance']:.2f}", f"{match['cosine']:.3f}", match["s3_url"])
        for match in found["similar_images"]
    ]
    session.show(found, lambda: session.table(("verdict", "distance", "cosine", "address"), rows))


def _files(given: list[Path]) -> list[Path]:
    found: list[Path] = []
    for path in given:
        found += sorted(one for one in path.iterdir() if one.suffix.lower() in PICTURES) if path.is_dir() else [path]
    if not found:
        raise typer.BadParameter("there are no pictures")
    return found


def _show(session: Session, path: Path, answer: dict[str, Any]) -> None:
    session.out.print(f"{path}", style="bold", markup=False)
    if answer.get("duplicate"):
        session.out.print(f"  {answer['duplicate']}: {answer['s3_url']}", markup=False)
        return
    for name in ("name", "description", "attributes", "color", "quality", "s3_url"):
        if answer.get(name):
            session.out.print(f"  {name}: {answer[name]}", markup=False)
