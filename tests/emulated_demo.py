"""`make demo-emulated`: the demo against emulated Gemini, OpenAI and S3, twice.

The first run's calls in the emulators' logs must match what the products say they cost; the second run, on the same
stores, must ask OpenAI nothing. No service knows that it is not talking to the real ones: only base URLs and keys
differ.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from pathlib import Path

import boto3
from jewelry_local.demo import demo
from moto.server import ThreadedMotoServer
from rich.console import Console
from rich.table import Table

from tests import emulators

OUT = Path("build/demo-emulated")
# Lists of models cost nothing; everything else is an answer that somebody would pay for.
FREE = ("listModels", "getModel", "models")
BUCKETS = ("alyaimg", "blyskimg")


def main() -> int:
    """Runs the demo twice; returns 0 when both worked and the logs say what they should."""
    console = Console(highlight=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    s3 = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    s3.start()
    try:
        with emulators.gemini() as gemini, emulators.openai() as openai:
            host, port = s3.get_host_and_port()
            os.environ.update(
                GOOGLE_API_KEYS="shop:emulated-key-1,shop:emulated-key-2",
                GOOGLE_GEMINI_BASE_URL=gemini.url,
                OPENAI_API_KEY="emulated-key",
                OPENAI_BASE_URL=openai.url,
                AWS_ACCESS_KEY_ID="emulated",
                AWS_SECRET_ACCESS_KEY="emulated",
                AWS_DEFAULT_REGION="ap-south-1",
                AWS_ENDPOINT_URL_S3=f"http://{host}:{port}",
            )
            _make_buckets()
            problems: list[str] = []
            for run in (1, 2):
                console.rule(f"run {run}")
                gemini.reset()
                openai.reset()
                costs: list[dict[str, object]] = []
                # Without a collection: it belongs to no product, so that no product's account has its cost.
                if asyncio.run(demo(Path("samples"), OUT, keep=run == 2, costs=costs, collect=False)) != 0:
                    return 1
                problems += _compare(console, run, gemini, openai, costs)
    finally:
        s3.stop()
    for problem in problems:
        console.print(f"[bold red]{problem}[/]")
    return 1 if problems else 0


def _make_buckets() -> None:
    client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"])
    for bucket in BUCKETS:
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "ap-south-1"})
        # Addresses given out are public ones, as in the specification; a marketplace fetches pictures from them.
        anyone = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
        client.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [anyone]}))


def _compare(
    console: Console, run: int, gemini: emulators.Emulator, openai: emulators.Emulator, costs: list[dict[str, object]]
) -> list[str]:
    """Prints the calls by model and operation; returns what does not fit."""
    table = Table(title=f"What the emulators were asked in run {run}", title_justify="left")
    for heading in ("provider", "operation", "model", "answered", "calls"):
        table.add_column(heading)
    paid = 0
    copy_calls = 0
    for provider, emulator in (("gemini", gemini), ("openai", openai)):
        counted: dict[tuple[str, str, int], int] = {}
        for entry in emulator.log:
            key = (entry.operation, entry.model or "", entry.status)
            counted[key] = counted.get(key, 0) + 1
            if entry.operation not in FREE:
                paid += 1
                copy_calls += provider == "openai"
        for (operation, model, status), count in sorted(counted.items()):
            table.add_row(provider, operation, model, str(status), str(count))
    console.print(table)
    claimed = sum(int(str(cost.get("calls", 0))) for cost in costs)
    console.print(f"The products' own accounts add up to {claimed} paid calls; the emulators logged {paid}.")
    problems = []
    if claimed != paid:
        problems.append(f"run {run}: {claimed} calls were accounted for, {paid} were made")
    if run == 1 and not copy_calls:
        problems.append("run 1 asked OpenAI nothing; the cache should have been empty")
    if run == 2 and copy_calls:
        problems.append(f"run 2 asked OpenAI {copy_calls} times; everything was known from run 1")
    return problems


if __name__ == "__main__":
    sys.exit(main())
