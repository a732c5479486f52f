"""A system whose providers and object store are emulators on the loopback, and whose traces and metrics can be read."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import httpx
from jewelry_local.topology import PROCESSES
from moto.server import ThreadedMotoServer

from tests import emulators
from tests.collector import Collector, collecting
from tests.system import SAMPLES, System, photo, upload

GEMINI_KEY, OPENAI_KEY, S3_ID, S3_SECRET = "seen-gemini-key", "seen-openai-key", "seen-s3-id", "seen-s3-secret"
KEYS = (GEMINI_KEY, OPENAI_KEY, S3_ID, S3_SECRET)
"""Credentials of the system; none of them may ever be seen."""


class SeenSystem(System):
    """Every process serves its metrics on a port of its own, as every pod does."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        super().__init__(folder, variables)
        self._metrics_ports = dict(zip((one.name for one in PROCESSES), _free_ports(len(PROCESSES)), strict=True))

    def start(self, name: str) -> None:
        """Starts one service."""
        self._environment["METRICS_PORT"] = str(self._metrics_ports[name])
        super().start(name)

    def metrics(self) -> dict[str, str]:
        """What each service shows to Prometheus."""
        return {
            name: httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10, trust_env=False).text
            for name, port in self._metrics_ports.items()
        }


@dataclass(frozen=True)
class Seen:
    """A running system and the collector of its traces."""

    system: SeenSystem
    collector: Collector


@contextmanager
def seen_system(folder: Path) -> Iterator[Seen]:
    """Real services; Gemini, OpenAI and S3 are emulated."""
    with ExitStack() as stack:
        endpoint = stack.enter_context(_object_store())
        collector = stack.enter_context(collecting())
        gemini = stack.enter_context(emulators.gemini())
        openai = stack.enter_context(emulators.openai())
        variables = {
            "GOOGLE_API_KEY": GEMINI_KEY,
            "GOOGLE_GEMINI_BASE_URL": gemini.url,
            # Models whose ends are announced.
            "GEMINI_MODEL": "gemini-2.5-flash",
            "OPENAI_IMAGE_MODEL": "gpt-image-1",
            "OPENAI_API_KEY": OPENAI_KEY,
            "OPENAI_BASE_URL": openai.url,
            "AWS_ACCESS_KEY_ID": S3_ID,
            "AWS_SECRET_ACCESS_KEY": S3_SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": endpoint,
            "PRODUCTS_FILE": str(SAMPLES / "products.csv"),
            "CLEAN_ORPHANS_ON_STARTUP": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            # Spans are on their way at once.
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        system = SeenSystem(folder, variables)
        stack.enter_context(system)
        yield Seen(system, collector)


def take_through(client: httpx.Client, sku: str, seller: Mapping[str, object]) -> None:
    """Stores a photo and has its product described and written about, into a workbook."""
    answer = upload(client, photo("ALY-EAR-002").read_bytes())
    assert answer.status_code == 200, answer.text
    body = {"image_urls": answer.json()["s3_url"], "skuids": sku, "marketplace_type": "ama_ear", "seller": seller}
    answer = client.post("/catalog-ai", json=body)
    assert answer.status_code == 200, answer.text
    (result,) = answer.json()["results"]
    assert result["status"] == "success", result


@contextmanager
def _object_store() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    store = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    # Servers of one process share what they hold: a picture of another module's would be indexed at the start.
    httpx.post(f"{endpoint}/moto-api/reset", timeout=10, trust_env=False).raise_for_status()
    for bucket in ("alyaimg", "blyskimg"):
        store.create_bucket(Bucket=bucket)
    try:
        yield endpoint
    finally:
        server.stop()


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()
