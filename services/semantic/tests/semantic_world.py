"""Stand-ins on real sockets, an analyzer and a shop, and a catalogue with known attributes."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
from jewelry.analyzer.v1 import analyzer_pb2, analyzer_pb2_grpc
from jewelry.copywriter.v1 import copywriter_pb2, copywriter_pb2_grpc
from jewelry.semantic.v1 import semantic_pb2, semantic_pb2_grpc
from jewelry.type.v1 import type_pb2

from semantic_service import vocabulary
from semantic_service.__main__ import build
from semantic_service.settings import Settings
from servicekit import Service, client, errors, testing
from servicekit.server import RunningServer
from servicekit.testing import serve_locally

DIMENSIONS = 256
HARD = semantic_pb2.STRICTNESS_HARD

Answer = tuple[int, dict[str, str], bytes]


def bag_vector(text: str) -> np.ndarray:
    """A deterministic vector: each word, without its ending, votes for one dimension."""
    vector = np.zeros(DIMENSIONS, dtype=np.float32)
    for word in vocabulary.stems(text):
        vector[int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big") % DIMENSIONS] += 1.0
    if not vector.any():
        vector[0] = 1.0
    return vector / np.linalg.norm(vector)


class FakeAnalyzer(analyzer_pb2_grpc.AnalyzerServiceServicer):
    """EmbedTexts with bag-of-words vectors, a log of what was embedded, and faults on order."""

    def __init__(self) -> None:
        self.model_id = "bag-1"
        self.documents: list[str] = []
        self.queries: list[str] = []
        self.before: Callable[[list[str]], Awaitable[None]] | None = None
        self.fail: Callable[[list[str]], errors.ServiceError | None] = lambda texts: None

    async def EmbedTexts(self, request: Any, context: Any) -> Any:
        texts = list(request.texts)
        if self.before is not None:
            await self.before(texts)
        if (error := self.fail(texts)) is not None:
            raise error
        is_query = request.task == analyzer_pb2.EmbedTask.EMBED_TASK_QUERY
        (self.queries if is_query else self.documents).extend(texts)
        return analyzer_pb2.EmbedTextsResponse(
            embeddings=[analyzer_pb2.TextEmbedding(values=bag_vector(text)) for text in texts],
            model_id=self.model_id,
            adapter=type_pb2.Adapter(role="text_embedding", name="bag", embedded=True, model_id=self.model_id),
        )

    def embedded(self, catalogue: list[dict[str, Any]]) -> list[str]:
        """Ids of products, in the order in which they were embedded since the last `forget`."""
        ids = {product["title"]: product["id"] for product in catalogue}
        return [ids[title] for text in self.documents if (title := text.split(". ")[0]) in ids]

    def forget(self) -> None:
        """Empties the log."""
        self.documents.clear()
        self.queries.clear()


@dataclass
class RunningAnalyzer:
    """The servicer, where it listens, and its server."""

    servicer: FakeAnalyzer
    address: str
    server: RunningServer


@asynccontextmanager
async def running_analyzer() -> AsyncIterator[RunningAnalyzer]:
    """The fake analyzer on a free port."""
    servicer = FakeAnalyzer()
    service = Service(
        register=lambda server: analyzer_pb2_grpc.add_AnalyzerServiceServicer_to_server(servicer, server),
        descriptors=[analyzer_pb2.DESCRIPTOR.services_by_name["AnalyzerService"]],
    )
    server = RunningServer(service, testing.settings(), "127.0.0.1:0")
    await server.start()
    await server.become_ready()
    try:
        yield RunningAnalyzer(servicer, f"127.0.0.1:{server.port}", server)
    finally:
        await server.stop(0)


class FakeCopywriter(copywriter_pb2_grpc.CopywriterServiceServicer):
    """WriteCollection with given texts, a log of what was asked, and errors on order."""

    def __init__(self) -> None:
        self.title, self.description = "Jhumkas", "Jhumkas to look at."
        self.asked: list[copywriter_pb2.WriteCollectionRequest] = []
        self.error: errors.ServiceError | None = None

    async def WriteCollection(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        adapter = type_pb2.Adapter(role="collection_copy", name="fake", model_id="fake-1")
        return copywriter_pb2.WriteCollectionResponse(title=self.title, description=self.description, adapter=adapter)


@asynccontextmanager
async def running_copywriter() -> AsyncIterator[tuple[FakeCopywriter, str]]:
    """The fake copywriter on a free port, and where it listens."""
    servicer = FakeCopywriter()
    service = Service(
        register=lambda server: copywriter_pb2_grpc.add_CopywriterServiceServicer_to_server(servicer, server),
        descriptors=[copywriter_pb2.DESCRIPTOR.services_by_name["CopywriterService"]],
    )
    server = RunningServer(service, testing.settings(), "127.0.0.1:0")
    await server.start()
    await server.become_ready()
    try:
        yield servicer, f"127.0.0.1:{server.port}"
    finally:
        await server.stop(0)


@dataclass
class FakeShop:
    """What the source answers: a function from path and parameters to status, headers and body."""

    url: str
    answer: Callable[[str, dict[str, str]], Answer] = lambda path, params: (404, {}, b"")
    asked: list[tuple[str, dict[str, str], dict[str, str]]] = field(default_factory=list)

    def gives(self, payload: object, status: int = 200, kind: str = "application/json") -> None:
        """Answers every request with the same body."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.answer = lambda path, params: (status, {"Content-Type": kind}, body)


