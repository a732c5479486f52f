"""The batcher's promises, on an engine whose every step can be held."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from embedding_service.queues import Kind, Lane, Limits
from servicekit import errors


async def until(condition: Callable[[], bool]) -> None:
    """Lets the loop and the threads work until it holds."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


async def prepared(batcher: Any, count: int) -> None:
    """Returns once so many items wait for the device."""
    await until(lambda: len(batcher._ready) == count)


def numbers(outcomes: list[Any]) -> list[Any]:
    return [type(outcome) if isinstance(outcome, Exception) else int(outcome[0]) for outcome in outcomes]


def pictures(first: int, count: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, first + count)]


async def hold_device(batcher: Any, fake: Any, lane: Lane = Lane.INTERACTIVE) -> asyncio.Future[Any]:
    """Keeps the device busy with picture 0 until `fake.device_open` is set."""
    fake.entered.clear()
    fake.device_open.clear()
    (first,) = await batcher.submit([b"0"], lane=lane)
    await until(fake.entered.is_set)
    return first


async def test_batches_form_while_the_device_is_busy(make_batcher: Any, fake: Any) -> None:
    batcher = make_batcher()
    first = await hold_device(batcher, fake)
    futures = await batcher.submit(pictures(1, 10))
    await prepared(batcher, 8)
    fake.device_open.set()
    assert numbers(await asyncio.gather(first, *futures)) == list(range(11))
    # Eight were prepared while the device was busy; the last two may or may not have come in time for one pass.
    assert fake.batches[:3] == [[0], [1, 2, 3, 4], [5, 6, 7, 8]]


async def test_one_picture_alone_is_not_held_back(make_batcher: Any, fake: Any) -> None:
    batcher = make_batcher()
    assert numbers(await batcher.embed([b"7"])) == [7]
    assert fake.batches == [[7]]


async def test_a_wait_for_fuller_batches_is_kept_short(make_batcher: Any, fake: Any) -> None:
    batcher = make_batcher(Limits(preprocess_threads=1, wait_seconds=30.0))
    async with asyncio.timeout(60):
        # Four fill a batch, so nothing waits for the 30 s; a fifth alone has nothing to wait for.
        assert numbers(await batcher.embed(pictures(0, 4))) == [0, 1, 2, 3]
        assert numbers(await batcher.embed(pictures(4, 1))) == [4]
    assert fake.batches == [[0, 1, 2, 3], [4]]


async def test_a_pass_is_no_longer_than_aimed_at(make_batcher: Any, fake: Any) -> None:
    batcher = make_batcher(Limits(preprocess_threads=1, batch_seconds=0.02))
    slow = fake.infer

    def infer(batch: Any) -> Any:
        time.sleep(0.01 * len(batch))
        return slow(batch)

    fake.infer = infer
    await batcher.embed([b"0"])
    await batcher.embed(pictures(0, 12), lane=Lane.BULK)
    assert max(len(batch) for batch in fake.batches) <= 2


