"""Makes mock-up pictures: prompts of a style set, made, checked, cut into forms, stored and packed.

Every picture stands alone: one that fails leaves its reason and takes no other along.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from PIL import Image

from copywriter_service import forms, provenance, styles
from copywriter_service.adapters.painter import Painted, Painter
from copywriter_service.budget import Budget, rupees
from copywriter_service.domain import AdapterInfo, Cost, TimeLeft
from copywriter_service.gallery import Gallery, Names, Page
from copywriter_service.resemblance import Resemblance, Source, Verdict
from copywriter_service.styles import Scene, StyleSet
from objectstore import ObjectStore
from servicekit import errors, images

logger = logging.getLogger(__name__)

# Seconds kept for storing and packing what is finished when the time is over.
FINISH_SECONDS = 8.0
# Most share of the time that is kept for that.
FINISH_SHARE = 0.2

# Failures of the provider as a whole: where they are all that happened, they are the answer.
_OF_THE_PROVIDER = frozenset(
    {
        "PROVIDER_KEY_REFUSED", "PROVIDER_RATE_LIMITED", "PROVIDER_QUOTA_GONE", "PROVIDER_DOWN", "PROVIDER_UNREACHABLE",
        "PROVIDER_TIMEOUT", "PROVIDER_MODEL_UNKNOWN", "PROVIDER_REJECTED", "IMAGES_QUEUE_FULL", "IMAGES_QUEUE_SLOW",
        "IMAGES_SLOW",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Commission:
    """A request for mock-ups. Everything but style, type and indexes is data, never an instruction.

    Attributes:
        prompt_indexes: Which scenes of the style set, from 0; empty: all.
        max_inr_micros: Most that it may cost, in millionths of a rupee; 0: the configured bound.
    """

    pictures: tuple[bytes, ...] = field(repr=False)
    product_type: str
    product_desc: str = ""
    style: str = ""
    prompt_indexes: tuple[int, ...] = ()
    website: str = ""
    max_inr_micros: int = 0


@dataclass(frozen=True)
class Mockup:
    """One asked picture: addresses of its forms, or why it failed."""

    prompt_index: int
    url: str = ""
    portrait_url: str = ""
    error: errors.ServiceError | None = None
    suspect: bool = False
    suspect_reason: str = ""


@dataclass(frozen=True)
class Portfolio:
    """The answer: one mock-up per asked picture, in the order asked for."""

    mockups: tuple[Mockup, ...]
    zip_url: str
    adapter: AdapterInfo
    cost: Cost


@dataclass(frozen=True)
class Limits:
    """Bounds of one request.

    Attributes:
        pictures: Most made pictures.
        inr_micros: Most that it may cost, in millionths of a rupee; callers may ask for less.
        seconds: Longest time.
    """

    pictures: int = 12
    inr_micros: int = 250_000_000
    seconds: float = 300.0


@dataclass(frozen=True)
class _Work:
    """What all pictures of a request share."""

    style: StyleSet
    product_desc: str
    uploads: tuple[bytes, ...]
    source: asyncio.Task[Source]
    budget: Budget
    names: Names
    time_left: TimeLeft


class Mockups:
    """The service's other work; knows no wire.

    Args:
        painter: Makes pictures.
        store: Where they are kept.
        resemblance: Compares them with their sources.
    """

    def __init__(self, painter: Painter, store: ObjectStore, resemblance: Resemblance, limits: Limits) -> None:
        self._painter = painter
        self._gallery = Gallery(store)
        self._resemblance = resemblance
        self._limits = limits

    async def generate(self, order: Commission, seconds: float | None = None) -> Portfolio:
        """Makes the asked pictures.

        Args:
            order: What to make.
            seconds: Time that the caller has.

        Raises:
            errors.InvalidArgument: The request cannot be meant; a source picture cannot be decoded.
            errors.FailedPrecondition: NO_PROVIDER_KEY; PRICE_UNKNOWN where a money limit cannot be kept.
            errors.ServiceError: The object store is away, or the provider is for every picture; nothing was made.
        """
        style = self._scenes(order)
        bucket = self._gallery.bucket(order.website)
        self._painter.require()
        budget, note = self._budget(order)
        limit = self._limits.seconds if seconds is None else min(self._limits.seconds, seconds)
        until = time.monotonic() + limit - min(FINISH_SECONDS, FINISH_SHARE * limit)
        # Where nothing can be kept, nothing is paid for.
        await self._gallery.probe(bucket)
        uploads, decoded = await asyncio.to_thread(self._prepare, order.pictures)
        # Looked at while the first pictures are made.
        source = asyncio.create_task(self._resemblance.of_sources(decoded), name="mockup-source")
        work = _Work(
            style, order.product_desc, uploads, source, budget, Names(bucket, f"{order.product_type}-{style.name}"),
            lambda: max(0.0, until - time.monotonic()),
        )  # fmt: skip
        results = await self._all(work)
        pages = [page for _, page, _ in results if page is not None]
        mockups = tuple(mockup for mockup, _, _ in results)
        if not pages:
            _raise_common(mockups)
        zip_url, unpacked = await self._pack(work, pages)
        info = self._painter.info
        detail = "; ".join(filter(None, (info.detail, note, unpacked)))
        cost = sum((cost for _, _, cost in results), Cost())
        return Portfolio(mockups, zip_url, replace(info, detail=detail), cost)

    # -- before anything is paid -----------------------------------------------------------------

    def _scenes(self, order: Commission) -> StyleSet:
        if not order.pictures:
            raise errors.InvalidArgument(
                "send at least one picture of the product", reason="IMAGE_EMPTY", fields={"pictures": "at least one"}
            )
        style = styles.choose(order.style, order.product_type, order.prompt_indexes)
        most = self._limits.pictures
        if len(style.scenes) > most:
            raise errors.InvalidArgument(
                f"these are {len(style.scenes)} pictures; at most {most} are made at a time: choose prompt_indexes",
                reason="TOO_MANY_PICTURES",
                fields={"prompt_indexes": f"at most {most}"},
            )
        return style

    def _budget(self, order: Commission) -> tuple[Budget, str]:
        """The money limit; and a note where none can be kept."""
        if order.max_inr_micros < 0:
            raise errors.InvalidArgument(
                "max_inr_micros is negative; leave it 0 for the configured bound",
                fields={"max_inr_micros": "0 or more"},
            )
        planned = self._painter.planned_micros(len(order.pictures))
        if planned is None and order.max_inr_micros:
            raise errors.FailedPrecondition(
                "no price is known for the image model, so a limit in rupees cannot be kept; set "
                "OPENAI_IMAGE_INPUT_PRICE and OPENAI_IMAGE_OUTPUT_PRICE, or leave max_inr_micros 0",
                reason="PRICE_UNKNOWN",
            )
        if planned is None:
            return Budget(None, 0), "no money limit is kept"
        limit = min(order.max_inr_micros or self._limits.inr_micros, self._limits.inr_micros)
        if planned > limit:
            raise errors.ResourceExhausted(
                f"one picture may cost {rupees(planned)}, and the limit of this request is {rupees(limit)}; raise "
                "max_inr_micros or IMAGES_MAX_INR",
                reason="MONEY_LIMIT",
            )
        return Budget(limit, planned), ""

    def _prepare(self, pictures: Sequence[bytes]) -> tuple[tuple[bytes, ...], tuple[Image.Image, ...]]:
        ready = [forms.upload(picture, self._painter.longest_side) for picture in pictures]
        return tuple(data for data, _ in ready), tuple(image for _, image in ready)

    # -- one picture -----------------------------------------------------------------------------

    async def _all(self, work: _Work) -> list[tuple[Mockup, Page | None, Cost]]:
        tasks = [asyncio.create_task(self._one(work, scene), name="mockup") for scene in work.style.scenes]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            # The caller has left, or nothing is left to be compared: nobody wants the rest.
            for task in (*tasks, work.source):
                task.cancel()
            await asyncio.gather(*tasks, work.source, return_exceptions=True)

    async def _one(self, work: _Work, scene: Scene) -> tuple[Mockup, Page | None, Cost]:
        """Makes one picture; every failure becomes its own."""
        cost = Cost()
        try:
            painted = await self._paint(work, scene)
            cost = painted.cost
            page = await self._finish(work, scene, painted.data)
        except errors.ServiceError as error:
            logger.info("picture %d was not made: %s", scene.index, error.reason)
            return Mockup(scene.index, error=error), None, cost
        except Exception:
            logger.exception("picture %d was not made", scene.index)
            bug = errors.Internal("the picture could not be made; ask again for this prompt_index", reason="INTERNAL")
            return Mockup(scene.index, error=bug), None, cost
        mockup = Mockup(
            scene.index, page.url, page.portrait_url, suspect=page.verdict.suspect, suspect_reason=page.verdict.reason
        )
        return mockup, page, cost

    async def _paint(self, work: _Work, scene: Scene) -> Painted:
        prompt = work.style.prompt(scene, len(work.uploads), work.product_desc)
        try:
            async with asyncio.timeout(work.time_left()), work.budget.piece() as spending:
                try:
                    painted = await self._painter.paint(work.uploads, prompt, work.time_left)
                except errors.ServiceError as error:
                    if error.reason != "PROVIDER_TIMEOUT":
                        spending.was(0)
                    raise
                spending.was(painted.cost.inr_micros)
                return painted
        except TimeoutError:
            raise errors.DeadlineExceeded(
                "the picture was not made in time; ask for this prompt_index again", reason="IMAGES_SLOW"
            ) from None

    async def _finish(self, work: _Work, scene: Scene, data: bytes) -> Page:
        """Checks, cuts and stores what the provider made."""
        try:
            made = await asyncio.to_thread(images.decode_rgb, data)
        except errors.InvalidArgument:
            raise errors.Unavailable(
                "the provider answered with no picture that can be read; ask for this prompt_index again",
                reason="PROVIDER_BAD_ANSWER",
            ) from None
        origin = await asyncio.to_thread(provenance.read, data)
        keys = work.names.of(scene.index, data)
        original_url = await self._gallery.keep(keys.original, data)
        cut = await asyncio.to_thread(forms.cut, made, origin, original_url)
        verdict: Verdict
        url, portrait_url, verdict = await asyncio.gather(
            self._gallery.keep(keys.square, cut.square),
            self._gallery.keep(keys.portrait, cut.portrait),
            self._resemblance.check(await work.source, made),
        )
        return Page(scene, keys, data, cut, origin, verdict, original_url, url, portrait_url)

    async def _pack(self, work: _Work, pages: Sequence[Page]) -> tuple[str, str]:
        """Address of the zip, and a note where it could not be stored: the pictures are there all the same."""
        if not pages:
            return "", ""
        try:
            return await self._gallery.pack(work.names, work.style, pages, self._painter.info.model_id), ""
        except errors.ServiceError as error:
            logger.warning("the zip could not be stored: %s", error.reason)
            return "", f"the zip could not be stored: {error.message}"


def _raise_common(mockups: Sequence[Mockup]) -> None:
    """Raises the provider's failure where it is the only thing that happened."""
    found = [mockup.error for mockup in mockups if mockup.error is not None]
    reasons = {error.reason for error in found}
    if len(reasons) == 1 and reasons <= _OF_THE_PROVIDER:
        raise found[0]
