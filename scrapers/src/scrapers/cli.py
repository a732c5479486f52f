"""The command line: `scrapers <site> <what> --out FILE` and `scrapers check <site>`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console

from scrapers import app, canary, output
from scrapers.browse.errors import BrowserMissing
from scrapers.browse.store import StoreError
from scrapers.inputs import BadInput, understand
from scrapers.record import SITE_NAMES
from scrapers.settings import Settings
from scrapers.sites import SITES, Site

# Options that are settings under another name.
_SETTINGS = {
    "chromium": "chromium_path",
    "user_agent": "scraper_user_agent",
    "proxy": "scraper_proxy",
    "delay": "scraper_delay",
    "parallel": "scraper_pages",
    "timeout": "scraper_timeout",
    "settle": "scraper_settle",
    "retries": "scraper_retries",
    "backoff": "scraper_backoff",
    "max_wait": "scraper_max_wait",
    "gateway_url": "gateway_url",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit status: 0 all done, 1 some failed, 2 wrong usage, 3 the site ended it."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    console = Console(stderr=True)
    parser = _check_parser() if given[:1] == ["check"] else _scrape_parser()
    options = parser.parse_args(given[1:] if given[:1] == ["check"] else given)
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.ERROR, format="%(levelname)s %(message)s", stream=sys.stderr
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings = _settings(options)
        site = _site(options)
        if given[:1] == ["check"]:
            return _check(options, site, settings, Console())
        return _stoppable(app.scrape(_job(options, site), settings, console))
    except ValidationError as error:
        console.print(_first_problem(error), markup=False, highlight=False)
    except (BadInput, BrowserMissing, StoreError, output.UnknownFormat, OSError) as error:
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
    return app.USAGE


def _stoppable(work: Coroutine[object, object, int]) -> int:
    """Runs the work; the first Ctrl-C or SIGTERM lets it save what it has."""

    async def guarded() -> int:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            return app.STOPPED

    return asyncio.run(guarded())


def _common(parser: argparse.ArgumentParser) -> None:
    browsing = parser.add_argument_group("browsing")
    browsing.add_argument("--base-url", metavar="URL", help="where the site is, for a mirror or a test")
    browsing.add_argument("--chromium", metavar="PATH", help="the browser (else CHROMIUM_PATH, else the usual places)")
    browsing.add_argument("--headful", action="store_true", help="show the browser")
    browsing.add_argument("--user-agent", metavar="TEXT", help="how to introduce itself to the site")
    browsing.add_argument("--proxy", metavar="URL", help="http://user:password@host:port (better in SCRAPER_PROXY)")
    browsing.add_argument("--timeout", type=float, metavar="SECONDS", help="for a page to load")
    browsing.add_argument("--settle", type=float, metavar="SECONDS", help="for its content to appear after that")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more")


def _scrape_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scrapers",
        description="Products of a site into a table. `scrapers check <site>` tells whether the parser still fits.",
    )
    parser.add_argument("site", choices=SITE_NAMES)
    parser.add_argument("what", help="an address, words to search for, ids, or a file of ids (.txt, .csv, .xlsx)")
    parser.add_argument(
        "--out", type=Path, action="append", required=True, metavar="FILE",
        help=f"where to write ({', '.join(output.FORMATS)}); may be given several times",
    )  # fmt: skip
    parser.add_argument("--limit", type=_positive, default=200, metavar="N", help="products at most (200)")
    parser.add_argument("--max-pages", type=_positive, default=20, metavar="N", help="search pages at most (20)")
    parser.add_argument("--state", type=Path, metavar="FILE", help="where the run keeps its state (beside --out)")
    parser.add_argument("--fresh", action="store_true", help="forget an earlier run and scrape everything again")
    _common(parser)
    manners = parser.add_argument_group("manners")
    manners.add_argument("--delay", type=float, metavar="SECONDS", help="between two pages (3, varied by half)")
    manners.add_argument("--parallel", type=int, metavar="N", help="pages open at a time (2)")
    manners.add_argument("--retries", type=int, metavar="N", help="further tries for a page (3)")
    manners.add_argument("--backoff", type=float, metavar="SECONDS", help="before the first retry (4, doubles)")
    manners.add_argument("--max-wait", type=float, metavar="SECONDS", help="end when asked to wait longer (300)")
    manners.add_argument("--ignore-robots", action="store_true", help="only with the site owner's consent")
    pictures = parser.add_argument_group("pictures")
    pictures.add_argument("--images", type=Path, nargs="?", const=Path(), metavar="FOLDER", help="download pictures")
    pictures.add_argument("--image-host", action="append", default=[], metavar="HOST", help="allow one more host")
    pictures.add_argument("--into-catalogue", action="store_true", help="send pictures to the gateway")
    pictures.add_argument("--all-images", action="store_true", help="every picture of a product, not only the first")
    pictures.add_argument("--website", default="", metavar="NAME", help="the catalogue's website (alya, blysk)")
    pictures.add_argument("--gateway-url", metavar="URL", help="where the gateway is (GATEWAY_URL)")
    return parser


def _check_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scrapers check", description="Parses a known page and says which fields are no longer found."
    )
    parser.add_argument("site", choices=SITE_NAMES)
    parser.add_argument("--product", metavar="ID", help="an id or address, instead of the known products")
    parser.add_argument("--html", type=Path, metavar="FILE", help="a saved page, instead of the site")
    _common(parser)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _settings(options: argparse.Namespace) -> Settings:
    given = {name: getattr(options, option, None) for option, name in _SETTINGS.items()}
    return Settings(**{name: value for name, value in given.items() if value is not None})


def _site(options: argparse.Namespace) -> Site:
    site = SITES[options.site]
    if options.base_url and not options.base_url.startswith(("http://", "https://")):
        raise BadInput("--base-url must begin with http:// or https://")
    return site.at(options.base_url) if options.base_url else site


def _job(options: argparse.Namespace, site: Site) -> app.Job:
    outputs: list[Path] = options.out
    for path in outputs:
        output.check(path)
    first = outputs[0]
    images = options.images
    if images == Path() or (images is None and options.into_catalogue):
        images = first.with_name(first.stem + "-images")
    return app.Job(
        site=site,
        wanted=understand(site, options.what),
        outputs=outputs,
        state=options.state or first.with_name(first.name + ".state.sqlite"),
        limit=options.limit,
        search_pages=options.max_pages,
        fresh=options.fresh,
        obey_robots=not options.ignore_robots,
        headful=options.headful,
        images=images,
        image_hosts=options.image_host,
        into_catalogue=options.into_catalogue,
        website=options.website,
        every_image=options.all_images,
    )


def _check(options: argparse.Namespace, site: Site, settings: Settings, console: Console) -> int:
    product = options.product
    if product and not (site.is_id(product) or (product.startswith("http") and site.owns(product))):
        raise BadInput(f"{product} is no product of {site.data.title}")
    if options.html:
        html = options.html.read_text(encoding="utf-8", errors="replace")
        checkup = canary.examine(site, html, product if product and "/" in product else site.base_url)
        canary.report(checkup, console, verbose=options.verbose)
        return app.SOME_FAILED if checkup.lost else app.OK
    products = [product] if product else site.data.canary
    return _stoppable(app.check(site, products, settings, console, headful=options.headful, verbose=options.verbose))


def _first_problem(error: ValidationError) -> str:
    """Which setting is wrong and why, without its value: it may be a secret."""
    problem = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
