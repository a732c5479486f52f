"""The bulk client against a real service that misbehaves on cue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from jewelry.embedding.v1 import embedding_pb2 as pb
from jewelry.embedding.v1 import embedding_pb2_grpc

from embedding_service.bulk_client import BulkResult, Options, Picture, bar, embed_all
from servicekit import Service, errors
from servicekit.testing import serve_locally

QUICK = Options(window=32, attempts=4, stall_seconds=10)


def pictures(count: int) -> Iterator[Picture]:
    return ((f"k{number}", b"%d" % number) for number in range(count))


async def collect(results: AsyncIterator[BulkResult]) -> list[BulkResult]:
    async with asyncio.timeout(30):
        return [result async for result in results]


def values(results: list[BulkResult]) -> list[Any]:
    return [result.error.reason if result.error else int(result.vector[0]) for result in results]  # type: ignore[index]


class Misbehaving(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Answers with the picture's number; `breaks(stream, position)` may raise or give an error's reason."""

    def __init__(self, breaks: Any) -> None:
        self.streams = 0
        self.seen: list[str] = []
        self._breaks = breaks

    async def EmbedImagesStream(self, requests: Any, context: Any) -> Any:
        self.streams += 1
        stream, position = self.streams, 0
        async for request in requests:
            self.seen.append(request.key)
            result = pb.EmbeddingResult(embedding=pb.Embedding(values=[int(request.image)]))
            if reason := await self._breaks(stream, position):
                result = pb.EmbeddingResult()
                result.error.reason = reason
            position += 1
            yield pb.EmbedImagesStreamResponse(key=request.key, result=result, model_id="m")


def serving(breaks: Any) -> tuple[Misbehaving, Any]:
    servicer = Misbehaving(breaks)
    return servicer, serve_locally(
        Service(
            register=lambda server: embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(servicer, server),
            descriptors=[pb.DESCRIPTOR.services_by_name["EmbeddingService"]],
        )
    )


async def test_order_errors_and_progress(serve: Any, fake: Any, tmp_path: Path) -> None:
    (tmp_path / "seven").write_bytes(b"7")
    mixed: list[Picture] = [
        *pictures(300),
        ("bad", b"poison"),
        ("file", tmp_path / "seven"),
        ("missing", tmp_path / "none"),
        ("large", bytes(21 * 2**20)),
        ("last", b"9"),
    ]
    seen: list[str] = []
    async with serve(fake) as channel:
        results = await collect(embed_all(channel, mixed, progress=lambda result: seen.append(result.key)))
    assert [result.key for result in results] == [key for key, _ in mixed] == seen
    assert values(results) == [
        *range(300),
        "IMAGE_UNREADABLE",
        7,
        "FILE_UNREADABLE",
        "IMAGE_TOO_LARGE",
        9,
    ]
    assert results[0].model_id == fake.card.id


async def test_memory_is_bounded_by_the_window(serve: Any, fake: Any) -> None:
    read = 0
    given = 0
    most = 0

    async def source() -> AsyncIterator[Picture]:
        nonlocal read, most
        for key, data in pictures(500):
            read += 1
            most = max(most, read - given)
            yield key, data

    async with serve(fake) as channel:
        async for _ in embed_all(channel, source(), options=Options(window=20)):
            given += 1
    assert given == 500
    assert most <= 22


async def test_a_broken_stream_is_taken_up_where_it_broke() -> None:
    async def breaks(stream: int, position: int) -> None:
        if position == 40 and stream <= 3:
            raise errors.Unavailable("killed", retry_after=0.01)

    servicer, served = serving(breaks)
    async with served as channel:
        results = await collect(embed_all(channel, pictures(200), options=QUICK))
    assert values(results) == list(range(200))
    assert servicer.streams == 4


