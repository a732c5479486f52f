"""A client for many pictures: bounded memory, results in order, repeats what may be repeated.

    async for result in embed_all(channel, pictures, progress=bar(total)):
        index.add(result.key, result.vector)

or `python -m embedding_service.bulk_client FOLDER --out vectors.npz`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from jewelry.embedding.v1 import embedding_pb2 as pb
from jewelry.embedding.v1 import embedding_pb2_grpc
from numpy.typing import NDArray
from tqdm import tqdm  # type: ignore[import-untyped]

from servicekit import ServiceSettings, client, errors, images

Picture = tuple[str, bytes | Path]
_Entry = tuple[str, bytes | errors.ServiceError] | None

# Ends of a stream after which the unanswered pictures may be sent again: embedding changes nothing.
_REPEATABLE = (errors.Unavailable, errors.ResourceExhausted, errors.Aborted, errors.Cancelled, errors.DeadlineExceeded)
# Reasons of single pictures that say nothing about the picture.
_REPEATABLE_REASONS = {"DEVICE_FAILED", "STOPPING", "QUEUED_TOO_LONG", "PREPROCESS_FAILED"}


@dataclass(frozen=True)
class BulkResult:
    """What became of one picture: a float32 vector or an error.

    Attributes:
        key: The caller's key.
        vector: float32 (dimension,), not normalised; None where there is an error.
        error: Why there is no vector.
        model_id: The model that answered; empty where the picture was never sent.
    """

    key: str
    vector: NDArray[np.float32] | None
    error: errors.ServiceError | None
    model_id: str = ""


@dataclass(frozen=True)
class Options:
    """How hard to push, and to try.

    Attributes:
        window: Pictures read and not yet given to the caller, at most.
        window_bytes: Their bytes, at most; one picture is always let through.
        attempts: Tries of one picture, and of opening a stream without an answer in between.
        stream_seconds: A stream is renewed after this, so that new replicas get their share and the
            server's limit on the age of connections is never met.
        stall_seconds: A stream that answers nothing for this long is given up and repeated.
    """

    window: int = 256
    window_bytes: int = 64 * 2**20
    attempts: int = 5
    stream_seconds: float = 60.0
    stall_seconds: float = 60.0


async def embed_all(
    channel: grpc.aio.Channel,
    pictures: Iterable[Picture] | AsyncIterable[Picture],
    *,
    lane: int = pb.LANE_BULK,
    options: Options | None = None,
    progress: Callable[[BulkResult], None] | None = None,
) -> AsyncIterator[BulkResult]:
    """Embeds any number of pictures; one result per picture, in order.

    Args:
        channel: To the embedding service, from `servicekit.client.connect`.
        pictures: Keys with encoded files or paths; read only as fast as results are taken.
        lane: Queue to wait in.
        options: Bounds and patience.
        progress: Called with each result.

    Raises:
        errors.ServiceError: The service stayed away, or refuses for good.
    """
    transfer = _Transfer(channel, _Source(pictures), lane, options or Options())
    try:
        async for result in transfer.run():
            if progress is not None:
                progress(result)
            yield result
    finally:
        await transfer.close()


def bar(total: int | None = None) -> Callable[[BulkResult], None]:
    """A progress bar on standard error that counts results and errors."""
    display = tqdm(total=total, unit="img", smoothing=0.05)
    failed = 0

    def update(result: BulkResult) -> None:
        nonlocal failed
        failed += result.error is not None
        display.update()
        if failed:
            display.set_postfix(failed=failed, refresh=False)
        if display.n == total:
            display.close()

    return update


class _Source:
    """The caller's pictures, sync or async, one at a time; files are read on a thread."""

    def __init__(self, pictures: Iterable[Picture] | AsyncIterable[Picture]) -> None:
        self._async = aiter(pictures) if isinstance(pictures, AsyncIterable) else None
        self._sync = iter(()) if isinstance(pictures, AsyncIterable) else iter(pictures)

    async def next(self) -> _Entry:
        """Key with the file or why it cannot be sent; None at the end."""
        picture = await anext(self._async, None) if self._async is not None else next(self._sync, None)
        if picture is None:
            return None
        key, data = picture
        if isinstance(data, Path):
            try:
                data = await asyncio.to_thread(data.read_bytes)
            except OSError as error:
                return key, errors.NotFound(f"{key} cannot be read: {error.strerror}", reason="FILE_UNREADABLE")
        if len(data) > images.MAX_BYTES:
            return key, errors.InvalidArgument(
                f"the picture has {len(data) / 2**20:.1f} MiB; at most {images.MAX_BYTES // 2**20} MiB are taken",
                reason="IMAGE_TOO_LARGE",
            )
        return key, data


