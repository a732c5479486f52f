"""The contract on a real socket."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
from jewelry.embedding.v1 import embedding_pb2 as pb
from jewelry.embedding.v1 import embedding_pb2_grpc

from embedding_service.__main__ import service
from embedding_service.adapters.perceptual_engine import PerceptualEngine
from embedding_service.embedder import Embedder
from embedding_service.queues import Limits
from servicekit import client, errors
from servicekit.server import RunningServer
from servicekit.testing import settings

Stub = embedding_pb2_grpc.EmbeddingServiceStub


def requests(numbers: Any) -> list[pb.EmbedImagesStreamRequest]:
    return [pb.EmbedImagesStreamRequest(image=b"%d" % number, key=f"k{number}") for number in numbers]


async def answers(stub: Any) -> bool:
    """Whether the next request is answered."""
    answer = await client.call(stub.EmbedImages, pb.EmbedImagesRequest(images=[b"5"]), timeout=60)
    return bool(answer.results[0].embedding.values[0] == 5)


async def test_the_descriptor_answers_for_photos(serve: Any, photos: list[bytes]) -> None:
    async with serve(PerceptualEngine(detail="no weights")) as channel:
        stub = Stub(channel)
        model = (await client.call(stub.GetModel, pb.GetModelRequest(), timeout=60)).model
        answer = await client.call(
            stub.EmbedImages, pb.EmbedImagesRequest(images=[photos[0], b"no picture", b"", photos[0]]), timeout=30
        )
        with pytest.raises(errors.Unimplemented) as refused:
            await client.call(stub.EmbedText, pb.EmbedTextRequest(texts=["ring"]), timeout=60)
    assert (model.name, model.engine, model.dimension, model.has_text_tower) == ("perceptual", "perceptual", 512, False)
    assert model.id == f"perceptual/{model.preprocessing_sha256[:8]}" == answer.model_id
    assert 0 < model.duplicate_distance < model.similar_distance
    assert model.detail == "no weights"
    first, broken, empty, again = answer.results
    assert np.isfinite(first.embedding.values).all()
    assert len(first.embedding.values) == 512
    assert first.embedding.values == again.embedding.values
    assert (broken.error.reason, empty.error.reason) == ("IMAGE_UNREADABLE", "IMAGE_EMPTY")
    assert refused.value.reason == "NO_TEXT_TOWER"


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("EmbedImages", pb.EmbedImagesRequest()),
        ("EmbedImages", pb.EmbedImagesRequest(images=[b"1"] * 257)),
        ("EmbedImages", pb.EmbedImagesRequest(images=[b"1"], lane=9)),  # type: ignore[arg-type]
        ("EmbedText", pb.EmbedTextRequest()),
        ("EmbedText", pb.EmbedTextRequest(texts=["a"] * 257)),
    ],
)
async def test_what_cannot_be_asked_is_refused(serve: Any, fake: Any, method: str, request_: Any) -> None:
    async with serve(fake) as channel:
        with pytest.raises(errors.InvalidArgument):
            await client.call(getattr(Stub(channel), method), request_, timeout=60)


async def test_texts_fail_one_by_one(serve: Any, fake: Any) -> None:
    async with serve(fake) as channel:
        answer = await client.call(
            Stub(channel).EmbedText, pb.EmbedTextRequest(texts=["ab", " ", "x" * 5000, "abcd"]), timeout=10
        )
    assert [result.embedding.values[0] for result in (answer.results[0], answer.results[3])] == [2, 4]
    assert [answer.results[at].error.reason for at in (1, 2)] == ["TEXT_EMPTY", "TEXT_TOO_LONG"]


async def test_a_call_fails_as_a_whole_where_no_picture_is_at_fault(serve: Any, fake: Any) -> None:
    """So that a client may repeat it on another replica."""
    fake.fail_when = lambda batch: True
    async with serve(fake) as channel:
        stub = Stub(channel)
        with pytest.raises(errors.Unavailable) as failed:
            await client.call(stub.EmbedImages, pb.EmbedImagesRequest(images=[b"1", b"2"]), timeout=60)
        fake.fail_when = lambda batch: False
        assert await answers(stub)
    assert failed.value.reason == "DEVICE_FAILED"


async def test_a_device_exception_costs_only_the_half_it_hits(serve: Any, fake: Any) -> None:
    fake.max_batch = 256
    fake.fail_when = lambda batch: 13 in batch
    images = [b"%d" % number for number in range(200)]
    async with serve(fake) as channel:
        stub = Stub(channel)
        answer = await client.call(stub.EmbedImages, pb.EmbedImagesRequest(images=images), timeout=60)
        assert await answers(stub)
    failed = [result.error.reason for result in answer.results if result.HasField("error")]
    assert set(failed) == {"DEVICE_FAILED"}
    assert answer.results[13].error.reason == "DEVICE_FAILED"
    good = {number: result for number, result in enumerate(answer.results) if result.HasField("embedding")}
    assert good
    assert all(result.embedding.values[0] == number for number, result in good.items())


async def test_a_stream_keeps_order_and_goes_on_after_errors(serve: Any, fake: Any) -> None:
    sent = requests(range(1000))
    sent[500].image = b"poison"
    async with serve(fake) as channel:
        stub = Stub(channel)
        got = [answer async for answer in client.stream(stub.EmbedImagesStream, _each(sent), timeout=60)]
        assert await answers(stub)
    assert [answer.key for answer in got] == [request.key for request in sent]
    assert got[500].result.error.reason == "IMAGE_UNREADABLE"
    good = [answer for answer in got if answer.result.HasField("embedding")]
    assert [answer.result.embedding.values[0] for answer in good] == [*range(500), *range(501, 1000)]
    assert {answer.model_id for answer in got} == {fake.card.id}


async def test_a_slow_reader_holds_only_itself_up(serve: Any, fake: Any) -> None:
    taken = 0

    async def endless() -> AsyncIterator[pb.EmbedImagesStreamRequest]:
        nonlocal taken
        while True:
            taken += 1
            # The key comes back with the answer: a large one, so that gRPC's own buffers hold few.
            yield pb.EmbedImagesStreamRequest(image=b"1", key="x" * 100_000)

    async with serve(fake) as channel:
        stub = Stub(channel)
        slow = stub.EmbedImagesStream(endless(), timeout=60)
        await slow.read()
        await _settled(lambda: taken)
        # Two batches of the window, and some megabytes that the transport holds; the rest waits at the client.
        assert taken < 200
        assert len(fake.prepared) < 100
        answer = await client.call(stub.EmbedImages, pb.EmbedImagesRequest(images=[b"5"]), timeout=60)
        assert answer.results[0].embedding.values[0] == 5
        slow.cancel()


async def test_clients_that_vanish_leave_nothing_behind(serve: Any, fake: Any) -> None:
    async with serve(fake, Limits(max_images=64, preprocess_threads=1), max_streams=3) as channel:
        stub = Stub(channel)
        fake.device_open.clear()
        calls = [stub.EmbedImages(pb.EmbedImagesRequest(images=[b"1"] * 16), timeout=60) for _ in range(3)]
        streams = [stub.EmbedImagesStream(_each(requests(range(50))), timeout=60) for _ in range(3)]
        for stream in streams:
            reading = asyncio.ensure_future(stream.read())
            await asyncio.sleep(0.05)
            reading.cancel()
        for call in (*calls, *streams):
            call.cancel()
        fake.device_open.set()
        async with asyncio.timeout(60):
            while True:
                try:
                    answers = [
                        answer
                        async for answer in client.stream(
                            stub.EmbedImagesStream, _each(requests(range(64))), timeout=60
                        )
                    ]
                    break
                except (errors.ResourceExhausted, errors.Unavailable):
                    # The server's side of a cancelled stream ends a moment later; and a refusal that comes while the
                    # client still writes may reach it as a broken stream.
                    await asyncio.sleep(0.01)
        assert len(answers) == 64


async def test_streams_are_bounded(serve: Any, fake: Any) -> None:
    async with serve(fake, max_streams=1) as channel:
        stub = Stub(channel)
        open_one = stub.EmbedImagesStream(timeout=60)
        await open_one.write(requests([1])[0])
        await open_one.read()
        # Unavailable where the refusal overtakes what the client still writes: gRPC then loses the status.
        with pytest.raises((errors.ResourceExhausted, errors.Unavailable)) as refused:
            async for _ in client.stream(stub.EmbedImagesStream, _each(requests([2])), timeout=60):
                pass
        assert refused.value.retry_after
        await open_one.done_writing()


async def test_overload_is_refused_fast_with_the_time_to_wait(serve: Any, fake: Any) -> None:
    async with serve(fake, Limits(max_images=10, preprocess_threads=1)) as channel:
        stub = Stub(channel)
        fake.device_open.clear()
        calls = [
            asyncio.ensure_future(client.call(stub.EmbedImages, pb.EmbedImagesRequest(images=[b"1"]), timeout=60))
            for _ in range(30)
        ]
        async with asyncio.timeout(60):
            for call in itertools.islice(asyncio.as_completed(calls), 20):
                with pytest.raises(errors.ResourceExhausted) as error:
                    await call
                assert error.value.retry_after
        fake.device_open.set()
        done = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(outcome, pb.EmbedImagesResponse) for outcome in done) == 10


async def test_a_full_queue_refuses_what_it_has_not_read(serve: Any, fake: Any) -> None:
    async with serve(fake, Limits(max_images=1, preprocess_threads=1)) as channel:
        stub = Stub(channel)
        fake.device_open.clear()
        first = asyncio.ensure_future(client.call(stub.EmbedImages, pb.EmbedImagesRequest(images=[b"1"]), timeout=60))
        async with asyncio.timeout(60):
            while not fake.batches:
                await asyncio.sleep(0.01)
        # Had they been read, there would be other things to say about them.
        for call in (
            client.call(stub.EmbedImages, pb.EmbedImagesRequest(), timeout=60),
            client.call(stub.EmbedText, pb.EmbedTextRequest(), timeout=60),
        ):
            with pytest.raises(errors.ResourceExhausted) as refused:
                await call
            assert refused.value.reason == "QUEUE_FULL"
            assert refused.value.retry_after
        await client.call(stub.GetModel, pb.GetModelRequest(), timeout=60)
        fake.device_open.set()
        await first
        with pytest.raises(errors.InvalidArgument):
            await client.call(stub.EmbedImages, pb.EmbedImagesRequest(), timeout=60)


async def test_a_drain_answers_all_in_flight(fake: Any) -> None:
    """What SIGTERM does: health turns, calls in flight are answered, then the service ends."""
    embedder = Embedder(lambda: fake, Limits(preprocess_threads=1))
    server = RunningServer(service(embedder), settings(), "127.0.0.1:0")
    await server.start()
    await server.become_ready()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        fake.device_open.clear()
        calls = [
            asyncio.ensure_future(Stub(channel).EmbedImages(pb.EmbedImagesRequest(images=[b"%d" % number]), timeout=60))
            for number in range(100)
        ]
        async with asyncio.timeout(60):
            while embedder.outstanding < 100:
                await asyncio.sleep(0.01)
        stopping = asyncio.create_task(server.stop(15))
        await asyncio.sleep(0.05)
        fake.device_open.set()
        answers = await asyncio.gather(*calls)
        await stopping
    assert [answer.results[0].embedding.values[0] for answer in answers] == list(range(100))


async def _each(messages: list[pb.EmbedImagesStreamRequest]) -> AsyncIterator[pb.EmbedImagesStreamRequest]:
    for message in messages:
        yield message


async def _settled(value: Any) -> None:
    """Returns once the value has stayed the same for half a second."""
    last, since = value(), asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() - since < 0.5:
        await asyncio.sleep(0.05)
        if value() != last:
            last, since = value(), asyncio.get_running_loop().time()
