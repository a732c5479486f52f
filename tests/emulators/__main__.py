"""Runs both emulators in the foreground: `python -m tests.emulators --gemini-port 9801 --openai-port 9802`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib

import uvicorn
from starlette.applications import Starlette

from tests.emulators import gemini_api, openai_api
from tests.emulators.control import Config, Control


def _pairs(values: list[str]) -> dict[str, str]:
    """`key=name` pairs of the command line."""
    pairs = dict(value.partition("=")[::2] for value in values)
    if not all(pairs) or not all(pairs.values()):
        raise SystemExit("write pairs as KEY=NAME")
    return pairs


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.emulators", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--gemini-port", type=int, default=9801)
    parser.add_argument("--openai-port", type=int, default=9802)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--rpm", type=int, default=None, help="requests per minute and project")
    parser.add_argument("--project", action="append", default=[], metavar="KEY=PROJECT", help="keys that share a quota")
    return parser.parse_args()


async def _serve(host: str, servers: list[tuple[Starlette, int]]) -> None:
    running = [
        uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level="warning", lifespan="off", ws="none"))
        for app, port in servers
    ]
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*(server.serve() for server in running))


def main() -> None:
    """Serves until it is stopped."""
    options = _arguments()
    config = Config(latency=options.latency, requests_per_minute=options.rpm, projects=_pairs(options.project))
    print(f"Gemini: http://{options.host}:{options.gemini_port}  (GOOGLE_GEMINI_BASE_URL)", flush=True)
    print(f"OpenAI: http://{options.host}:{options.openai_port}/v1  (OPENAI_BASE_URL)", flush=True)
    servers = [
        (gemini_api.app(Control(config)), options.gemini_port),
        (openai_api.app(Control(config)), options.openai_port),
    ]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(options.host, servers))


if __name__ == "__main__":
    main()
