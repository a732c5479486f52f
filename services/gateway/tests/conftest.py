"""Six services on real sockets that answer as a test scripts them, and the gateway before them."""

from __future__ import annotations

import asyncio
import inspect
import io
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from jewelry.analyzer.v1 import analyzer_pb2, analyzer_pb2_grpc
from jewelry.copywriter.v1 import copywriter_pb2, copywriter_pb2_grpc
from jewelry.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from jewelry.exporter.v1 import exporter_pb2, exporter_pb2_grpc
from jewelry.semantic.v1 import semantic_pb2, semantic_pb2_grpc
from jewelry.type.v1 import type_pb2
from jewelry.vision_index.v1 import vision_index_pb2, vision_index_pb2_grpc
from PIL import Image

from gateway_service import serving
from gateway_service.app import create_app
from gateway_service.clients import Clients, over
from gateway_service.fetch import Fetcher
from gateway_service.settings import Settings
from objectstore import FolderStore
from servicekit import Service, client, context, testing

MODULES = {
    "embedding": (embedding_pb2, embedding_pb2_grpc, "EmbeddingService"),
    "vision-index": (vision_index_pb2, vision_index_pb2_grpc, "VisionIndexService"),
    "analyzer": (analyzer_pb2, analyzer_pb2_grpc, "AnalyzerService"),
    "copywriter": (copywriter_pb2, copywriter_pb2_grpc, "CopywriterService"),
    "exporter": (exporter_pb2, exporter_pb2_grpc, "ExporterService"),
    "semantic": (semantic_pb2, semantic_pb2_grpc, "SemanticService"),
}


class Fake:
    """A service whose RPCs do what its script says: a message, an exception, or a function of the request."""

    def __init__(self, name: str) -> None:
        messages, stubs, service = MODULES[name]
        self.script: dict[str, Any] = {}
        self.calls: dict[str, list[Any]] = {}
        self.request_ids: list[str] = []
        self.descriptor = messages.DESCRIPTOR.services_by_name[service]
        body = {method.name: self._rpc(method.name) for method in self.descriptor.methods}
        servicer = type(f"Fake{service}", (getattr(stubs, f"{service}Servicer"),), body)()
        add = getattr(stubs, f"add_{service}Servicer_to_server")
        self.service = Service(register=lambda server: add(servicer, server), descriptors=[self.descriptor])

    def _rpc(self, method: str) -> Callable[..., Any]:
        async def answer(_: Any, request: Any, call: Any) -> Any:
            self.calls.setdefault(method, []).append(request)
            self.request_ids.append(context.request_id())
            reply = self.script.get(method)
            if callable(reply):
                reply = reply(request)
                if inspect.isawaitable(reply):
                    reply = await reply
            if isinstance(reply, Exception):
                raise reply
            if reply is None:
                raise NotImplementedError
            return reply

        return answer


def adapter(role: str, name: str, model_id: str = "", embedded: bool = False) -> type_pb2.Adapter:
    return type_pb2.Adapter(role=role, name=name, model_id=model_id, embedded=embedded)


