"""Stores that are down, slow, full, or refuse: a typed error within the caller's deadline, and recovery by itself."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from jewelry.vision_index.v1 import vision_index_pb2 as pb
from moto.server import ThreadedMotoServer
from vision_index_proxies import HttpProxy, MilvusProxy, http_proxy, milvus_proxy
from vision_index_world import FakeEmbedding, Wired, free_port, milvus_server, photo, stub_of, wired

from servicekit import client, errors

DEADLINE = 2.0
"""Seconds that callers give stores which do not answer."""
AMPLE = 15.0
"""Seconds for errors that come at once, on a machine that has much else to do."""
RECOVERY = 5.0
UPLOAD = pb.UploadAndIndexRequest(image=photo("ALY-EAR-001"), original_name="a.jpg")
OTHER = pb.UploadAndIndexRequest(image=photo("ALY-NEC-002"), original_name="b.jpg")


@pytest.fixture(scope="module")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    with milvus_server(tmp_path_factory.mktemp("milvus"), port):
        yield port


@pytest.fixture(scope="module")
def moto() -> Iterator[int]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield int(server.get_host_and_port()[1])
    server.stop()


@pytest.fixture
async def s3(moto: int) -> AsyncIterator[HttpProxy]:
    async with http_proxy(moto) as proxy:
        yield proxy


def with_s3(proxy: HttpProxy) -> dict[str, Any]:
    return {
        "aws_access_key_id": "AKIDEXAMPLE",
        "aws_secret_access_key": "s3cr3t",
        "aws_endpoint_url_s3": f"http://127.0.0.1:{proxy.port}",
        "s3_create_buckets": True,
    }


_TYPES = (errors.Unavailable, errors.ResourceExhausted, errors.DeadlineExceeded)


async def crowd(call: Any, request: Any, deadline: float) -> None:
    """Twenty callers at once are all told in time."""
    await asyncio.gather(*(refused(call, request, deadline) for _ in range(20)))


async def refused(call: Any, request: Any, deadline: float) -> errors.ServiceError:
    """The error of a call with a deadline in seconds; it comes in time, and from the index itself."""
    started = time.monotonic()
    with pytest.raises(_TYPES) as raised:
        await client.call(call, request, timeout=deadline)
    assert time.monotonic() - started < deadline + 0.5
    assert "127.0.0.1" not in raised.value.message
    assert "AKIDEXAMPLE" not in raised.value.message
    return raised.value


async def recovers(call: Any, request: Any) -> Any:
    """The answer, within five seconds of the end of the fault."""
    back = time.monotonic()
    while True:
        try:
            answer = await client.call(call, request, timeout=RECOVERY / 2)
            assert time.monotonic() - back < RECOVERY
            return answer
        except _TYPES:
            assert time.monotonic() - back < RECOVERY
            await asyncio.sleep(0.05)


async def whole(world: Wired, pictures: int) -> None:
    """As many objects as rows, and no claim left."""
    keys = await world.keys()
    assert all(key.startswith("images/") for key in keys)
    assert len(keys) == await world.rows() == pictures


async def set_milvus(proxy: MilvusProxy, fault: str) -> None:
    if fault == "down":
        await proxy.down()
    else:
        proxy.mode = fault


@pytest.mark.parametrize(
    ("fault", "reasons"),
    [
        ("down", {"VECTOR_STORE_DOWN", "VECTOR_STORE_TIMEOUT"}),  # pymilvus tries again while there is time
        ("slow", {"VECTOR_STORE_TIMEOUT"}),
        ("refuse writes", {"VECTOR_STORE_DOWN"}),
        ("limit writes", {"VECTOR_STORE_BUSY"}),
    ],
)
async def test_milvus_misbehaves(tmp_path: Path, port: int, milvus: int, fault: str, reasons: set[str]) -> None:
    async with milvus_proxy(milvus) as proxy:
        given: dict[str, Any] = {
            "milvus_host": "127.0.0.1",
            "milvus_port": proxy.port,
            "collection_name": "t_" + fault.replace(" ", "_"),
        }
        async with wired(tmp_path, port, **given) as world, stub_of(world) as stub:
            first = await client.call(stub.UploadAndIndex, UPLOAD, timeout=20)
            await set_milvus(proxy, fault)
            deadline = AMPLE if "writes" in fault else DEADLINE
            error = await refused(stub.UploadAndIndex, OTHER, deadline)
            assert error.reason in reasons, repr(error)
            if "writes" in fault:
                found = await client.call(stub.Check, pb.CheckRequest(image=UPLOAD.image), timeout=AMPLE)
                assert found.decision.match.url == first.url
            else:
                await refused(stub.Check, pb.CheckRequest(image=UPLOAD.image), deadline)
                await refused(stub.GetStats, pb.GetStatsRequest(), deadline)
            await crowd(stub.UploadAndIndex, OTHER, deadline)
            with contextlib.suppress(*_TYPES):
                deleted = await client.call(stub.Delete, pb.DeleteRequest(urls=[first.url]), timeout=deadline)
                assert deleted.results[0].status == pb.DELETE_STATUS_FAILED
                assert deleted.results[0].detail
            if fault == "down":
                await proxy.up()
            proxy.mode = "pass"
            second = await recovers(stub.UploadAndIndex, OTHER)
            assert second.indexed
            assert second.url != first.url
            again = await client.call(stub.Delete, pb.DeleteRequest(urls=[first.url]), timeout=20)
            assert again.results[0].status == pb.DELETE_STATUS_DELETED
            await whole(world, 1)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("down", "OBJECT_STORE_DOWN"),
        ("slow", "OBJECT_STORE_TIMEOUT"),
        ("full", "OBJECT_STORE_FULL"),
        ("denied", "OBJECT_STORE_DENIED"),
    ],
)
async def test_s3_misbehaves(tmp_path: Path, port: int, s3: HttpProxy, fault: str, reason: str) -> None:
    async with wired(tmp_path, port, **with_s3(s3)) as world, stub_of(world) as stub:
        await world.objects.check()
        for key in await world.keys():
            await world.objects.delete("alyaimg", key)
        first = await client.call(stub.UploadAndIndex, UPLOAD, timeout=20)
        await s3.set(fault)
        deadline = DEADLINE if fault == "slow" else AMPLE
        assert (await refused(stub.UploadAndIndex, OTHER, deadline)).reason == reason
        await crowd(stub.UploadAndIndex, OTHER, deadline)
        found = await client.call(stub.Check, pb.CheckRequest(image=UPLOAD.image), timeout=AMPLE)
        assert found.decision.match.url == first.url  # reading the index needs no objects
        deleted = await client.call(stub.Delete, pb.DeleteRequest(urls=[first.url]), timeout=deadline)
        assert deleted.results[0].status == pb.DELETE_STATUS_FAILED
        assert deleted.results[0].detail
        await s3.set("pass")
        second = await recovers(stub.UploadAndIndex, OTHER)
        assert second.indexed
        await whole(world, 2)


async def test_a_full_disk(world: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    async with stub_of(world) as stub:
        first = await client.call(stub.UploadAndIndex, UPLOAD, timeout=20)
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            assert (await refused(stub.UploadAndIndex, OTHER, AMPLE)).reason == "OBJECT_STORE_FULL"
            found = await client.call(stub.Check, pb.CheckRequest(image=UPLOAD.image), timeout=AMPLE)
            assert found.decision.match.url == first.url
        second = await recovers(stub.UploadAndIndex, OTHER)
        assert second.indexed
        await whole(world, 2)


async def test_long_work_waits_for_milvus(tmp_path: Path, port: int, milvus: int, fake: FakeEmbedding) -> None:
    """As with S3: writes that are refused for a second delay a re-index, those that are refused for longer end it."""
    async with milvus_proxy(milvus) as proxy:
        given: dict[str, Any] = {
            "milvus_host": "127.0.0.1",
            "milvus_port": proxy.port,
            "collection_name": "t_long",
        }
        async with wired(tmp_path, port, batch_size=1, **given) as world, stub_of(world) as stub:
            for request in (UPLOAD, OTHER):
                await client.call(stub.UploadAndIndex, request, timeout=20)
            fake.spoil = lambda vector: vector + 1  # rows that stay the same are not written
            proxy.mode = "refuse writes"
            asyncio.get_running_loop().call_later(1.0, setattr, proxy, "mode", "pass")
            told = [m async for m in client.stream(stub.Reindex, pb.ReindexRequest(website="alya"), timeout=30)]
            assert told[-1].progress.done == 2
            fake.spoil = lambda vector: vector
            proxy.mode = "refuse writes"
            with pytest.raises(errors.Unavailable) as raised:
                async for _ in client.stream(stub.Reindex, pb.ReindexRequest(website="alya"), timeout=2.0):
                    pass
            assert raised.value.reason == "VECTOR_STORE_DOWN"
            proxy.mode = "pass"
            await recovers(stub.GetStats, pb.GetStatsRequest())
            await whole(world, 2)


async def test_long_work_waits_for_s3(tmp_path: Path, port: int, s3: HttpProxy) -> None:
    """A re-index outlives a fault of seconds, and one that lasts ends it with a typed error, to go on later."""
    async with wired(tmp_path, port, batch_size=1, **with_s3(s3)) as world, stub_of(world) as stub:
        await world.objects.check()
        for key in await world.keys():
            await world.objects.delete("alyaimg", key)
        for request in (UPLOAD, OTHER):
            await client.call(stub.UploadAndIndex, request, timeout=20)
        await s3.set("denied")
        asyncio.get_running_loop().call_later(1.0, lambda: asyncio.ensure_future(s3.set("pass")))
        told = [m async for m in client.stream(stub.Reindex, pb.ReindexRequest(website="alya"), timeout=30)]
        assert told[-1].progress.done == 2
        await s3.set("denied")
        with pytest.raises(errors.Unavailable) as raised:
            async for _ in client.stream(stub.Reindex, pb.ReindexRequest(website="alya"), timeout=2.0):
                pass
        assert raised.value.reason == "OBJECT_STORE_DENIED"
        await s3.set("pass")
        await recovers(stub.GetStats, pb.GetStatsRequest())
