"""What the door is measured against: services that answer at once, and the bare framework. Each a process of its own.

python -m services.gateway.bench.peers backend PORT
python -m services.gateway.bench.peers bare PORT
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, UploadFile
from jewelry.analyzer.v1 import analyzer_pb2, analyzer_pb2_grpc
from jewelry.vision_index.v1 import vision_index_pb2, vision_index_pb2_grpc

from servicekit import Service, errors
from servicekit.server import RunningServer
from servicekit.testing import settings

CAPTION_SECONDS = 1.0
# As many as an analyzer with a bounded queue works on; more are refused at once.
CAPTIONS_AT_ONCE = 64


class _Index(vision_index_pb2_grpc.VisionIndexServiceServicer):
    """Finds nothing, and takes every picture for a new one."""

    async def Search(self, request: Any, context: Any) -> Any:  # type: ignore[override]  # asynchronous
        return vision_index_pb2.SearchResponse(model_id="bench")

    async def UploadAndIndex(self, request: Any, context: Any) -> Any:  # type: ignore[override]
        decision = vision_index_pb2.Decision(verdict=vision_index_pb2.VERDICT_NEW, model_id="bench")
        return vision_index_pb2.UploadAndIndexResponse(indexed=True, id="k", url="http://x/k.jpg", decision=decision)


class _Captions(analyzer_pb2_grpc.AnalyzerServiceServicer):
    """Takes a second for a caption, and some at once."""

    def __init__(self) -> None:
        self.counts = {"finished": 0, "refused": 0}
        self._running = 0

    async def Caption(self, request: Any, context: Any) -> Any:  # type: ignore[override]
        if self._running >= CAPTIONS_AT_ONCE:
            self.counts["refused"] += 1
            raise errors.ResourceExhausted("the queue is full", reason="QUEUE_FULL", retry_after=1.0)
        self._running += 1
        try:
            await asyncio.sleep(CAPTION_SECONDS)
            self.counts["finished"] += 1
        finally:
            self._running -= 1
        return analyzer_pb2.CaptionResponse(name="Hoop", description="A hoop.")


async def backend(port: int) -> None:
    """Serves until SIGTERM, then prints how many captions were finished and refused."""
    captions = _Captions()

    def register(server: Any) -> None:
        vision_index_pb2_grpc.add_VisionIndexServiceServicer_to_server(_Index(), server)
        analyzer_pb2_grpc.add_AnalyzerServiceServicer_to_server(captions, server)

    descriptors = [
        vision_index_pb2.DESCRIPTOR.services_by_name["VisionIndexService"],
        analyzer_pb2.DESCRIPTOR.services_by_name["AnalyzerService"],
    ]
    server = RunningServer(Service(register=register, descriptors=descriptors), settings(), f"127.0.0.1:{port}")
    await server.start()
    await server.become_ready()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    print(json.dumps(captions.counts), flush=True)
    await server.stop(1.0)


def bare(port: int) -> None:
    """FastAPI as its manual shows it: a form's file, or the body, answered by its size."""
    app = FastAPI()

    @app.post("/multipart")
    async def multipart(file: UploadFile) -> dict[str, int]:
        return {"size": len(await file.read())}

    @app.post("/raw")
    async def raw(request: Request) -> dict[str, int]:
        return {"size": len(await request.body())}

    uvicorn.run(app, host="127.0.0.1", port=port, loop="uvloop", http="httptools", access_log=False, log_level="error")


if __name__ == "__main__":
    kind, number = sys.argv[1], int(sys.argv[2])
    if kind == "backend":
        asyncio.run(backend(number))
    else:
        bare(number)