async def test_passes_are_longer_while_no_person_is_near(
    make_batcher: Any, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher = make_batcher(Limits(preprocess_threads=1, batch_seconds=0.02, quiet_batch_seconds=1000.0))
    slow = fake.infer

    def infer(batch: Any) -> Any:
        time.sleep(0.01 * len(batch))
        return slow(batch)

    async def sizes() -> list[int]:
        """Of the passes that bulk is done in, behind a first one."""
        fake.batches.clear()
        first = await hold_device(batcher, fake, Lane.BULK)
        bulk = await batcher.submit(pictures(100, 8), lane=Lane.BULK)
        await prepared(batcher, 8)
        fake.device_open.set()
        await asyncio.gather(first, *bulk)
        return [len(batch) for batch in fake.batches][1:]

    fake.infer = infer
    # Nobody was ever there.
    await batcher.embed([b"0"], lane=Lane.BULK)
    assert await sizes() == [4, 4]
    await batcher.embed([b"0"])
    assert max(await sizes()) <= 2
    monkeypatch.setattr("embedding_service.batcher._NEAR", 0.0)
    assert await sizes() == [4, 4]


async def test_a_persons_pass_is_not_made_longer_by_bulk(make_batcher: Any, fake: Any) -> None:
    batcher = make_batcher(Limits(preprocess_threads=1, batch_seconds=0.04))
    slow = fake.infer

    def infer(batch: Any) -> Any:
        time.sleep(0.01 * len(batch))
        return slow(batch)

    fake.infer = infer
    await batcher.embed([b"0"])
    first = await hold_device(batcher, fake)
    bulk = await batcher.submit(pictures(100, 6), lane=Lane.BULK)
    await prepared(batcher, 6)
    person = await batcher.submit([b"1"])
    await prepared(batcher, 7)
    fake.device_open.set()
    await asyncio.gather(first, *bulk, *person)
    # Three of bulk fit into a pass, but no more than one goes along with a person's.
    assert all(len(batch) <= 2 for batch in fake.batches if 1 in batch)


async def test_people_do_not_wait_for_bulks_threads(make_batcher: Any, fake: Any) -> None:
    batcher = make_batcher(Limits(preprocess_threads=1))
    held, entered = threading.Event(), threading.Event()
    prepare = fake.preprocess

    def preprocess(data: bytes) -> int:
        if data == b"100":
            entered.set()
            assert held.wait(100)
        return int(prepare(data))

    fake.preprocess = preprocess
    (bulk,) = await batcher.submit([b"100"], lane=Lane.BULK)
    await until(entered.is_set)
    async with asyncio.timeout(60):
        assert numbers(await batcher.embed([b"1"])) == [1]
    held.set()
    assert numbers([await bulk]) == [100]


async def test_one_bad_picture_fails_alone(make_batcher: Any) -> None:
    batch = pictures(0, 500)
    batch[250] = b"poison"
    outcomes = await make_batcher().embed(batch)
    assert isinstance(outcomes[250], errors.InvalidArgument)
    assert numbers(outcomes[:250] + outcomes[251:]) == [*range(250), *range(251, 500)]


async def test_a_surprise_while_preparing_fails_alone(make_batcher: Any, fake: Any) -> None:
    fake.preprocess = lambda data: 1 // int(data)
    outcomes = await make_batcher().embed([b"1", b"0", b"1"])
    assert numbers(outcomes) == [1, errors.Internal, 1]
    assert "division" not in outcomes[1].message


async def test_interactive_first_and_bulk_never_starved(make_batcher: Any, fake: Any) -> None:
    batcher = make_batcher(Limits(preprocess_threads=1, bulk_share=4))
    first = await hold_device(batcher, fake)
    bulk = await batcher.submit(pictures(100, 8), lane=Lane.BULK)
    await prepared(batcher, 8)
    people = await batcher.submit(pictures(1, 8), lane=Lane.INTERACTIVE)
    await prepared(batcher, 16)
    fake.device_open.set()
    await asyncio.gather(first, *bulk, *people)
    assert fake.batches == [[0], [1, 2, 3, 100], [4, 5, 6, 101], [7, 8, 102, 103], [104, 105, 106, 107]]


async def test_the_queue_is_bounded_and_says_when_to_come_back(make_batcher: Any, fake: Any) -> None:
    batcher = make_batcher(Limits(max_images=8, preprocess_threads=1))
    first = await hold_device(batcher, fake)
    # Bulk may fill three quarters of the room: a person is still let in.
    bulk = await batcher.submit(pictures(1, 5), lane=Lane.BULK)
    with pytest.raises(errors.ResourceExhausted) as refused:
        await batcher.submit([b"9"], lane=Lane.BULK)
    assert refused.value.retry_after is not None
    assert refused.value.retry_after > 0
    person = await batcher.submit(pictures(6, 2))
    with pytest.raises(errors.ResourceExhausted):
        await batcher.submit([b"9"])
    fake.device_open.set()
    await asyncio.gather(first, *bulk, *person)
    assert numbers(await batcher.embed([b"9"])) == [9]


async def test_bytes_are_bounded_too(make_batcher: Any, fake: Any) -> None:
    batcher = make_batcher(Limits(max_bytes=100, preprocess_threads=1))
    first = await hold_device(batcher, fake)
    (held,) = await batcher.submit([b"1" * 90])
    with pytest.raises(errors.ResourceExhausted):
        await batcher.submit([b"2" * 20])
    fake.device_open.set()
    await asyncio.gather(first, held)


async def test_a_request_larger_than_the_room_is_taken_alone(make_batcher: Any) -> None:
    batcher = make_batcher(Limits(max_images=4, preprocess_threads=1))
    assert numbers(await batcher.embed(pictures(0, 9))) == list(range(9))


async def test_who_waits_for_room_is_let_in_first_come_first_served(make_batcher: Any, fake: Any) -> None:
    batcher = make_batcher(Limits(max_images=2, preprocess_threads=1))
    first = await hold_device(batcher, fake)
    (second,) = await batcher.submit([b"1"])
    waiting = [asyncio.create_task(batcher.embed([b"%d" % number], wait=True)) for number in (2, 3, 4)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    fake.device_open.set()
    outcomes = await asyncio.gather(first, second, waiting[0], waiting[2])
    assert numbers([outcomes[0], outcomes[1], *outcomes[2], *outcomes[3]]) == [0, 1, 2, 4]
    assert [number for batch in fake.batches for number in batch] == [0, 1, 2, 4]


async def test_work_for_callers_who_left_is_not_done(make_batcher: Any, fake: Any) -> None:
    batcher = make_batcher(Limits(max_images=100, preprocess_threads=1))
    first = await hold_device(batcher, fake)
    gone = [asyncio.create_task(batcher.embed(pictures(10 * call, 10))) for call in range(1, 10)]
    await prepared(batcher, 8)
    for call in gone:
        call.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    # Their room is free at once, though the device is still busy.
    futures = await batcher.submit(pictures(200, 99))
    fake.device_open.set()
    assert numbers(await asyncio.gather(first, *futures)) == [0, *range(200, 299)]
    assert {number for batch in fake.batches for number in batch} == {0, *range(200, 299)}


async def test_work_that_would_come_too_late_is_not_done(make_batcher: Any, fake: Any) -> None:
    batcher = make_batcher()
    first = await hold_device(batcher, fake)
    late, other = await batcher.submit([b"1"], deadline=time.monotonic() + 0.05), await batcher.submit([b"2"])
    await asyncio.sleep(0.06)
    fake.device_open.set()
    outcomes = await asyncio.gather(first, *late, *other)
    assert numbers(outcomes) == [0, errors.DeadlineExceeded, 2]
    assert [1] not in fake.batches


async def test_a_hopeless_deadline_is_refused_at_the_door(make_batcher: Any, fake: Any) -> None:
    batcher = make_batcher()
    slow = fake.infer

    def infer(batch: Any) -> Any:
        time.sleep(0.02)
        return slow(batch)

    fake.infer = infer
    await batcher.embed([b"0"])
    with pytest.raises(errors.DeadlineExceeded):
        await batcher.submit(pictures(0, 200), deadline=time.monotonic() + 0.5)
    first = await hold_device(batcher, fake)
    queue = await batcher.submit(pictures(1, 100))
    with pytest.raises(errors.ResourceExhausted) as refused:
        await batcher.submit([b"1"], deadline=time.monotonic() + 0.5)
    assert refused.value.retry_after is not None
    assert refused.value.retry_after > 0.5
    for future in queue:
        future.cancel()
    fake.device_open.set()
    await first


async def test_a_queue_is_let_grow_to_half_of_a_deadline(make_batcher: Any, fake: Any) -> None:
    """Under overload a longer one makes every item late, and all work is thrown away."""
    batcher = make_batcher(Limits(preprocess_threads=1))
    first = await hold_device(batcher, fake)
    # As if a picture had been found to take 1 s: ten of them in 15 s would do, but for the estimate's error.
    batcher._pace._average.value = 1.0
    queue = await batcher.submit(pictures(1, 9))
    with pytest.raises(errors.ResourceExhausted) as refused:
        await batcher.submit([b"10"], deadline=time.monotonic() + 15.0)
    assert refused.value.reason == "QUEUE_TOO_LONG"
    queue += await batcher.submit([b"10"], deadline=time.monotonic() + 60.0)
    fake.device_open.set()
    assert numbers(await asyncio.gather(first, *queue)) == list(range(11))


async def test_an_estimate_gone_wrong_is_mended(make_batcher: Any) -> None:
    """Say, after the machine was suspended: what comes while nothing is in work is tried, or tried soon."""
    batcher = make_batcher()
    estimates = (batcher._pace._average, batcher._per_item, batcher._per_pass, batcher._per_preparation)
    for estimate in estimates:
        estimate.value = 1000.0
    assert numbers(await batcher.embed([b"7"], deadline=time.monotonic() + 20.0)) == [7]
    for estimate in estimates:
        estimate.value = 1000.0
    for _ in range(200):
        try:
            outcomes = await batcher.embed(pictures(0, 4), deadline=time.monotonic() + 20.0)
        except errors.DeadlineExceeded:
            continue
        if numbers(outcomes) == [0, 1, 2, 3]:
            break
    else:
        pytest.fail("four pictures are still refused")


async def test_a_device_error_is_retried_once_in_halves(make_batcher: Any, fake: Any) -> None:
    fake.fail_when = lambda batch: 3 in batch
    batcher = make_batcher()
    first = await hold_device(batcher, fake)
    futures = await batcher.submit(pictures(1, 4))
    await prepared(batcher, 4)
    fake.device_open.set()
    outcomes = await asyncio.gather(first, *futures)
    assert numbers(outcomes) == [0, 1, 2, errors.Unavailable, errors.Unavailable]
    assert outcomes[3].reason == "DEVICE_FAILED"
    assert fake.batches == [[0], [1, 2, 3, 4], [1, 2], [3, 4]]
    assert numbers(await batcher.embed([b"5"])) == [5]


async def test_a_passing_device_error_is_not_noticed(make_batcher: Any, fake: Any) -> None:
    fake.fail_when = lambda batch: len(fake.batches) == 1
    assert numbers(await make_batcher().embed([b"1"])) == [1]


async def test_a_vector_that_is_no_number_fails_alone(make_batcher: Any, fake: Any) -> None:
    infer = fake.infer

    def infinite(batch: Any) -> Any:
        vectors = infer(batch)
        vectors[vectors == 2] = float("nan")
        return vectors

    fake.infer = infinite
    assert numbers(await make_batcher().embed(pictures(0, 4))) == [0, 1, errors.Internal, 3]


async def test_a_device_that_stays_broken_is_given_up_once(make_batcher: Any, fake: Any) -> None:
    fake.fail_when = lambda batch: True
    given_up = []
    batcher = make_batcher(Limits(preprocess_threads=1, failures=3), lambda: given_up.append(1))
    for _ in range(5):
        assert numbers(await batcher.embed([b"1"])) == [errors.Unavailable]
    assert given_up == [1]


async def test_texts_and_pictures_never_share_a_batch(make_batcher: Any, fake: Any) -> None:
    batcher = make_batcher()
    first = await hold_device(batcher, fake)
    mixed = [
        *await batcher.submit(pictures(100, 2)),
        *await batcher.submit(["ab", "abc"], kind=Kind.TEXT),
        *await batcher.submit(pictures(102, 1)),
    ]
    await prepared(batcher, 5)
    fake.device_open.set()
    assert numbers(await asyncio.gather(first, *mixed)) == [0, 100, 101, 2, 3, 102]
    assert fake.batches == [[0], [100, 101], [2, 3], [102]]


async def test_closing_leaves_nobody_waiting(make_batcher: Any, fake: Any) -> None:
    batcher = make_batcher(Limits(max_images=8, preprocess_threads=1))
    first = await hold_device(batcher, fake)
    queued = await batcher.submit(pictures(1, 7))
    outside = asyncio.create_task(batcher.embed([b"9"], wait=True))
    await asyncio.sleep(0)
    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0)
    fake.device_open.set()
    await closing
    async with asyncio.timeout(60):
        outcomes = await asyncio.gather(first, *queued)
        with pytest.raises(errors.Unavailable):
            await outside
    assert set(numbers(outcomes)) <= {0, errors.Unavailable}
    with pytest.raises(errors.Unavailable):
        await batcher.submit([b"1"])


async def test_who_is_being_prepared_when_it_closes_is_told(make_batcher: Any, fake: Any) -> None:
    batcher = make_batcher()
    held, entered = threading.Event(), threading.Event()
    prepare = fake.preprocess

    def preprocess(data: bytes) -> int:
        entered.set()
        assert held.wait(100)
        return int(prepare(data))

    fake.preprocess = preprocess
    (late,) = await batcher.submit([b"1"])
    await until(entered.is_set)
    await batcher.close()
    held.set()
    async with asyncio.timeout(60):
        assert isinstance(await late, errors.Unavailable)


async def test_a_fault_in_the_owner_itself_leaves_nobody_waiting(
    make_batcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher = make_batcher()
    monkeypatch.setattr(batcher, "_feed_pool", lambda: 1 / 0)
    assert numbers(await batcher.embed(pictures(0, 3))) == [errors.Internal] * 3
    monkeypatch.undo()
    assert numbers(await batcher.embed([b"4"])) == [4]
