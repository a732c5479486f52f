"""Gateways as real processes over services that count what they are asked, and what must hold after kill -9.

The services run in the test's own process, so that they outlive every gateway and know each call by its SKU.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from jewelry.analyzer.v1 import analyzer_pb2, analyzer_pb2_grpc
from jewelry.copywriter.v1 import copywriter_pb2, copywriter_pb2_grpc
from jewelry.exporter.v1 import exporter_pb2, exporter_pb2_grpc
from jewelry.type.v1 import type_pb2
from jewelry_local.topology import environment
from PIL import Image

from servicekit import Service, testing
from servicekit.server import RunningServer

BUCKET = "alyaimg"
READY_SECONDS = 90.0
JOB_SECONDS = 240.0
_FOREIGN = ("GOOGLE_", "OPENAI_", "AWS_", "DATABASE_", "GATEWAY_", "BUCKET_", "S3_", "DBOS_")
PAID = {"analyze": "Analyze", "write_copy": "WriteCopy"}
"""Names of the steps that cost money, and of the calls that they make."""


@dataclass
class Services:
    """Analyzer, copywriter and exporter that answer at once, or after `seconds`, and count."""

    seconds: float = 0.02
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Calls by RPC and SKU, counted when they arrive."""
    exports: list[list[str]] = field(default_factory=list)
    """SKUs of each export."""
    addresses: dict[str, str] = field(default_factory=dict)

    async def _paid(self, rpc: str, sku: str) -> type_pb2.Cost:
        self.calls[rpc, sku] += 1
        await asyncio.sleep(self.seconds)
        return type_pb2.Cost(calls=1, input_tokens=1000, output_tokens=100, inr_micros=250_000)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Services]:
        """Serves on free ports of the loopback."""
        running = []
        settings = testing.settings()
        try:
            for name, service in self._services().items():
                server = RunningServer(service, settings, "127.0.0.1:0")
                await server.start()
                await server.become_ready()
                running.append(server)
                self.addresses[name] = f"127.0.0.1:{server.port}"
            yield self
        finally:
            for server in running:
                await server.stop(1.0)

    def _services(self) -> dict[str, Service]:
        rig = self

        class Analyzer(analyzer_pb2_grpc.AnalyzerServiceServicer):
            async def Analyze(self, request: Any, context: Any) -> Any:
                cost = await rig._paid("Analyze", request.sku)
                value = type_pb2.FieldValue(
                    field="metal_type", values=["Brass"], source=type_pb2.VALUE_SOURCE_IMAGE, confidence=0.9
                )
                return analyzer_pb2.AnalyzeResponse(fields=[value], detected_category="earrings", cost=cost)

        class Copywriter(copywriter_pb2_grpc.CopywriterServiceServicer):
            async def WriteCopy(self, request: Any, context: Any) -> Any:
                cost = await rig._paid("WriteCopy", request.sku)
                copy = copywriter_pb2.Copy(title=f"Hoop {request.sku}", description="A hoop.")
                return copywriter_pb2.WriteCopyResponse(copy=copy, cost=cost)

        class Exporter(exporter_pb2_grpc.ExporterServiceServicer):
            async def DescribeTemplate(self, request: Any, context: Any) -> Any:
                return exporter_pb2.DescribeTemplateResponse(template=exporter_pb2.Template(built_in=True))

            async def Export(self, request: Any, context: Any) -> Any:
                rig.exports.append([product.sku for product in request.products])
                return exporter_pb2.ExportResponse(url="http://x/b.xlsx", run_id="r", rows=len(request.products))

        return {
            "ANALYZER_ADDR": Service(
                lambda server: analyzer_pb2_grpc.add_AnalyzerServiceServicer_to_server(Analyzer(), server),
                [analyzer_pb2.DESCRIPTOR.services_by_name["AnalyzerService"]],
            ),
            "COPYWRITER_ADDR": Service(
                lambda server: copywriter_pb2_grpc.add_CopywriterServiceServicer_to_server(Copywriter(), server),
                [copywriter_pb2.DESCRIPTOR.services_by_name["CopywriterService"]],
            ),
            "EXPORTER_ADDR": Service(
                lambda server: exporter_pb2_grpc.add_ExporterServiceServicer_to_server(Exporter(), server),
                [exporter_pb2.DESCRIPTOR.services_by_name["ExporterService"]],
            ),
        }


