"""What callers get when a store is down, slow, full or refuses us."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from objectstore import FolderStore, ObjectStoreSettings, S3Store
from objectstore.threads import Threads
from servicekit import deadlines, errors


class Scripted(BaseHTTPRequestHandler):
    """Answers every request with the status and the S3 code that the test set."""

    protocol_version = "HTTP/1.1"  # answers the 100-continue that botocore waits for
    status, code = 200, ""
    asked = 0

    def answer(self) -> None:
        type(self).asked += 1
        self.rfile.read(int(self.headers.get("content-length") or 0))
        body = f"<Error><Code>{self.code}</Code><Message>no</Message></Error>".encode()
        self.send_response(self.status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_DELETE = answer

    def log_message(self, *_: Any) -> None:
        """Keeps the test's output clean."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    Scripted.asked = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def s3(endpoint: str, **given: Any) -> S3Store:
    return S3Store(
        ObjectStoreSettings(
            _env_file=None,
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="s3cr3t",
            aws_endpoint_url_s3=endpoint,
            **given,
        )
    )


@pytest.mark.parametrize(
    ("status", "code", "kind", "reason"),
    [
        (403, "AccessDenied", errors.Unavailable, "OBJECT_STORE_DENIED"),
        (403, "SignatureDoesNotMatch", errors.Unavailable, "OBJECT_STORE_DENIED"),
        (400, "ExpiredToken", errors.Unavailable, "OBJECT_STORE_DENIED"),
        (404, "NoSuchBucket", errors.FailedPrecondition, "BUCKET_MISSING"),
        (507, "XMinioStorageFull", errors.Unavailable, "OBJECT_STORE_FULL"),
        (503, "SlowDown", errors.Unavailable, "OBJECT_STORE_BUSY"),
        (500, "InternalError", errors.Unavailable, "OBJECT_STORE_DOWN"),
        (409, "ConditionalRequestConflict", errors.Aborted, "OBJECT_CONFLICT"),
        (400, "Odd", errors.Internal, "OBJECT_STORE_ERROR"),
    ],
)
async def test_answers_of_s3_become_typed(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, status: int, code: str, kind: type[Exception], reason: str
) -> None:
    monkeypatch.setattr(Scripted, "status", status)
    monkeypatch.setattr(Scripted, "code", code)
    store = s3(endpoint)
    with pytest.raises(kind) as raised:
        await store.put("alyaimg", "k", b"x", "text/plain", if_absent=True)
    assert isinstance(raised.value, errors.ServiceError)
    assert raised.value.reason == reason
    assert "AKIDEXAMPLE" not in str(raised.value)
    assert "s3cr3t" not in str(raised.value)
    assert Scripted.asked <= 10
    await store.close()


async def test_s3_down_and_up_again() -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    server.stop()
    store = s3(f"http://{host}:{port}", s3_create_buckets=True)
    with pytest.raises(errors.Unavailable) as raised:
        await store.put("alyaimg", "k", b"x", "text/plain")
    assert raised.value.reason == "OBJECT_STORE_DOWN"
    server = ThreadedMotoServer(ip_address=host, port=port, verbose=False)
    server.start()
    try:
        await store.check()
        assert await store.put("alyaimg", "k", b"x", "text/plain")
    finally:
        server.stop()
        await store.close()


async def test_a_missing_bucket_is_named() -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    store = s3(f"http://{host}:{port}", websites={"x": "never-made-before"})
    try:
        with pytest.raises(errors.FailedPrecondition) as raised:
            await store.check()
        assert "never-made-before" in raised.value.message
    finally:
        server.stop()
        await store.close()


async def test_a_silent_s3_costs_no_more_than_the_deadline() -> None:
    opened: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: opened.append(writer), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    store = s3(f"http://127.0.0.1:{port}")

    async def call() -> None:
        deadlines.enter(0.5)
        await store.get("alyaimg", "k")

    started = time.monotonic()
    with pytest.raises(errors.DeadlineExceeded) as raised:
        await asyncio.create_task(call())
    assert time.monotonic() - started < 0.5
    assert raised.value.reason == "OBJECT_STORE_TIMEOUT"
    for writer in opened:
        writer.close()
    await store.close()
    silent.close()


async def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderStore(ObjectStoreSettings(_env_file=None, data_dir=tmp_path))  # type: ignore[call-arg]
    await store.put("alyaimg", "k", b"old", "text/plain")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(errors.Unavailable) as raised:
            await store.put("alyaimg", "k", b"new", "text/plain")
    assert raised.value.reason == "OBJECT_STORE_FULL"
    assert (await store.get("alyaimg", "k")).data == b"old"
    assert not list((tmp_path / "objects" / ".unfinished").iterdir())
    await store.close()


async def test_a_system_that_takes_longer_than_it_may_is_unavailable() -> None:
    threads = Threads("the thing", "THING", workers=1, waiting=1, timeout=0.05)
    go = threading.Event()
    with pytest.raises(errors.Unavailable) as raised:
        await threads.run(go.wait)
    assert raised.value.reason == "THING_TIMEOUT"
    go.set()
    threads.close()


async def test_the_queue_has_a_bound() -> None:
    threads = Threads("the thing", "THING", workers=1, waiting=1, timeout=5)
    go = threading.Event()
    first, second = (asyncio.create_task(threads.run(go.wait)) for _ in range(2))
    await asyncio.sleep(0)
    with pytest.raises(errors.ResourceExhausted) as raised:
        await threads.run(lambda: None)
    assert raised.value.reason == "THING_BUSY"
    go.set()
    assert await first
    assert await second
    assert await threads.run(lambda: 3) == 3
    threads.close()