def default_scripts() -> dict[str, dict[str, Any]]:
    """What a healthy system answers."""
    vi, an, cw, ex, se = vision_index_pb2, analyzer_pb2, copywriter_pb2, exporter_pb2, semantic_pb2
    match = vi.Match(
        id="k1",
        url="http://127.0.0.1:8000/files/alyaimg/images/old.jpg",
        website="alya",
        distance=17.5,
        cosine=0.91,
        verdict=vi.VERDICT_SIMILAR,
        reason=vi.REASON_DISTANCE,
        band=vi.BAND_SIMILAR,
        original_name="old.jpg",
    )

    def export(request: Any) -> Any:
        return ex.ExportResponse(
            url="http://127.0.0.1:8000/files/alyaimg/excel_files/b.xlsx",
            run_id="run-1",
            rows=len(request.products),
            template_id="builtin",
            findings=[
                ex.Finding(
                    sku=request.products[0].sku,
                    row=4,
                    field="brand_name",
                    cell="D4",
                    rule="required",
                    severity=ex.SEVERITY_ERROR,
                    message="the brand is missing",
                )
            ],
        )

    def filtered(request: Any) -> Any:
        matches = [se.FilterMatch(id=str(n), score=1 - n / 10, why="gold", style="Temple") for n in (101, 102)]
        return se.FilterResponse(matches=matches, collection_title="Gold", collection_description="All gold.")

    cost = type_pb2.Cost(calls=1, input_tokens=1000, output_tokens=100, inr_micros=250_000)
    return {
        "embedding": {
            "GetModel": embedding_pb2.GetModelResponse(
                model=embedding_pb2.Model(id="perceptual-v1", engine="perceptual", device="cpu")
            )
        },
        "vision-index": {
            "UploadAndIndex": lambda request: vi.UploadAndIndexResponse(
                indexed=True,
                id="k2",
                url="http://127.0.0.1:8000/files/alyaimg/images/new.jpg",
                decision=vi.Decision(
                    verdict=vi.VERDICT_SIMILAR, matches=[match], explanation="it looks alike", model_id="perceptual-v1"
                ),
            ),
            "Search": vi.SearchResponse(matches=[match], duplicate_found=False, model_id="perceptual-v1"),
            "Delete": lambda request: vi.DeleteResponse(
                results=[vi.DeleteResult(url=url, status=vi.DELETE_STATUS_DELETED) for url in request.urls]
            ),
            "GetStats": vi.GetStatsResponse(model_id="perceptual-v1", adapters=[adapter("vectors", "milvus-lite")]),
        },
        "analyzer": {
            "Caption": an.CaptionResponse(
                name="Gold Hoop",
                description="A plain hoop.",
                attributes=["gold", "hoop"],
                color="gold",
                quality=an.QUALITY_A,
                product_type="earrings",
                adapter=adapter("vision", "gemini", "gemini-3.8-flash"),
                cost=cost,
            ),
            "Analyze": lambda request: an.AnalyzeResponse(
                fields=[
                    type_pb2.FieldValue(
                        field="metal_type",
                        values=["Brass"],
                        source=type_pb2.VALUE_SOURCE_IMAGE,
                        confidence=0.9,
                        evidence="yellow metal",
                    ),
                    type_pb2.FieldValue(field="clasp_type", review_reason="cannot be seen", suggestions=["Push Back"]),
                ],
                detected_category="earrings",
                adapter=adapter("vision", "gemini", "gemini-3.8-flash"),
                cost=cost,
            ),
            "GetProviders": an.GetProvidersResponse(adapters=[adapter("vision", "local", "", embedded=True)]),
        },
        "copywriter": {
            "WriteCopy": lambda request: cw.WriteCopyResponse(
                copy=cw.Copy(
                    title=f"Hoop {request.sku}",
                    bullet_points=["Light", "Round"],
                    description="A plain hoop.",
                    origin=cw.COPY_ORIGIN_MODEL,
                ),
                adapter=adapter("copy", "openai", "gpt-6-luna"),
                cost=cost,
            ),
            "GetProviders": cw.GetProvidersResponse(adapters=[adapter("copy", "openai", "gpt-6-luna")]),
        },
        "exporter": {
            "Export": export,
            "DescribeTemplate": ex.DescribeTemplateResponse(template=ex.Template(id="builtin", built_in=True)),
            "CloseRun": ex.CloseRunResponse(closed_run_id="run-1", run_id="run-2"),
            "GetProviders": ex.GetProvidersResponse(adapters=[adapter("objects", "folder", embedded=True)]),
        },
        "semantic": {
            "Filter": filtered,
            "GetStatus": se.GetStatusResponse(products=2, model_id="minilm"),
        },
    }


class System:
    """The fakes and a gateway over them."""

    def __init__(self, fakes: dict[str, Fake], channels: dict[str, Any], folder: Path) -> None:
        self.fakes = fakes
        self.channels = channels
        self.folder = folder
        self.fetcher = Fetcher()
        self._stack = AsyncExitStack()

    def __getitem__(self, name: str) -> Fake:
        return self.fakes[name]

    def settings(self, **changes: Any) -> Settings:
        return Settings(_env_file=None, data_dir=self.folder, **changes)  # type: ignore[call-arg]

    def clients(self, settings: Settings) -> Clients:
        return over(self.channels, FolderStore(settings), self.fetcher)

    async def client(self, **changes: Any) -> httpx.AsyncClient:
        """A client of a gateway with these settings, over ASGI."""
        settings = self.settings(**changes)
        clients = self.clients(settings)
        app = create_app(settings, clients)
        self._stack.push_async_callback(clients.store.close)
        self._stack.push_async_callback(app.state.desk.close)
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")
        return await self._stack.enter_async_context(http)

    async def close(self) -> None:
        await self._stack.aclose()


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    scripts = default_scripts()
    async with AsyncExitStack() as stack:
        fakes, channels = {}, {}
        for name in MODULES:
            fakes[name] = Fake(name)
            fakes[name].script = scripts[name]
            channels[name] = await stack.enter_async_context(testing.serve_locally(fakes[name].service))
        found = System(fakes, channels, tmp_path)
        yield found
        await found.close()