@dataclass
class _Held:
    """A picture that has no final result yet."""

    key: str
    data: bytes
    tries: int = 0


class _Transfer:
    """One run over the source, over as many streams as it takes."""

    def __init__(self, channel: grpc.aio.Channel, source: _Source, lane: int, options: Options) -> None:
        self._method: Any = embedding_pb2_grpc.EmbeddingServiceStub(channel).EmbedImagesStream
        self._source = source
        self._lane = lane
        self._options = options
        self._held: dict[int, _Held] = {}
        self._held_bytes = 0
        self._again: deque[int] = deque()
        self._sent: deque[int] = deque()
        self._done: dict[int, BulkResult] = {}
        self._read = 0
        self._given = 0
        self._exhausted = False
        self._epoch = 0
        self._reading: asyncio.Future[_Entry] | None = None
        self._failure: BaseException | None = None
        self._room = asyncio.Event()

    async def run(self) -> AsyncIterator[BulkResult]:
        """Results in order, over as many streams as it takes."""
        failures = 0
        while not (self._exhausted and not self._held and not self._done):
            given = self._given
            try:
                async for result in self._stream():
                    yield result
            except errors.ServiceError as error:
                if not isinstance(error, _REPEATABLE):
                    raise
                failures = 1 if self._given > given else failures + 1
                if failures >= self._options.attempts:
                    raise
                await asyncio.sleep(_pause(error, failures))
            else:
                failures = 0
            finally:
                # What this stream left unanswered goes first on the next one, in order.
                self._again.extendleft(reversed(self._sent))
                self._sent.clear()
        if self._failure is not None:
            raise self._failure

    async def close(self) -> None:
        """Lets go of the source, also in the middle."""
        self._epoch += 1
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _stream(self) -> AsyncIterator[BulkResult]:
        """One stream, until it is renewed, the source ends, or it breaks."""
        self._epoch += 1
        seconds = self._options.stream_seconds + 2 * self._options.stall_seconds
        requests: Any = self._requests(self._epoch, time.monotonic() + self._options.stream_seconds)
        answers = client.stream(self._method, requests, timeout=seconds)
        answer: pb.EmbedImagesStreamResponse | None
        try:
            while (answer := await self._answer(answers)) is not None:
                self._take(answer)
                for result in self._finished():
                    yield result
            for result in self._finished():
                yield result
        finally:
            await answers.aclose()  # type: ignore[attr-defined]  # an async generator

    async def _answer(self, answers: AsyncIterator[Any]) -> Any:
        """The next answer; None at the end of the stream."""
        reading = asyncio.ensure_future(anext(answers, None))
        try:
            while not (await asyncio.wait({reading}, timeout=self._options.stall_seconds))[0]:
                # A slow source is no reason to give a stream up.
                if self._sent:
                    raise errors.Unavailable(
                        f"the embedding service answered nothing for {self._options.stall_seconds:.0f} s"
                    )
            return reading.result()
        finally:
            if not reading.done():
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    async def _requests(self, epoch: int, until: float) -> AsyncIterator[pb.EmbedImagesStreamRequest]:
        """What one stream sends. A stream that broke may still pull at its requests: it gets no more."""
        while (number := await self._next(epoch, until)) is not None:
            held = self._held[number]
            held.tries += 1
            self._sent.append(number)
            yield pb.EmbedImagesStreamRequest(image=held.data, key=held.key, lane=self._lane)  # type: ignore[arg-type]

    async def _next(self, epoch: int, until: float) -> int | None:
        """Number of the next picture to send, waiting for room; None when this stream has no more."""
        while epoch == self._epoch and (left := until - time.monotonic()) > 0:
            if self._again:
                return self._again.popleft()
            if self._exhausted:
                return None
            if self._full():
                if not self._held:
                    # Only errors of our own wait: the stream must end for them to be given out.
                    return None
                self._room.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._room.wait()
                continue
            # Not awaited itself: a stream that breaks must not take a half-read picture along.
            self._reading = self._reading or asyncio.ensure_future(self._source.next())
            await asyncio.wait({self._reading}, timeout=left)
            if epoch == self._epoch and self._reading is not None and self._reading.done():
                reading, self._reading = self._reading, None
                number = self._hold(reading)
                if number is not None:
                    return number
        return None

    def _hold(self, reading: asyncio.Future[_Entry]) -> int | None:
        """Takes a picture in; None where there is nothing to send."""
        # Raised here it would end in gRPC's hands; the caller gets it after the results so far.
        self._failure = reading.exception()
        entry = None if self._failure else reading.result()
        if entry is None:
            self._exhausted = True
            return None
        number, (key, data) = self._read, entry
        self._read += 1
        if isinstance(data, errors.ServiceError):
            self._done[number] = BulkResult(key, None, data)
            return None
        self._held[number] = _Held(key, data)
        self._held_bytes += len(data)
        return number

    def _full(self) -> bool:
        options = self._options
        return len(self._held) + len(self._done) >= options.window or (
            bool(self._held) and self._held_bytes >= options.window_bytes
        )

    def _take(self, answer: pb.EmbedImagesStreamResponse) -> None:
        number = self._sent.popleft()
        held = self._held[number]
        if answer.key != held.key:
            raise errors.Internal("the embedding service answered out of order")
        error = answer.result.error
        if answer.result.HasField("error"):
            if error.reason in _REPEATABLE_REASONS and held.tries < self._options.attempts:
                self._again.append(number)
                return
            kind = errors.InvalidArgument if error.reason.startswith("IMAGE_") else errors.Internal
            result = BulkResult(held.key, None, kind(error.message, reason=error.reason), answer.model_id)
        else:
            vector = np.array(answer.result.embedding.values, dtype=np.float32)
            result = BulkResult(held.key, vector, None, answer.model_id)
        self._done[number] = result
        self._held_bytes -= len(held.data)
        del self._held[number]

    def _finished(self) -> Iterable[BulkResult]:
        """Results whose turn it is."""
        while self._given in self._done:
            result = self._done.pop(self._given)
            self._given += 1
            self._room.set()
            yield result


