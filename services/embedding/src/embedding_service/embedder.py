"""The service's domain: pictures and texts to vectors, one by one, in batches, in streams."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from embedding_service.batcher import Batcher
from embedding_service.engine import Engine, ModelCard
from embedding_service.queues import Kind, Lane, Limits, Outcome
from embedding_service.threads import BULK_NICENESS
from embedding_service.workers import Workers
from servicekit import errors

logger = logging.getLogger(__name__)

MAX_ITEMS = 256
# CLIP's context is 77 tokens; what is longer than this is no description of a picture.
MAX_TEXT_LENGTH = 4096


@dataclass(frozen=True)
class StreamItem:
    """A picture of a stream with its caller's key."""

    key: str
    image: bytes
    lane: Lane


class Embedder:
    """Owns the engine and the batcher.

    Args:
        load: Loads the engine; slow, runs on a thread of its own in `start`.
        limits: Bounds of the batcher.
        processes: Prepare pictures in processes of their own, as many for each lane as it has threads.
        max_streams: Streams open at once.
        on_fatal: Called when the device cannot be trusted any more.
    """

    def __init__(
        self,
        load: Callable[[], Engine],
        limits: Limits,
        *,
        processes: bool = False,
        max_streams: int = 32,
        on_fatal: Callable[[], None] | None = None,
    ) -> None:
        self._load = load
        self._limits = limits
        self._processes = processes
        self._max_streams = max_streams
        self._on_fatal = on_fatal
        self._streams = 0
        self._engine: Engine | None = None
        self._batcher: Batcher | None = None
        self._workers: dict[Lane, Workers] = {}

    async def start(self) -> None:
        """Loads the model and makes it ready for the first picture.

        Raises:
            errors.FailedPrecondition: The model cannot be loaded; the message says what is wrong.
        """
        engine = await asyncio.to_thread(self._load)
        await asyncio.to_thread(engine.warm_up)
        self._engine = engine
        if self._processes:
            count = self._limits.preprocess_threads
            for lane, niceness in ((Lane.INTERACTIVE, 0), (Lane.BULK, BULK_NICENESS)):
                self._workers[lane] = await asyncio.to_thread(
                    Workers, engine.preprocess, count, niceness=niceness, on_fatal=self._on_fatal
                )
        self._batcher = Batcher(engine, self._limits, self._on_fatal, self._workers)
        self._batcher.start()
        card = engine.card
        logger.info("%s on %s, %s, %s; %s", card.id, card.engine, card.device, card.dtype, card.detail or "ready")

    async def close(self) -> None:
        """Ends the batcher, the workers and the engine."""
        if self._batcher is not None:
            await self._batcher.close()
        for workers in self._workers.values():
            workers.close()
        if self._engine is not None:
            self._engine.close()

    @property
    def card(self) -> ModelCard:
        """Identity of the model."""
        return self._ready()[0].card

    @property
    def outstanding(self) -> int:
        """Pictures and texts queued and in work."""
        return self._batcher.outstanding if self._batcher is not None else 0

    def glance(self, deadline: float | None) -> None:
        """Refuses what would be refused whatever the request holds, so that it need not be read.

        Raises:
            errors.ServiceError: As `images`.
        """
        self._ready()[1].glance(deadline)

    async def images(self, images: Sequence[bytes], lane: Lane, deadline: float | None) -> list[Outcome]:
        """Vectors of encoded files, or the reason why there is none, in order.

        Args:
            images: 1 to 256 encoded files.
            lane: Queue to wait in.
            deadline: `time.monotonic()` by which the answer is of use.

        Raises:
            errors.InvalidArgument: None, or too many.
            errors.ServiceError: The service could take none of them.
        """
        _check_count(len(images), "picture")
        outcomes = await self._ready()[1].embed(images, kind=Kind.IMAGE, lane=lane, deadline=deadline)
        return _raise_shared(outcomes)

    async def texts(self, texts: Sequence[str], lane: Lane, deadline: float | None) -> list[Outcome]:
        """Vectors of texts in the space of the pictures; as `images`.

        Raises:
            errors.Unimplemented: The model has no text tower.
        """
        engine, batcher = self._ready()
        if not engine.card.has_text_tower:
            raise errors.Unimplemented(
                f"{engine.card.name} embeds pictures only; texts need a CLIP checkpoint with its tokenizer",
                reason="NO_TEXT_TOWER",
            )
        _check_count(len(texts), "text")
        refused = {index: error for index, text in enumerate(texts) if (error := _text_error(text)) is not None}
        sane = [text for index, text in enumerate(texts) if index not in refused]
        outcomes = iter(await batcher.embed(sane, kind=Kind.TEXT, lane=lane, deadline=deadline) if sane else [])
        return _raise_shared([refused.get(index) or next(outcomes) for index in range(len(texts))])

    async def stream(
        self, items: AsyncIterator[StreamItem], deadline: float | None
    ) -> AsyncIterator[tuple[str, Outcome]]:
        """Keys and outcomes in the order of the items.

        Reads on only as fast as there is room, and never further ahead of what the caller has taken
        than two batches.

        Raises:
            errors.ResourceExhausted: Too many streams are open.
        """
        engine, batcher = self._ready()
        if self._streams >= self._max_streams:
            raise errors.ResourceExhausted(
                f"{self._streams} streams are open; come back when told", reason="TOO_MANY_STREAMS", retry_after=5.0
            )
        self._streams += 1
        window: asyncio.Queue[tuple[str, asyncio.Future[Outcome]] | None] = asyncio.Queue(2 * engine.max_batch)
        reader = asyncio.create_task(_read(items, batcher, window, deadline))
        try:
            while (entry := await window.get()) is not None:
                key, future = entry
                yield key, await future
            await reader
        finally:
            self._streams -= 1
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            while not window.empty():
                if (entry := window.get_nowait()) is not None:
                    entry[1].cancel()

    def _ready(self) -> tuple[Engine, Batcher]:
        if self._engine is None or self._batcher is None:
            raise errors.Unavailable("the model is not loaded yet", reason="NOT_READY", retry_after=1.0)
        return self._engine, self._batcher


