"""How near to its quota the key pool comes: `python -m services.analyzer.bench.bench_quota` in the root.

The real client asks the emulated provider, which counts requests per project in a sliding window and answers after a
latency. The bound is that of the catalogue jobs: makespan >= max(W N / (P R), N L / C) + L with N calls, P projects of
R requests per window W, latency L, C in flight. Windows are shortened so that a run takes half a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import time
from dataclasses import dataclass

from PIL import Image
from pydantic import SecretStr

from analyzer_service.analysis import RawView
from analyzer_service.settings import Settings
from analyzer_service.wiring import wire
from servicekit import deadlines
from tests import emulators
from tests.emulators import Emulator

PROJECTS = ("a", "b", "c")


@dataclass(frozen=True)
class Case:
    """One run."""

    name: str
    configured: bool
    revoke: bool
    target: float


CASES = (
    Case("limits configured", True, False, 1.15),
    Case("limits unknown, learned from refusals", False, False, 1.15),
    Case("one key revoked half way", True, True, 1.30),
)


def _picture() -> RawView:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "white").save(buffer, "JPEG")
    return RawView(buffer.getvalue())


async def _run(gemini: Emulator, case: Case, options: argparse.Namespace) -> tuple[float, int]:
    """Seconds until the last of all calls is answered, and how many were answered."""
    limit = options.per_window if case.configured else None
    wired = wire(
        Settings(
            _env_file=None,
            google_api_keys=SecretStr(",".join(f"{name}:key-{name}" for name in PROJECTS)),
            google_gemini_base_url=gemini.url,
            gemini_requests_per_minute=limit,
            gemini_minute_seconds=options.window,
            gemini_max_in_flight=options.in_flight,
        )
    )
    # A client for each key, and the list of models, which the emulator counts: then a window of rest.
    await wired.warm_up()
    await asyncio.gather(*(wired.analyzer.caption([_picture()], "") for _ in PROJECTS))
    await asyncio.sleep(options.window * 1.1)
    answered = 0

    async def one() -> None:
        nonlocal answered
        await wired.analyzer.caption([_picture()], "")
        answered += 1
        if case.revoke and answered == options.calls // 2:
            gemini.fault("revoked", key="key-b", times=None)

    deadlines.enter(600)
    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(options.calls)))
    seconds = time.perf_counter() - started
    await wired.close()
    return seconds, answered


def _bound(case: Case, options: argparse.Namespace) -> float:
    projects = len(PROJECTS) - case.revoke
    by_quota = options.window * options.calls / (projects * options.per_window)
    return float(max(by_quota, options.calls * options.latency / options.in_flight) + options.latency)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--per-window", type=int, default=20, help="requests per window and project")
    parser.add_argument("--window", type=float, default=3.0, help="seconds of the quota's minute")
    parser.add_argument("--latency", type=float, default=0.3)
    parser.add_argument("--in-flight", type=int, default=64)
    options = parser.parse_args()
    print(
        f"{options.calls} calls, {len(PROJECTS)} keys of {options.per_window} requests per {options.window:g} s, "
        f"latency {options.latency:g} s\n\n| case | answered | refused (429) | s | bound s | ratio | target | met |\n|"
        + "---|"
        * 8
    )
    for case in CASES:
        with emulators.gemini(
            latency=options.latency, requests_per_minute=options.per_window, window_seconds=options.window
        ) as gemini:
            seconds, answered = asyncio.run(_run(gemini, case, options))
            refused = gemini.count("generateContent", 429)
        ratio = seconds / _bound(case, options)
        met = "yes" if ratio <= case.target and answered == options.calls else "NO"
        figures = (
            f"{answered} of {options.calls} | {refused} | {seconds:.1f} | {_bound(case, options):.1f} | {ratio:.2f}"
        )
        print(f"| {case.name} | {figures} | {case.target:.2f} | {met} |", flush=True)


if __name__ == "__main__":
    main()