def _pause(error: errors.ServiceError, failures: int) -> float:
    """Seconds before the next stream: what the server asked for, else doubling, always a little random."""
    wanted = error.retry_after if error.retry_after is not None else 0.2 * 2**failures
    return min(wanted, 30.0) * (0.75 + random.random() / 2)  # noqa: S311  # jitter, no secret


async def _embed_files(folder: Path, paths: Sequence[Path], target: str, out: Path) -> int:
    settings = ServiceSettings()
    descriptors = [pb.DESCRIPTOR.services_by_name["EmbeddingService"]]
    keys, vectors, failed = [], [], 0
    async with client.connect(target, descriptors, settings) as channel:
        pictures = ((str(path.relative_to(folder)), path) for path in paths)
        async for result in embed_all(channel, pictures, progress=bar(len(paths))):
            if result.vector is None:
                failed += 1
                tqdm.write(f"{result.key}: {result.error}")
                continue
            keys.append(result.key)
            vectors.append(result.vector)
    np.savez(out, keys=np.array(keys), vectors=np.array(vectors, dtype=np.float32))
    print(f"{len(keys)} vectors in {out}, {failed} failed")
    return 1 if failed else 0


def main() -> int:
    """Embeds every file of a folder into one .npz of keys and vectors."""
    parser = argparse.ArgumentParser(prog="python -m embedding_service.bulk_client", description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--target", default="127.0.0.1:50051", help="address of the embedding service")
    parser.add_argument("--out", type=Path, default=Path("vectors.npz"))
    given = parser.parse_args()
    paths = sorted(path for path in given.folder.rglob("*") if path.is_file())
    return asyncio.run(_embed_files(given.folder, paths, given.target, given.out))


if __name__ == "__main__":
    raise SystemExit(main())