async def _read(
    items: AsyncIterator[StreamItem],
    batcher: Batcher,
    window: asyncio.Queue[tuple[str, asyncio.Future[Outcome]] | None],
    deadline: float | None,
) -> None:
    future: asyncio.Future[Outcome] | None = None
    try:
        async for item in items:
            (future,) = await batcher.submit([item.image], lane=item.lane, deadline=deadline, wait=True)
            await window.put((item.key, future))
            future = None
    except asyncio.CancelledError:
        if future is not None:
            future.cancel()
        raise
    finally:
        # Cancelled, nobody reads the window any more, and it may be full.
        if not asyncio.current_task().cancelling():  # type: ignore[union-attr]  # inside a task
            await window.put(None)


def _check_count(count: int, what: str) -> None:
    if not count:
        raise errors.InvalidArgument(f"send at least one {what}", reason="EMPTY_REQUEST")
    if count > MAX_ITEMS:
        raise errors.InvalidArgument(
            f"{count} {what}s are too many for one call; send at most {MAX_ITEMS}", reason="TOO_MANY_ITEMS"
        )


def _text_error(text: str) -> errors.InvalidArgument | None:
    if not text.strip():
        return errors.InvalidArgument("the text is empty; say what to look for", reason="TEXT_EMPTY")
    if len(text) > MAX_TEXT_LENGTH:
        return errors.InvalidArgument(
            f"the text has {len(text)} characters; at most {MAX_TEXT_LENGTH} are taken", reason="TEXT_TOO_LONG"
        )
    return None


def _raise_shared(outcomes: list[Outcome]) -> list[Outcome]:
    """Fails the call where it is not the items' fault and none went through: such calls may be repeated."""
    causes = [outcome for outcome in outcomes if isinstance(outcome, errors.ServiceError)]
    if len(causes) == len(outcomes) and not any(isinstance(cause, errors.InvalidArgument) for cause in causes):
        raise causes[0]
    return outcomes