async def test_a_connection_that_is_cut_is_taken_up(serve: Any, fake: Any) -> None:
    """Not a polite status: the server's socket goes away in the middle, and comes back."""
    from embedding_service.__main__ import service
    from embedding_service.embedder import Embedder
    from embedding_service.queues import Limits
    from servicekit.server import RunningServer
    from servicekit.testing import settings

    async def start(port: int) -> RunningServer:
        server = RunningServer(service(Embedder(lambda: fake, Limits())), settings(), f"127.0.0.1:{port}")
        await server.start()
        await server.become_ready()
        return server

    first = await start(0)
    from servicekit import client

    descriptors = [pb.DESCRIPTOR.services_by_name["EmbeddingService"]]
    results: list[BulkResult] = []
    async with client.connect(f"127.0.0.1:{first.port}", descriptors, settings()) as channel:
        async with asyncio.timeout(30):
            async for result in embed_all(channel, pictures(400), options=Options(window=16, attempts=20)):
                results.append(result)
                if len(results) == 100:
                    await first.stop(0)
                    second = await start(first.port)
    await second.stop(0)
    assert values(results) == list(range(400))


async def test_pictures_that_failed_for_no_fault_of_theirs_are_sent_again() -> None:
    failed = set()

    async def breaks(stream: int, position: int) -> str | None:
        if stream == 1 and position in (3, 10, 199):
            failed.add(position)
            return "DEVICE_FAILED"
        return None

    servicer, served = serving(breaks)
    async with served as channel:
        results = await collect(embed_all(channel, pictures(200), options=QUICK))
    assert values(results) == list(range(200))
    assert failed == {3, 10, 199}
    assert len(servicer.seen) == 203


async def test_it_gives_up_after_some_tries() -> None:
    async def breaks(stream: int, position: int) -> str | None:
        if position == 5:
            raise errors.Unavailable("down", retry_after=0.001)
        return "DEVICE_FAILED" if stream == 1 and position == 0 else None

    _, served = serving(breaks)
    results = []
    async with served as channel:
        with pytest.raises(errors.Unavailable):
            # The first picture of each stream that breaks is answered, so each goes a little further.
            async for result in embed_all(channel, pictures(6), options=Options(window=8, attempts=3)):
                results.append(result)
                assert len(results) < 10
            raise errors.Unavailable("it came through")
    assert values(results)[:5] == [0, 1, 2, 3, 4]


async def test_what_may_not_be_repeated_is_raised() -> None:
    async def breaks(stream: int, position: int) -> None:
        raise errors.PermissionDenied("no")

    servicer, served = serving(breaks)
    async with served as channel:
        with pytest.raises(errors.PermissionDenied):
            await collect(embed_all(channel, pictures(1), options=QUICK))
    assert servicer.streams == 1


async def test_streams_are_renewed() -> None:
    async def breaks(stream: int, position: int) -> None:
        await asyncio.sleep(0.005)

    servicer, served = serving(breaks)
    async with served as channel:
        results = await collect(embed_all(channel, pictures(100), options=Options(window=8, stream_seconds=0.1)))
    assert values(results) == list(range(100))
    assert servicer.streams > 2


async def test_a_stream_that_answers_nothing_is_given_up() -> None:
    async def breaks(stream: int, position: int) -> None:
        if stream == 1:
            await asyncio.sleep(60)

    servicer, served = serving(breaks)
    async with served as channel:
        results = await collect(embed_all(channel, pictures(5), options=Options(attempts=3, stall_seconds=0.2)))
    assert values(results) == list(range(5))
    assert servicer.streams == 2


async def test_a_source_that_breaks_is_told_after_the_results_so_far(serve: Any, fake: Any) -> None:
    async def source() -> AsyncIterator[Picture]:
        for picture in pictures(10):
            yield picture
        raise ValueError("disk gone")

    results = []
    async with serve(fake) as channel:
        with pytest.raises(ValueError, match="disk gone"):
            async for result in embed_all(channel, source(), options=QUICK):
                results.append(result)
    assert values(results) == list(range(10))


async def test_nothing_to_do(serve: Any, fake: Any) -> None:
    async with serve(fake) as channel:
        assert await collect(embed_all(channel, [])) == []


def test_the_bar_counts(capsys: pytest.CaptureFixture[str]) -> None:
    update = bar(2)
    update(BulkResult("a", None, errors.InvalidArgument("no")))
    update(BulkResult("b", None, None))
    assert "2/2" in capsys.readouterr().err
