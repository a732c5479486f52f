"""Workers: what they answer is what the function answers, and no file takes anything but its own process along."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from embedding_service import decoding, workers
from embedding_service.adapters.perceptual_engine import describe_file
from embedding_service.pixels import PixelRules, prepare
from embedding_service.testing import prepare_fragile
from embedding_service.threads import BULK_NICENESS, yield_to_others
from embedding_service.workers import Prepare, WorkerFault, Workers
from servicekit import errors

Make = Callable[..., Workers]


@pytest.fixture
def make() -> Iterator[Make]:
    """Starts workers, and closes them in the end."""
    made: list[Workers] = []

    def making(function: Prepare = prepare_fragile, count: int = 1, **options: Any) -> Workers:
        made.append(Workers(function, count, **options))
        return made[-1]

    yield making
    for each in made:
        each.close()


@pytest.mark.parametrize("function", [describe_file, partial(prepare, rules=PixelRules())])
def test_answers_are_those_of_the_function(make: Make, function: Prepare, photos: list[bytes]) -> None:
    made = make(function)
    for photo in photos[:3]:
        here, there = function(photo), made(photo)
        assert there.dtype == here.dtype
        np.testing.assert_array_equal(here, there)


def test_a_picture_that_cannot_be_read_is_refused_in_the_same_words(make: Make) -> None:
    made = make(describe_file)
    with pytest.raises(errors.InvalidArgument) as here:
        describe_file(b"no picture")
    with pytest.raises(errors.InvalidArgument) as there:
        made(b"no picture")
    assert (there.value.message, there.value.reason) == (here.value.message, here.value.reason)
    assert len(made.processes) == 1


def test_a_picture_that_ends_its_worker_fails_alone(make: Make) -> None:
    made = make(count=2)
    before = made.processes
    files = [b"die" if number == 7 else str(number).encode() for number in range(40)]

    def ask(data: bytes) -> int | str:
        try:
            return int(made(data)[0])
        except errors.InvalidArgument as error:
            return error.reason

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(ask, files))
    assert answers == [*range(7), "IMAGE_DECODER_FAILED", *range(8, 40)]
    assert len(made.processes) == 2 != len({*before} & {*made.processes})


def test_workers_lost_without_a_pictures_fault_cost_nothing(make: Make) -> None:
    made = make(count=3)
    for worker in made.processes:
        os.kill(worker, signal.SIGKILL)
        os.waitid(os.P_PID, worker, os.WEXITED | os.WNOWAIT)
    # More than a picture has tries.
    assert made(b"5")[0] == 5


def test_a_worker_that_hangs_is_replaced(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make()
    hung = made.processes
    with monkeypatch.context() as impatient:
        impatient.setattr(workers, "_LONGEST", 1.0)
        with pytest.raises(errors.InvalidArgument, match="ended without an answer"):
            made(b"hang")
    assert made(b"6")[1] not in hung
    assert not any(Path(f"/proc/{process}").exists() for process in hung)


def test_what_is_left_of_an_answer_is_not_taken_for_the_next(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make()
    (before,) = made.processes

    def broken(_: bytes) -> object:
        monkeypatch.undo()
        raise ValueError("no JSON")

    # The numbers themselves still lie in the connection then.
    monkeypatch.setattr(workers.json, "loads", broken)
    assert [made(b"4")[0], made(b"9")[0]] == [4, 9]
    assert before not in made.processes


def test_a_worker_that_hangs_ends_though_nobody_kills_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as impatient:
        impatient.setattr(workers, "_LONGEST", 1.0)
        made = make()
    (worker,) = made.processes
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(made, b"hang")
        ended = time.monotonic() + 60
        while worker in made.processes and time.monotonic() < ended:
            time.sleep(0.01)
        lost = worker not in made.processes
        made.close()
        assert lost
        with pytest.raises(errors.Unavailable):
            asked.result(60)


def test_a_start_that_fails_is_no_fault_of_the_picture(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    given_up: list[int] = []
    made = make(on_fatal=lambda: given_up.append(1))
    (worker,) = made.processes
    os.kill(worker, signal.SIGKILL)
    os.waitid(os.P_PID, worker, os.WEXITED | os.WNOWAIT)
    with monkeypatch.context() as broken:
        broken.setattr("sys.executable", "/bin/false")
        for number in range(10):
            assert len(given_up) == (number >= 8)
            with pytest.raises(errors.Unavailable) as caught:
                made(b"1")
            assert caught.value.reason == "NO_WORKERS"
    assert made(b"1")[0] == 1


def test_a_fault_of_the_code_is_told_with_its_traceback(make: Make) -> None:
    made = make()
    with pytest.raises(WorkerFault, match="ZeroDivisionError: a fault of this code"):
        made(b"fault")
    assert made(b"7")[0] == 7


def test_a_signal_to_the_group_leaves_the_workers_to_the_service(make: Make) -> None:
    made = make()
    (worker,) = made.processes
    os.kill(worker, signal.SIGTERM)
    os.kill(worker, signal.SIGINT)
    assert made(b"8").tolist() == [8, worker]


def test_closing_tells_who_waits_and_leaves_no_process(make: Make) -> None:
    made = make()
    (worker,) = made.processes
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(made, b"hang") for _ in range(2)]
        # One is in work, the other waits for the worker.
        while not made._idle.empty():
            time.sleep(0.01)
        time.sleep(0.2)
        made.close()
        for future in waiting:
            with pytest.raises(errors.Unavailable):
                future.result(30)
    with pytest.raises(errors.Unavailable):
        made(b"1")
    assert not made.processes
    assert not Path(f"/proc/{worker}").exists()


def test_large_pictures_share_their_places_with_those_of_this_process(make: Make, encode: Callable[..., bytes]) -> None:
    made = make(count=2)
    large = encode(Image.new("L", (5000, decoding.LARGE_PIXELS // 5000 + 1)))
    with ThreadPoolExecutor(1) as pool:
        with decoding.large(), decoding.large():
            waiting = pool.submit(made, large)
            # A small one does not wait for a place.
            assert made(encode(Image.new("L", (9, 9)))).tolist() == [9, 9]
            with pytest.raises(TimeoutError):
                waiting.result(0.5)
        assert waiting.result(60)[0] == 5000
    # Its place was given back.
    with decoding.large():
        assert made(large)[0] == 5000


def test_no_secret_reaches_a_process_that_reads_strangers_files(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    (worker,) = make().processes
    environment = Path(f"/proc/{worker}/environ").read_bytes()
    assert b"PATH=" in environment
    assert b"hf_secret" not in environment


def test_a_worker_imports_no_more_than_it_needs() -> None:
    heavy = ("grpc", "opentelemetry", "pydantic", "torch", "openvino")
    modules = "embedding_service.worker, embedding_service.pixels, embedding_service.adapters.perceptual_engine, sys"
    code = f"import {modules}; print(*[name for name in {heavy} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert answer.stdout.split() == []


def test_bulks_workers_give_way(make: Make) -> None:
    made = make(niceness=BULK_NICENESS)
    (worker,) = made.processes
    made(b"1")
    assert os.getpriority(os.PRIO_PROCESS, worker) == BULK_NICENESS
    os.kill(worker, signal.SIGKILL)
    # The one that is started in its place gives way no further, though the thread that starts it does so already.
    with ThreadPoolExecutor(1, initializer=yield_to_others) as pool:
        (_, again) = pool.submit(made, b"1").result(60)
    assert os.getpriority(os.PRIO_PROCESS, int(again)) == BULK_NICENESS


def test_workers_that_cannot_start_say_what_does_without_them(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "none"))
    with pytest.raises(errors.FailedPrecondition, match="PREPROCESS_IN=threads"):
        make()
    # One that starts and ends at once, as where a package is missing.
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(errors.FailedPrecondition, match="PREPROCESS_IN=threads"):
        make()


def test_more_callers_than_workers_wait_their_turn(make: Make) -> None:
    made, seen, lock = make(count=2), set(), threading.Lock()

    def ask(number: int) -> int:
        answer = made(str(number).encode())
        with lock:
            seen.add(int(answer[1]))
        return int(answer[0])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(100))) == [*range(100)]
    assert seen <= {*made.processes}