@contextmanager
def running_shop() -> Iterator[FakeShop]:
    """A shop's API on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            params = dict(parse_qsl(parts.query))
            shop.asked.append((parts.path, params, dict(self.headers)))
            status, headers, body = shop.answer(parts.path, params)
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    shop = FakeShop(f"http://127.0.0.1:{server.server_address[1]}/api/get-all-products")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield shop
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Semantic:
    """A client of the whole service on a real socket."""

    def __init__(self, stub: semantic_pb2_grpc.SemanticServiceStub) -> None:
        self.stub = stub

    async def sync(self, *, full: bool = False) -> semantic_pb2.SyncResponse:
        """Syncs to the end; the last message, with the problems of all."""
        problems: list[str] = []
        last = semantic_pb2.SyncResponse()
        async for message in client.stream(self.stub.Sync, semantic_pb2.SyncRequest(full=full), timeout=30.0):
            problems.extend(message.problems)
            last = message
        del last.problems[:]
        last.problems.extend(problems)
        return last

    async def filter(self, **request: Any) -> semantic_pb2.FilterResponse:
        """Finds a collection."""
        return await client.call(self.stub.Filter, semantic_pb2.FilterRequest(**request), timeout=20.0)

    async def status(self) -> semantic_pb2.GetStatusResponse:
        """Asks for the state."""
        return await client.call(self.stub.GetStatus, semantic_pb2.GetStatusRequest(), timeout=5.0)


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Semantic]:
    """The service as its main wires it, and its first sync ended, well or not."""
    async with serve_locally(await build(settings)) as channel:
        semantic = Semantic(semantic_pb2_grpc.SemanticServiceStub(channel))
        with suppress(errors.ServiceError):
            await semantic.sync()
        yield semantic


KINDS = {
    "Earrings": ["Jhumka", "Stud Earrings", "Hoop Earrings", "Chandbali", "Drop Earrings"],
    "Necklaces": ["Choker", "Long Necklace", "Pendant Necklace"],
    "Bracelets": ["Charm Bracelet", "Tennis Bracelet"],
    "Bangles": ["Bangle"],
    "Rings": ["Ring"],
}
COLORS = ["Gold", "Rose Gold", "Silver", "Oxidised", "Black"]
AUDIENCES = ["Women", "Men", "Girls", "Unisex"]
STONES = ["Kundan", "Pearl", "Ruby", "Emerald", "American Diamond", "Turquoise", "Meenakari", "Plain"]
MOTIFS = ["Peacock", "Lotus", "Flower", "Leaf", "Heart", "Geometric", "Butterfly", "Paisley"]
OCCASIONS = ["Wedding", "Festive", "Office", "Daily", "Party"]


def make_catalogue(count: int, seed: int = 7) -> list[dict[str, Any]]:
    """Products with attributes drawn at random, each with a title of its own."""
    rng = random.Random(seed)
    products = []
    for number in range(count):
        category = rng.choice(list(KINDS))
        kind, color = rng.choice(KINDS[category]), rng.choice(COLORS)
        stone, motif, occasion = rng.choice(STONES), rng.choice(MOTIFS), rng.choice(OCCASIONS)
        year, month, day = rng.randrange(2023, 2027), rng.randrange(1, 13), rng.randrange(1, 29)
        products.append(
            {
                "id": f"P{number:05d}",
                "title": f"{color} {stone} {motif} {kind} {number}",
                "description": f"{kind} with {motif.lower()} motif, made for {occasion.lower()} days.",
                "category": category,
                "product_type": kind,
                "color": color,
                "gender": rng.choice(AUDIENCES),
                "price": None if rng.random() < 0.05 else rng.randrange(199, 9999),
                "created_at": None if rng.random() < 0.05 else f"{year}-{month:02d}-{day:02d}",
                "in_stock": rng.random() < 0.7,
                "stone_type": stone,
                "motif": motif,
                "occasion": occasion,
            }
        )
    return products


def plain_scan(catalogue: list[dict[str, Any]], request: dict[str, Any]) -> list[str]:
    """The filters, written as plainly as can be."""
    found = []
    for product in catalogue:
        price, day = product["price"], product["created_at"]
        audiences = {request.get("target_audience", "").title(), "Unisex"}
        if (
            (request.get("category", product["category"]) != product["category"])
            or ("min_price" in request and (price is None or price < request["min_price"]))
            or ("max_price" in request and (price is None or price > request["max_price"]))
            or ("start_date" in request and (day is None or day < request["start_date"]))
            or ("end_date" in request and (day is None or day > request["end_date"]))
            or (request.get("in_stock") and not product["in_stock"])
            or (request.get("color_strictness") == HARD and request["color"].lower() != product["color"].lower())
            or (request.get("audience_strictness") == HARD and product["gender"] not in audiences)
            or product["id"] in request.get("hidden_ids", ())
        ):
            continue
        found.append(product["id"])
    return found


def random_request(rng: random.Random, catalogue: list[dict[str, Any]]) -> dict[str, Any]:
    """A request with some filters and wishes."""
    request: dict[str, Any] = {"collection_size": 1000}
    low, high = sorted((rng.randrange(100, 9000), rng.randrange(100, 11000)))
    first, last = sorted(
        f"{rng.randrange(2023, 2027)}-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}" for _ in "ab"
    )
    for name, value in (
        ("category", rng.choice(list(KINDS))), ("min_price", low), ("max_price", high), ("start_date", first),
        ("end_date", last), ("in_stock", True), ("manual_prompt", rng.choice(["kundan wedding", "simple office wear"])),
        ("hidden_ids", [product["id"] for product in rng.sample(catalogue, 20)]),
    ):  # fmt: skip
        if rng.random() < 0.4:
            request[name] = value
    if rng.random() < 0.3:
        request |= {"color": rng.choice(COLORS), "color_strictness": rng.choice([HARD, 0])}
    if rng.random() < 0.3:
        request |= {"target_audience": rng.choice(AUDIENCES[:2]).lower(), "audience_strictness": rng.choice([HARD, 0])}
    return request
