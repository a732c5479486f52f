"""A job of 200 products against emulated limits and latency, over the least time that these allow.

`python -m tests.bench.bench_jobs`: real gateway, analyzer, copywriter and exporter; Gemini and OpenAI emulated, with a
quota per project and a latency per request. Then the same with one of the keys revoked half way.

The bound: N products, P quota groups of R requests per window of W seconds, q requests to Gemini per product, latency L
of both providers, C products in flight: max(W N q / (P R), N q' L / C) + L, where q' are the requests that a product
makes one after another: two, because the parts of a long schema are asked side by side and the copy comes behind them.
"""

from __future__ import annotations

import argparse
import datetime
import io
import os
import platform
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from tests import emulators
from tests.system import System, photo

SERVICES = ("analyzer", "copywriter", "exporter", "gateway")
NEEDED = ("analyzer", "copywriter", "exporter")
BUCKET = "alyaimg"
# Requests of one product that wait for one another: fields, then copy.
IN_TURN = 2


@dataclass(frozen=True)
class Load:
    """What the emulated world allows; times in seconds."""

    products: int = 200
    groups: int = 4
    requests: int = 25
    window: float = 10.0
    latency: float = 0.8
    in_flight: int = 16


@dataclass(frozen=True)
class Measured:
    """What a job took and asked."""

    seconds: float
    half: float
    """Seconds until half of the products had ended."""
    gemini: int
    refused: int
    openai: int
    succeeded: int


def main() -> int:
    """Runs both jobs; returns 0 when both are within their targets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=Load.products)
    load = Load(products=parser.parse_args().products)
    keys = [f"emulated-key-{number}" for number in range(load.groups)]
    config: dict[str, Any] = {
        "latency": load.latency,
        "requests_per_minute": load.requests,
        "window_seconds": load.window,
        "projects": {key: f"p{number}" for number, key in enumerate(keys)},
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        emulators.gemini(**config) as gemini,
        emulators.openai(latency=load.latency) as openai,
    ):
        system = System(
            Path(folder),
            {
                "GOOGLE_API_KEYS": ",".join(f"p{number}:{key}" for number, key in enumerate(keys)),
                "GOOGLE_GEMINI_BASE_URL": gemini.url,
                "GEMINI_REQUESTS_PER_MINUTE": str(load.requests),
                "GEMINI_MINUTE_SECONDS": str(load.window),
                "OPENAI_API_KEY": "emulated-key",
                "OPENAI_BASE_URL": openai.url,
                "OPENAI_CONCURRENCY": str(load.in_flight),
                "CATALOGUE_CONCURRENCY": str(load.in_flight),
                "CATALOGUE_CONCURRENCY_TOTAL": str(load.in_flight),
            },
        )
        try:
            for name in SERVICES:
                system.start(name)
            _wait_ready(system)
            whole = _job(system, gemini, openai, load, "W", revoked=None)
            time.sleep(load.window)
            gemini.reset()
            openai.reset()
            revoked = _job(system, gemini, openai, load, "V", revoked=keys[0])
        finally:
            system.stop()
    return _report(load, whole, revoked)


def _wait_ready(system: System) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            states = httpx.get(f"{system.url}/readyz", timeout=10, trust_env=False).json()["services"]
            if all(states[name]["status"] == "ready" for name in NEEDED):
                return
        except (httpx.TransportError, KeyError):
            pass
        time.sleep(0.2)
    raise SystemExit("the services did not start")


def _job(
    system: System, gemini: emulators.Emulator, openai: emulators.Emulator, load: Load, name: str, revoked: str | None
) -> Measured:
    pictures = _pictures(system, load.products)
    skus = [f"{name}-{number:03d}" for number in range(load.products)]
    half = 0.0
    with system.client() as client:
        body = {"image_urls": pictures, "skuids": skus, "marketplace_type": "mee_ear"}
        started = time.monotonic()
        answer = client.post("/catalog-ai", json=body, headers={"Prefer": "respond-async"})
        assert answer.status_code == 202, answer.text
        while True:
            job = client.get(f"/jobs/{answer.json()['id']}", params={"results": False}).json()
            now = time.monotonic() - started
            if not half and job["done"] * 2 >= load.products:
                half = now
                if revoked:
                    gemini.fault("revoked", key=revoked, times=None, status=403)
            if "finished" in job:
                break
            time.sleep(0.1)
    asked = [entry for entry in gemini.log if entry.operation == "generateContent"]
    written = [entry for entry in openai.log if entry.status == 200 and entry.operation not in ("models",)]
    refused = sum(entry.status != 200 for entry in asked)
    return Measured(now, half, len(asked) - refused, refused, len(written), job["succeeded"])


def _pictures(system: System, count: int) -> list[str]:
    """As many addresses of sample photos, stored as the object store lays them out, each a little different."""
    folder = system.folder / "data" / "objects" / BUCKET / "images"
    folder.mkdir(parents=True, exist_ok=True)
    with Image.open(photo("ALY-EAR-002")) as opened:
        picture = opened.convert("RGB").resize((480, 480))
    for number in range(count):
        picture.putpixel((0, 0), (number % 256, number // 256, 0))
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=95)
        (folder / f"bench-{number}.jpg").write_bytes(out.getvalue())
    return [f"{system.url}/files/{BUCKET}/images/bench-{number}.jpg" for number in range(count)]


def _report(load: Load, whole: Measured, revoked: Measured) -> int:
    per_product = whole.gemini / load.products
    by_quota = load.window * load.products * per_product / (load.groups * load.requests)
    by_flight = load.products * IN_TURN * load.latency / load.in_flight
    bound = max(by_quota, by_flight) + load.latency
    fewer = load.groups - 1
    rest = load.window * (load.products / 2) * per_product / (fewer * load.requests)
    bound_revoked = revoked.half + max(rest, by_flight / 2) + load.latency
    cpu = next((line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), platform.machine())
    print(f"\n{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {os.cpu_count()} cores, {cpu}")
    print(
        f"{load.products} products, {load.groups} quota groups of {load.requests} requests per {load.window:g} s, "
        f"{per_product:.2f} requests to Gemini and {whole.openai / load.products:.2f} to OpenAI each, "
        f"latency {load.latency} s, {load.in_flight} products in flight. "
        f"Bound by quota {by_quota:.1f} s, by flight {by_flight:.1f} s.\n"
    )
    print("| job | succeeded | took | bound | ratio | target |")
    print("|---|---|---|---|---|---|")
    rows = [("all keys", whole, bound, 1.15), ("one key revoked half way", revoked, bound_revoked, 1.3)]
    good = True
    for name, measured, least, target in rows:
        ratio = measured.seconds / least
        met = ratio <= target and measured.succeeded == load.products
        good = good and met
        print(
            f"| {name} | {measured.succeeded} of {load.products} | {measured.seconds:.1f} s | {least:.1f} s | "
            f"{ratio:.2f} | {target} {'met' if met else 'missed'} |"
        )
    print(f"\nRefused by Gemini: {whole.refused} and {revoked.refused} requests.")
    return 0 if good else 1


def _cpuinfo() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []


if __name__ == "__main__":
    sys.exit(main())
