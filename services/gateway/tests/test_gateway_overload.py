"""Slow clients, clients that leave, clients that come too often, and too many of them; mostly on a real server."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
import uvloop

from gateway_service import admission, masking, problems, rates, serving
from gateway_service.app import create_app

LONG = 20.0
"""Seconds that a test waits for what should come soon."""


@asynccontextmanager
async def serving_gateway(system: Any, **changes: Any) -> AsyncIterator[int]:
    """The gateway on its own server; gives the port."""
    settings = system.settings(drain_seconds=1.0, **changes)
    clients = system.clients(settings)
    app = create_app(settings, clients)
    config = serving.config(settings, app, "127.0.0.1", 0)
    server = uvicorn.Server(config)
    with config.bind_socket() as listening:
        task = asyncio.create_task(server.serve([listening]))
        while not server.started:
            await asyncio.sleep(0.01)
            assert not task.done()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            await task
            await app.state.desk.close()
            await clients.store.close()


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


def client_of(port: int) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=LONG)


async def read_all(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(LONG):
        return await reader.read(1_000_000)


def problem_of(answer: bytes) -> dict[str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    assert b"x-content-type-options: nosniff" in head
    found: dict[str, Any] = json.loads(body)
    assert f"x-request-id: {found['request_id']}".encode() in head
    return found


@pytest.mark.parametrize("sent", [b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"\r\n", b"G"])
async def test_a_head_that_does_not_end_is_cut_off(unserved, sent) -> None:
    async with serving_gateway(unserved, gateway_head_seconds=0.3) as port, connection(port) as (reader, writer):
        writer.write(sent)
        answer = await read_all(reader)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert problem_of(answer)["code"] == "REQUEST_SLOW"
        assert await read_all(reader) == b""


async def test_a_head_in_drops_is_cut_off_though_it_never_pauses(unserved) -> None:
    async with serving_gateway(unserved, gateway_head_seconds=0.5) as port, connection(port) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\n")
        cut = asyncio.create_task(read_all(reader))
        for _ in range(2000):
            if cut.done():
                break
            writer.write(b"X-A: b\r\n")
            await asyncio.sleep(0.01)
        assert problem_of(await cut)["code"] == "REQUEST_SLOW"


async def test_a_connection_that_says_nothing_is_closed(unserved) -> None:
    async with serving_gateway(unserved, gateway_head_seconds=0.2) as port, connection(port) as (reader, _):
        assert await read_all(reader) == b""


async def test_the_second_request_of_a_connection_has_a_deadline_too(unserved) -> None:
    async with serving_gateway(unserved, gateway_head_seconds=0.5) as port, connection(port) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b'{"status":"ok"}'), LONG)
        writer.write(b"GET /healthz HT")
        assert problem_of(await read_all(reader))["code"] == "REQUEST_SLOW"


async def test_a_head_without_end_is_refused_at_its_limit(unserved) -> None:
    async with serving_gateway(unserved) as port, connection(port) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\n")
        for _ in range(12):
            writer.write(b"X-A: " + b"b" * 8000 + b"\r\n")
        answer = await read_all(reader)
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert problem_of(answer)["code"] == "HEADERS_TOO_LARGE"


async def test_what_is_no_http_is_a_problem(unserved) -> None:
    async with serving_gateway(unserved) as port, connection(port) as (reader, writer):
        writer.write(b"\x16\x03\x01 this is TLS\r\n\r\n")
        answer = await read_all(reader)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert problem_of(answer)["code"] == "REQUEST_UNREADABLE"


async def test_a_body_that_is_no_http_is_a_problem(unserved) -> None:
    async with serving_gateway(unserved) as port, connection(port) as (reader, writer):
        writer.write(
            b"POST /image-search HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5\r\nabcde\r\n"
        )
        await writer.drain()
        writer.write(b"no length\r\n")
        answer = await read_all(reader)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert problem_of(answer)["code"] == "REQUEST_UNREADABLE"


async def test_keep_alive_and_large_bodies_still_work(system, jpeg) -> None:
    padded = jpeg + b"\0" * 3_000_000
    async with serving_gateway(system, gateway_head_seconds=5.0) as port, client_of(port) as http:
        for _ in range(5):
            answer = await http.post("/image-search", files={"file": ("a.jpg", padded)})
            assert answer.status_code == 200
            answer = await http.post("/image-search", content=padded, headers={"Content-Type": "image/jpeg"})
            assert answer.status_code == 200
    assert {len(call.image) for call in system["vision-index"].calls["Search"]} == {len(padded)}


async def test_one_who_does_not_read_is_cut_off(unserved, monkeypatch) -> None:
    monkeypatch.setattr(serving, "LOOK_SECONDS", 0.1)
    from objectstore import FolderStore

    store = FolderStore(unserved.settings())
    await store.put("alyaimg", "images/large.jpg", b"\0" * 30_000_000, "image/jpeg")
    await store.close()
    async with serving_gateway(unserved) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET /files/alyaimg/images/large.jpg HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(reader.readline(), LONG)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(1.0)
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        got = 0
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            async with asyncio.timeout(LONG):
                while chunk := await reader.read(1 << 20):
                    got += len(chunk)
                raise asyncio.IncompleteReadError(b"", 30_000_000 - got)
        assert got < 30_000_000
        writer.close()
        async with client_of(port) as http:
            answer = await http.get("/files/alyaimg/images/large.jpg")
            assert len(answer.content) == 30_000_000


async def test_work_for_one_who_left_stops(system, jpeg) -> None:
    began, stopped = asyncio.Event(), asyncio.Event()

    async def held(_: object) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    system["vision-index"].script["Search"] = held
    head = f"POST /image-search HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
    async with serving_gateway(system) as port:
        async with connection(port) as (_, writer):
            writer.write(head.encode() + jpeg)
            await asyncio.wait_for(began.wait(), LONG)
            assert not stopped.is_set()
        # The deadline of the call is 20 s: only the client's leaving ends it sooner.
        await asyncio.wait_for(stopped.wait(), 15)


async def test_work_with_an_idempotency_key_is_finished_for_the_next_attempt(system, jpeg) -> None:
    began, go, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()
    reply = system["vision-index"].script["Search"]

    async def held(_: object) -> Any:
        began.set()
        await go.wait()
        finished.set()
        return reply

    system["vision-index"].script["Search"] = held
    head = (
        "POST /image-search HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nIdempotency-Key: k\r\n"
        f"Content-Length: {len(jpeg)}\r\n\r\n"
    )
    async with serving_gateway(system) as port:
        async with connection(port) as (_, writer):
            writer.write(head.encode() + jpeg)
            await asyncio.wait_for(began.wait(), LONG)
        async with client_of(port) as http:
            assert (await http.get("/healthz")).status_code == 200
        go.set()
        await asyncio.wait_for(finished.wait(), LONG)


async def test_answers_are_not_taken_for_clients_that_left(system, jpeg, caplog) -> None:
    with caplog.at_level(logging.INFO, "gateway_service.middleware"):
        async with serving_gateway(system) as port, client_of(port) as http:
            files = {"file": ("a.jpg", jpeg)}
            answers = await asyncio.gather(*(http.post("/image-search", files=files) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert " 499 " not in caplog.text
    assert caplog.text.count("/image-search 200 ") == 20


async def test_slow_senders_keep_nobody_from_work(system, jpeg) -> None:
    head = b"POST /image-search HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: 1000000\r\n\r\n"
    async with serving_gateway(system, gateway_max_in_flight=2) as port:
        writers = []
        for _ in range(30):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head + b"x")
            writers.append(writer)
        async with client_of(port) as http:
            for _ in range(5):
                assert (await http.post("/image-search", files={"file": ("a.jpg", jpeg)})).status_code == 200
        for writer in writers:
            writer.close()


async def test_who_comes_when_all_places_are_taken_is_refused_by_the_head_alone(system, jpeg, caplog) -> None:
    go, waiting = asyncio.Event(), asyncio.Event()
    reply = system["vision-index"].script["Search"]

    async def held(_: object) -> Any:
        waiting.set()
        await go.wait()
        return reply

    system["vision-index"].script["Search"] = held
    head = b"POST /image-search HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: 200000\r\n"
    allowed = {"gateway_max_in_flight": 1, "gateway_cors_origins": ("https://shop.example",)}
    async with serving_gateway(system, **allowed) as port, client_of(port) as http:
        raw = {"content": jpeg, "headers": {"Content-Type": "image/jpeg"}}
        first = asyncio.create_task(http.post("/image-search", **raw))
        await asyncio.wait_for(waiting.wait(), LONG)
        async with connection(port) as (reader, writer):
            writer.write(head + b"\r\n")
            answer = await asyncio.wait_for(reader.readuntil(b"}"), LONG)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: 1\r\n" in answer
            assert b"connection: close\r\n" in answer
            assert problem_of(answer)["code"] == "OVERLOADED"
            # Who sends its body all the same can, and reads the end.
            for _ in range(4):
                writer.write(b"x" * 50_000)
                await writer.drain()
            assert await read_all(reader) == b""
        async with connection(port) as (reader, writer):
            writer.write(head + b"Expect: 100-continue\r\n\r\n")
            answer = await read_all(reader)
            assert problem_of(answer)["code"] == "OVERLOADED"
            assert b"access-control-" not in answer
        for origin, seen in ((b"https://shop.example", True), (b"https://other.example", False)):
            async with connection(port) as (reader, writer):
                writer.write(head + b"Origin: " + origin + b"\r\nExpect: 100-continue\r\n\r\n")
                assert (b"access-control-allow-origin: " + origin in await read_all(reader)) is seen
        assert "turned away" in caplog.text
        # Who needs no place is let in.
        assert (await http.get("/healthz")).status_code == 200
        go.set()
        assert (await first).status_code == 200
        assert (await http.post("/image-search", **raw)).status_code == 200
    assert len(system["vision-index"].calls["Search"]) == 2


def test_a_body_that_comes_has_a_place_and_gives_it_back_when_it_stays_out() -> None:
    clock = Clock()
    room = admission.Room(2, 1_000_000, clock)
    slow, quick, small = (admission.Arrival(room) for _ in range(3))
    for _ in range(100):
        slow.add(1)
    assert not room.full
    quick.add(200_000)
    quick.add(200_000)
    small.count()
    assert room.full
    room.take(small)
    clock.now += 10
    assert not room.full
    room.take(quick)
    with pytest.raises(problems.HttpProblem):
        room.take(slow)
    room.give_back(2, 0)
    assert not room.full


async def test_bodies_together_are_bounded(system, jpeg) -> None:
    http = await system.client(gateway_max_held_bytes=1_000_000)
    go, waiting = asyncio.Event(), asyncio.Event()
    reply = system["vision-index"].script["Search"]

    async def held(_: object) -> Any:
        waiting.set()
        await go.wait()
        return reply

    system["vision-index"].script["Search"] = held
    raw = {"content": jpeg + b"\0" * 1_000_000, "headers": {"Content-Type": "image/jpeg"}}
    first = asyncio.create_task(http.post("/image-search", **raw))
    await asyncio.wait_for(waiting.wait(), LONG)
    refused = await http.post("/image-search", **raw)
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "OVERLOADED", "1")
    go.set()
    assert (await first).status_code == 200
    assert (await http.post("/image-search", **raw)).status_code == 200


async def test_too_many_connections_get_a_problem(unserved) -> None:
    async with serving_gateway(unserved, gateway_max_connections=8) as port:
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
        async with client_of(port) as http:
            answer = await http.get("/healthz")
            assert (answer.status_code, answer.json()["code"]) == (503, "OVERLOADED")
            assert answer.headers["retry-after"] == "1"
            for _, writer in idle:
                writer.close()
            async with asyncio.timeout(LONG):
                while (await http.get("/healthz")).status_code != 200:
                    await asyncio.sleep(0.05)


def test_the_same_protocol_on_uvloop(unserved) -> None:
    async def scenario() -> None:
        async with serving_gateway(unserved, gateway_head_seconds=0.3) as port, connection(port) as (reader, writer):
            writer.write(b"GET /healthz HTTP/1.1\r\n")
            assert problem_of(await read_all(reader))["code"] == "REQUEST_SLOW"

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_refills_at_its_rate_up_to_its_burst() -> None:
    clock = Clock()
    bucket = rates.Bucket(rates.Rate(60, 60, 3), clock)
    assert [bucket.take() for _ in range(3)] == [0, 0, 0]
    assert bucket.take() == pytest.approx(1.0)
    clock.now += 0.5
    assert bucket.take() == pytest.approx(0.5)
    clock.now += 0.5
    assert bucket.take() == 0
    clock.now += 1000
    assert bucket.headers["ratelimit-policy"] == '"key";q=60;w=60'
    assert [bucket.take() for _ in range(3)] == [0, 0, 0]
    assert bucket.take() > 0
    assert bucket.headers["ratelimit"] == '"key";r=0;t=3'


def test_rates_are_read() -> None:
    found = rates.parse("600/minute:50, studio=10/second, batch=none")
    assert found.of("other") == rates.Rate(600, 60, 50)
    assert found.of("studio") == rates.Rate(10, 1, 100)
    assert found.of("batch") is None
    assert rates.parse("").of("any") is None
    assert rates.parse("1/hour").of("any") == rates.Rate(1, 3600, 1)


@pytest.mark.parametrize("text", ["600", "0/minute", "1/day", "a=b=", "-1/minute", "600/minute:0", "x=1"])
def test_rates_that_are_none(unserved, text) -> None:
    with pytest.raises(ValueError, match="is no rate"):
        unserved.settings(gateway_rate_limits=text)


async def test_a_key_that_calls_too_often_waits_and_others_do_not(unserved) -> None:
    http = await unserved.client(gateway_api_keys="a:key-one-x,b:key-two-x", gateway_rate_limits="1/hour:2")
    mine, theirs = {"X-API-Key": "key-one-x"}, {"X-API-Key": "key-two-x"}
    first = await http.get("/openapi.json", headers=mine)
    assert (first.status_code, first.headers["ratelimit"]) == (200, '"key";r=1;t=3600')
    assert first.headers["ratelimit-policy"] == '"key";q=1;w=3600'
    assert (await http.get("/nowhere", headers=mine)).status_code == 404
    refused = await http.get("/openapi.json", headers=mine)
    assert (refused.status_code, refused.json()["code"]) == (429, "RATE_LIMITED")
    assert 3500 <= int(refused.headers["retry-after"]) <= 3600
    assert (await http.get("/openapi.json", headers=theirs)).status_code == 200
    assert (await http.get("/healthz", headers=mine)).status_code == 200


async def test_without_keys_there_is_no_rate(unserved) -> None:
    http = await unserved.client(gateway_rate_limits="1/hour")
    for _ in range(3):
        answer = await http.get("/openapi.json")
        assert answer.status_code == 200
        assert "ratelimit" not in answer.headers


def test_secrets_are_masked_wherever_they_come_from(unserved) -> None:
    settings = unserved.settings(gateway_api_keys="studio:s3cret-one,plain-two", aws_secret_access_key="aws/secret+key")
    mask = masking.Mask(logging.Formatter("%(message)s"), masking.secrets(settings))

    def logged(message: str, *args: object, error: BaseException | None = None) -> str:
        info = (type(error), error, None) if error else None
        return mask.format(logging.LogRecord("x", logging.ERROR, "f", 1, message, args, info))

    for secret in ("s3cret-one", "plain-two", "aws/secret+key", "AIza" + "x" * 35, "sk-proj-" + "y" * 30):
        assert secret not in logged("a %s b", secret)
        assert secret not in logged("failed", error=ValueError(f"key {secret} is bad"))
    assert logged("Authorization: Bearer abc.def, x") == "Authorization: Bearer ***, x"
    assert logged("studio called %d times", 3) == "studio called 3 times"
    assert "x=1&X-Amz-Signature=***" in logged("GET /a?x=1&X-Amz-Signature=00ff")
