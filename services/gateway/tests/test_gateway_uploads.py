"""Bodies of uploads: limits while they arrive, broken ones, bad pictures. Some on a real server."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn
from PIL import Image

from gateway_service.app import create_app
from servicekit import images

MIB = 1024 * 1024


def multipart(*parts: bytes, boundary: bytes = b"BB", end: bool = True) -> bytes:
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return body + (b"--" + boundary + b"--\r\n" if end else b"")


def part(name: str, content: bytes, extra: str = "") -> bytes:
    return f'Content-Disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode() + content


HEADERS = {"Content-Type": "multipart/form-data; boundary=BB"}


def huge_png() -> bytes:
    """60 megapixels in a few kilobytes."""
    out = io.BytesIO()
    Image.new("1", (10_000, 6_000)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("path", ["/generate_caption", "/upload-and-index", "/image-search"])
@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "IMAGE_EMPTY"),
        (b"this is no picture", 400, "IMAGE_UNREADABLE"),
        (b"%PDF-1.4", 400, "IMAGE_UNREADABLE"),
        (huge_png(), 413, "IMAGE_TOO_MANY_PIXELS"),
    ],
    ids=["empty", "text", "pdf", "pixels"],
)
@pytest.mark.parametrize("raw", [False, True])
async def test_files_that_are_no_pictures(door, path, content, status, code, raw) -> None:
    if raw:
        answer = await door.post(path, content=content, headers={"Content-Type": "image/png"})
    else:
        answer = await door.post(path, files={"file": ("a.png", content)})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("raw", [False, True])
async def test_the_limit_itself_is_taken_and_one_byte_more_is_not(http, system, jpeg, raw) -> None:
    async def send(size: int) -> httpx.Response:
        padded = jpeg + b"\0" * (size - len(jpeg))
        if raw:
            return await http.post("/upload-and-index", content=padded, headers={"Content-Type": "image/jpeg"})
        return await http.post("/upload-and-index", files={"file": ("a.jpg", padded)})

    assert (await send(images.MAX_BYTES)).status_code == 200
    answer = await send(images.MAX_BYTES + 1)
    assert answer.status_code == 413
    assert answer.json()["code"] in ("IMAGE_TOO_LARGE", "BODY_TOO_LARGE")
    assert "20 MiB" in answer.json()["detail"]
    assert len(system["vision-index"].calls["UploadAndIndex"]) == 1


async def test_a_stream_without_length_is_cut_at_the_limit(door) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(200):
            sent += MIB
            yield b"\0" * MIB

    answer = await door.post("/upload-and-index", content=chunks(), headers={"Content-Type": "image/jpeg"})
    assert answer.status_code == 413
    assert sent <= 22 * MIB + 64 * MIB  # what was taken, and what the refused sender was listened to for


async def test_json_is_bounded_too(unserved) -> None:
    http = await unserved.client(gateway_max_json_bytes=1024)
    body = b'{"s3_url": "' + b"a" * 2000 + b'"}'
    for path, kind in (("/delete_image", "application/json"), ("/image-search", "application/x-www-form-urlencoded")):
        for content in (body, _stream(body)):
            answer = await http.post(path, content=content, headers={"Content-Type": kind})
            assert (answer.status_code, answer.json()["code"]) == (413, "BODY_TOO_LARGE")


async def _stream(body: bytes) -> AsyncIterator[bytes]:
    yield body[:10]
    yield body[10:]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (multipart(part("file", b"x", '; filename="a"'), end=False), HEADERS, 400),
        (b"", HEADERS, 400),
        (b"garbage", HEADERS, 400),
        (multipart(b"X-Header: 1\r\n\r\nx"), HEADERS, 400),
        (multipart(part("file", b"x")), {"Content-Type": "multipart/form-data"}, 400),
        (multipart(part("type", b"\xff\xfe")), HEADERS, 400),
        (multipart(part("file", b"x", '; filename="a"'), part("file", b"y", '; filename="b"')), HEADERS, 422),
        (multipart(part("note", b"x" * 65537)), HEADERS, 413),
        (multipart(*[part(f"f{n}", b"x") for n in range(65)]), HEADERS, 413),
        (multipart(part("other", b"x", '; filename="a"')), HEADERS, 422),
    ],
)
async def test_broken_forms(door, body, headers, status) -> None:
    answer = await door.post("/upload-and-index", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_form_in_single_bytes_and_unknown_fields(http, system, jpeg) -> None:
    name = '; filename="C:/x/rêng.jpg"'
    body = multipart(part("website", b"blysk"), part("who", "é".encode()), part("file", jpeg, name))

    async def trickle() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 7):
            yield body[at : at + 7]

    answer = await http.post("/upload-and-index", content=trickle(), headers=HEADERS)
    assert answer.status_code == 200, answer.text
    [call] = system["vision-index"].calls["UploadAndIndex"]
    assert (call.image, call.website, call.original_name) == (jpeg, "blysk", "rêng.jpg")


async def test_unusual_pictures_are_passed_on(http, system) -> None:
    for mode, kind in (("CMYK", "TIFF"), ("I;16", "PNG"), ("P", "GIF"), ("RGBA", "WEBP")):
        out = io.BytesIO()
        Image.new(mode, (40, 20)).save(out, kind)
        answer = await http.post("/upload-and-index", files={"file": ("a", out.getvalue())})
        assert answer.status_code == 200, (mode, answer.text)


@asynccontextmanager
async def running(system, **changes) -> AsyncIterator[int]:
    """A gateway on a real server; gives the port."""
    settings = system.settings(**changes)
    clients = system.clients(settings)
    config = uvicorn.Config(
        create_app(settings, clients), port=0, http="httptools", log_config=None, ws="none", lifespan="on"
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
        assert not task.done()
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task
        await clients.store.close()


def head(length: int) -> bytes:
    fields = f"Host: x\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n"
    return f"POST /upload-and-index HTTP/1.1\r\n{fields}".encode()


async def test_a_refusal_comes_before_the_body_and_can_be_read(unserved) -> None:
    async with running(unserved) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(99_999_999_999))
        status = await asyncio.wait_for(reader.readline(), 5)
        assert b"413" in status
        writer.close()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            for _ in range(3):
                answer = await http.post("/upload-and-index", files={"file": ("a.jpg", b"\0" * (30 * MIB))})
                assert answer.status_code == 413
                assert answer.json()["code"] == "BODY_TOO_LARGE"


async def test_a_slow_body_is_given_up(unserved) -> None:
    async with running(unserved, gateway_body_seconds=0.2) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(1000) + b"abc")
        assert b"408" in await asyncio.wait_for(reader.readline(), 5)
        writer.close()


async def test_a_client_that_leaves_is_no_error_of_ours(system, caplog) -> None:
    async with running(system) as port:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(head(1000) + b"abc")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            assert (await http.get("/healthz")).status_code == 200
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_too_many_at_once_are_refused_but_health_answers(system, jpeg) -> None:
    http = await system.client(gateway_max_in_flight=2)
    go, waiting = asyncio.Event(), asyncio.Semaphore(0)
    reply = system["vision-index"].script["Search"]

    async def held(_: object) -> object:
        waiting.release()
        await go.wait()
        return reply

    system["vision-index"].script["Search"] = held
    calls = [asyncio.create_task(http.post("/image-search", files={"file": ("a.jpg", jpeg)})) for _ in range(2)]
    for _ in calls:
        await asyncio.wait_for(waiting.acquire(), 5)
    refused = await http.post("/image-search", files={"file": ("a.jpg", jpeg)})
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "OVERLOADED", "1")
    assert (await http.get("/healthz")).status_code == 200
    go.set()
    assert [answer.status_code for answer in await asyncio.gather(*calls)] == [200, 200]
