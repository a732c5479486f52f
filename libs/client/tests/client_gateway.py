"""A scripted gateway on a real socket: each path answers what a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, Any, dict[str, str]]


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Gateway:
    """Replies by `METHOD /path`: a body, a (status, body, headers), a list of these in turn, or a function."""

    url: str = ""
    script: dict[str, Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def paths(self) -> list[str]:
        return [f"{one.method} {one.path}" for one in self.asked]

    def reply(self, asked: Asked) -> Reply:
        scripted = self.script.get(f"{asked.method} {asked.path}")
        if isinstance(scripted, list) and scripted:
            scripted = scripted.pop(0) if len(scripted) > 1 else scripted[0]
        if isinstance(scripted, Callable):  # type: ignore[arg-type]
            scripted = scripted(asked)
        if scripted is None:
            return 404, {"status": 404, "code": "NOT_FOUND", "detail": "there is no such path"}, {}
        return scripted if isinstance(scripted, tuple) else (200, scripted, {})


@contextmanager
def gateway() -> Iterator[Gateway]:
    """Runs until the block ends."""
    fake = Gateway()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, path, query, headers, body)
            fake.asked.append(asked)
            status, reply, more = fake.reply(asked)
            content = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(content)),
                **more,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = answer

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def events(*sent: tuple[str, str, dict[str, Any]]) -> Reply:
    """A stream of events that ends."""
    text = "".join(f"id: {number}\nevent: {name}\ndata: {json.dumps(data)}\n\n" for number, name, data in sent)
    return 200, text.encode(), {"Content-Type": "text/event-stream"}