def _rare_scripts() -> dict[str, dict[str, Any]]:
    """What a healthy system answers on paths that few tests take."""
    an, cw, ex = analyzer_pb2, copywriter_pb2, exporter_pb2
    made = ex.Template(id="t1", marketplace_code="ama_ear", version=1, columns=[ex.Column(letters="A", name="sku")])
    table = an.Table(columns=["item"], rows=[an.Row(cells=[an.Cell(text="stud", confidence=0.9)])])
    return {
        "analyzer": {
            "ExtractTable": an.ExtractTableResponse(table=table, adapter=adapter("bills", "local", embedded=True)),
            "RefineTable": lambda request: an.RefineTableResponse(table=request.table),
            "GenerateVariations": an.GenerateVariationsResponse(pictures=[an.GeneratedPicture(prompt_index=0)]),
        },
        "copywriter": {"GenerateImages": cw.GenerateImagesResponse(images=[cw.GeneratedImage(prompt_index=0)])},
        "vision-index": {"MarkDistinct": vision_index_pb2.MarkDistinctResponse()},
        "exporter": {
            "RegisterTemplate": ex.RegisterTemplateResponse(template=made),
            "ListTemplates": ex.ListTemplatesResponse(templates=[made]),
        },
    }


class Live:
    """The fakes and the gateway, on real sockets in a thread of their own, so that synchronous tools can call it."""

    KEY = "live-key-of-the-tests"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._started = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._main)
        self.fakes: dict[str, Fake] = {}
        self.url = ""
        self._app: Any = None

    def __enter__(self) -> Live:
        self._thread.start()
        self._started.wait(60)
        if self._error is not None:
            raise self._error
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        """The same application without HTTP; channels belong to a loop, so it runs in the thread's own."""
        assert self._loop is not None
        caller = asyncio.get_running_loop()

        async def receive_there() -> Any:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(receive(), caller))

        async def send_there(message: Any) -> None:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(send(message), caller))

        served = self._app(dict(scope), receive_there, send_there)
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(served, self._loop))

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._error = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        scripts = default_scripts()
        for name, more in _rare_scripts().items():
            scripts[name].update(more)
        async with AsyncExitStack() as stack:
            channels = {}
            for name in MODULES:
                self.fakes[name] = Fake(name)
                self.fakes[name].script = scripts[name]
                channels[name] = await stack.enter_async_context(testing.serve_locally(self.fakes[name].service))
            found = System(self.fakes, channels, self._folder)
            settings = found.settings(gateway_api_keys=f"live:{self.KEY}", gateway_rate_limits="", drain_seconds=1.0)
            clients = found.clients(settings)
            app = create_app(settings, clients)
            self._app = app
            config = serving.config(settings, app, "127.0.0.1", 0)
            server = uvicorn.Server(config)
            server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
            with config.bind_socket() as listening:
                self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
                task = asyncio.create_task(server._serve([listening]))
                while not server.started:
                    await asyncio.sleep(0.01)
                self._started.set()
                await self._stop.wait()
                server.should_exit = True
                await task
            await app.state.desk.close()
            await clients.store.close()


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A gateway with a key that any thread can call."""
    with Live(tmp_path_factory.mktemp("live")) as running:
        yield running


@pytest.fixture
async def unserved(tmp_path: Path) -> AsyncIterator[System]:
    """A gateway whose services nobody started: what it answers itself. A call to one would be a 503."""
    fakes = {name: Fake(name) for name in MODULES}
    channels = {
        name: client.connect("127.0.0.1:1", [fake.descriptor], testing.settings()) for name, fake in fakes.items()
    }
    found = System(fakes, channels, tmp_path)
    yield found
    await found.close()
    for channel in channels.values():
        await channel.close()


@pytest.fixture
async def door(unserved: System) -> httpx.AsyncClient:
    """A client of such a gateway."""
    return await unserved.client()


@pytest.fixture
async def http(system: System) -> httpx.AsyncClient:
    """A client of a gateway with the default settings."""
    return await system.client()


@pytest.fixture(scope="session")
def jpeg() -> bytes:
    """A small picture."""
    out = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(out, "JPEG")
    return out.getvalue()


@pytest.fixture
async def listener() -> AsyncIterator[Callable[..., Any]]:
    """Starts HTTP servers on the loopback: `await listener(bytes or function of the path)` gives (port, paths seen)."""
    servers: list[asyncio.Server] = []
    serving: set[asyncio.Task[Any]] = set()

    async def start(answer: Any) -> tuple[int, list[str]]:
        seen: list[str] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            serving.add(task)
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ")[1].decode()
                seen.append(path)
                reply = answer(path) if callable(answer) else answer
                if inspect.isawaitable(reply):
                    reply = await reply
                writer.write(reply)
                await writer.drain()
            except asyncio.CancelledError:
                pass
            finally:
                writer.close()
                serving.discard(task)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        servers.append(server)
        return server.sockets[0].getsockname()[1], seen

    yield start
    for server in servers:
        server.close()
    for task in list(serving):
        task.cancel()
    await asyncio.gather(*serving)
    await asyncio.sleep(0)  # closed transports let go of their sockets in the loop's next round