class Gateway:
    """A gateway process that can be killed and started again on the same stores."""

    def __init__(self, folder: Path, addresses: Mapping[str, str], variables: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = f"127.0.0.1:{listener.getsockname()[1]}"
        self.url = f"http://{address}"
        clean = {name: value for name, value in environment().items() if not name.startswith(_FOREIGN)}
        self._environment = {
            **clean,
            **addresses,
            "DATA_DIR": str(folder / "data"),
            "GATEWAY_ADDR": address,
            **(variables or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.client = httpx.AsyncClient(base_url=self.url, timeout=60, trust_env=False)

    def picture(self) -> str:
        """Stores a picture; its address."""
        file = self.folder / "data" / "objects" / BUCKET / "images" / "a.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        out = io.BytesIO()
        Image.new("RGB", (64, 64), "gold").save(out, "JPEG")
        file.write_bytes(out.getvalue())
        return f"http://127.0.0.1:8000/files/{BUCKET}/images/a.jpg"

    async def start(self) -> None:
        """Starts the process and waits until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "gateway.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway_service"],
                env=self._environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self.log()
            with contextlib.suppress(httpx.TransportError):
                if (await self.client.get("/healthz")).status_code == 200:
                    return
            await asyncio.sleep(0.05)
        raise AssertionError(f"the gateway did not start:\n{self.log()}")

    def kill(self) -> None:
        """SIGKILL, and waits until the process is gone."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()

    async def terminate(self) -> int:
        """SIGTERM; the exit status."""
        assert self._process is not None
        self._process.terminate()
        return await asyncio.to_thread(self._process.wait, 40)

    async def close(self) -> None:
        """Ends the process, whatever it does."""
        await self.client.aclose()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        """The end of what the process wrote."""
        return (self.folder / "gateway.log").read_text(errors="replace")[-4000:]

    async def submit(self, picture: str, name: str, count: int, **more: Any) -> str:
        """A job of `count` products, which nobody waits for; its id."""
        skus = [f"{name}-{number:03d}" for number in range(count)]
        body = {"image_urls": [picture] * count, "skuids": skus, "marketplace_type": "ama_ear", **more}
        answer = await self.client.post("/catalog-ai", json=body, headers={"Prefer": "respond-async"})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def job(self, job_id: str, results: bool = False) -> dict[str, Any]:
        """The job as it stands."""
        answer = await self.client.get(f"/jobs/{job_id}", params={"results": results})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def until(self, job_id: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The job once something holds of it."""
        deadline = time.monotonic() + JOB_SECONDS
        while True:
            found = await self.job(job_id)
            if holds(found):
                return found
            assert time.monotonic() < deadline, f"{found}\n{self.log()}"
            await asyncio.sleep(0.05)


def is_ended(job: Mapping[str, Any]) -> bool:
    """Whether nothing more will happen to the job."""
    return "finished" in job


def kept(database: str, job_id: str, schema: str = "") -> set[tuple[str, int]]:
    """Paid steps of a job whose results are kept: RPC and position of the product.

    Args:
        database: URL of the workflows' database.
        schema: Of the tables, with its dot; empty where the database has none.
    """
    engine = sa.create_engine(database)
    query = f"SELECT workflow_uuid, function_name FROM {schema}operation_outputs WHERE workflow_uuid LIKE :mine"
    with engine.connect() as connection:
        rows = connection.execute(sa.text(query), {"mine": f"{job_id}:%"}).all()
    engine.dispose()
    return {(PAID[step], int(workflow.rpartition(":")[2])) for workflow, step in rows if step in PAID}


async def whole(gateway: Gateway, services: Services, job_id: str, name: str, count: int) -> None:
    """Asserts that every product is there once, in the job, in its events and in the last workbook."""
    job = await gateway.job(job_id, results=True)
    skus = [f"{name}-{number:03d}" for number in range(count)]
    assert (job["status"], job["total"], job["succeeded"]) == ("succeeded", count, count), job["status"]
    # A second attempt would mean that a part of the job broke and somebody noticed.
    assert job["attempt"] == 1
    assert [row["sku"] for row in job["results"]] == skus
    assert {row["status"] for row in job["results"]} == {"success"}
    assert services.exports[-1] == skus
    text = (await gateway.client.get(f"/jobs/{job_id}/events")).text
    assert text.count("event: item\n") == count
    assert text.count("event: end\n") == 1
