"""From photos to a workbook: each product through the same steps, then all that went well into one export.

A product's steps take and give plain data (see `model`), each can be repeated, and none knows of the others' products:
one that fails leaves its neighbours alone, and a durable workflow can keep the result of each.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from gateway_service.model import (
    Adapter,
    Analysis,
    Cost,
    Issue,
    Order,
    Picture,
    PictureFacts,
    ProductTask,
    Row,
    Workbook,
    WrittenCopy,
)
from servicekit import errors, images

logger = logging.getLogger(__name__)

T = TypeVar("T")

# One message takes all pictures of a product; gRPC takes 64 MiB.
MAX_PRODUCT_BYTES = 48 * 1024 * 1024
# A queue that is full is asked again, but not for ever.
TRIES = 3


class Images(Protocol):
    """Gives the picture at an address, ours or outside."""

    async def load(self, url: str) -> Picture:
        """The picture; raises `errors.ServiceError` with a sentence for people."""
        ...


class Analyzer(Protocol):
    """Reads a product's fields from its pictures."""

    async def analyze(self, task: ProductTask, pictures: Sequence[Picture]) -> Analysis:
        """Every vision field of the marketplace code, empty ones included."""
        ...


class Copywriter(Protocol):
    """Writes title, bullet points and description."""

    async def write_copy(self, task: ProductTask, analysis: Analysis, pictures: Sequence[Picture]) -> WrittenCopy:
        """The copy, new or from the cache."""
        ...


class Exporter(Protocol):
    """Fills workbooks."""

    async def field_options(self, order: Order) -> Mapping[str, tuple[str, ...]]:
        """Allowed values by field of the seller's own template; empty for a built-in one."""
        ...

    async def export(self, order: Order, rows: Sequence[Row]) -> Workbook:
        """Writes the rows into one workbook."""
        ...


@dataclass(frozen=True)
class Limits:
    """How much is done at once, and how long a full queue is waited for in seconds."""

    concurrency: int = 8
    concurrency_total: int = 16
    longest_wait: float = 30.0


@dataclass(frozen=True)
class Outcome:
    """What became of one product; `row` is None for one that failed, and `error` then says why."""

    sku: str
    image_urls: tuple[str, ...]
    error: str = ""
    error_code: str = ""
    row: Row | None = None
    analysis: Analysis | None = None
    copy: WrittenCopy | None = None
    issues: tuple[Issue, ...] = ()

    @property
    def status(self) -> str:
        """`success` or `failed`."""
        return "success" if self.row is not None else "failed"

    @property
    def cost(self) -> Cost:
        """What the product's steps cost."""
        return sum((part.cost for part in (self.analysis, self.copy) if part is not None), Cost())

    @property
    def adapters(self) -> tuple[Adapter, ...]:
        """Who answered."""
        return tuple(part.adapter for part in (self.analysis, self.copy) if part is not None)

    @property
    def name(self) -> str:
        """The title; where the marketplace takes none, the first sentence of the description; else the SKU."""
        if self.copy is None:
            return self.sku
        first = self.copy.description.partition(". ")[0].strip()
        return self.copy.title or (first if len(first) <= 120 else f"{first[:119].rstrip()}…") or self.sku


@dataclass(frozen=True)
class Run:
    """Outcomes in the order of the request, and the workbook; None where no product succeeded."""

    outcomes: tuple[Outcome, ...]
    workbook: Workbook | None


class ProductSteps:
    """The work on one product, step by step.

    Pictures are held for as long as this object lives and are loaded again where a step is resumed without them: they
    are too large to be kept as the result of a step.
    """

    def __init__(self, task: ProductTask, pictures: Images, analyzer: Analyzer, copywriter: Copywriter) -> None:
        self._task = task
        self._images = pictures
        self._analyzer = analyzer
        self._copywriter = copywriter
        self._loaded: tuple[Picture, ...] | None = None

    async def fetch(self) -> tuple[PictureFacts, ...]:
        """Loads the pictures and checks them from their headers."""
        return tuple(_facts(picture) for picture in await self._pictures())

    async def analyze(self) -> Analysis:
        """Reads the fields from the pictures."""
        return await self._analyzer.analyze(self._task, await self._pictures())

    async def write_copy(self, analysis: Analysis) -> WrittenCopy:
        """Writes the copy from the pictures and the fields."""
        return await self._copywriter.write_copy(self._task, analysis, await self._pictures())

    async def _pictures(self) -> tuple[Picture, ...]:
        if self._loaded is None:
            if not self._task.image_urls:
                raise errors.InvalidArgument("the product has no picture; send its address", reason="IMAGE_MISSING")
            loaded = []
            size = 0
            for url in self._task.image_urls:
                loaded.append(await self._images.load(url))
                size += len(loaded[-1].content)
                if size > MAX_PRODUCT_BYTES:
                    raise errors.InvalidArgument(
                        f"the product's pictures are larger than {MAX_PRODUCT_BYTES // 2**20} MiB together; send fewer",
                        reason="IMAGE_TOO_LARGE",
                    )
            self._loaded = tuple(loaded)
        return self._loaded


class Catalogue:
    """Brings products into workbooks."""

    def __init__(
        self, pictures: Images, analyzer: Analyzer, copywriter: Copywriter, exporter: Exporter, limits: Limits
    ) -> None:
        self._images = pictures
        self._analyzer = analyzer
        self._copywriter = copywriter
        self._exporter = exporter
        self._limits = limits
        self._all = asyncio.Semaphore(limits.concurrency_total)

    async def run(self, order: Order) -> Run:
        """Works on every product, then writes those that went well into one workbook.

        Raises:
            errors.ServiceError: The exporter cannot write, which is found out before anything is paid for.
        """
        options = await self._exporting(self._exporter.field_options(order))
        mine = asyncio.Semaphore(self._limits.concurrency)

        async def one(task: ProductTask) -> Outcome:
            # First the order's own bound: a large order then never fills the queue that all orders share.
            async with mine, self._all:
                return await self.process(task)

        async with asyncio.TaskGroup() as group:
            work = [group.create_task(one(task)) for task in tasks(order, options)]
        outcomes = [task.result() for task in work]
        rows = [outcome.row for outcome in outcomes if outcome.row is not None]
        if not rows:
            return Run(tuple(outcomes), None)
        workbook = await self._exporting(self._exporter.export(order, rows))
        return Run(tuple(with_findings(outcome, workbook) for outcome in outcomes), workbook)

    async def process(self, task: ProductTask) -> Outcome:
        """Takes one product through its steps; never raises."""
        steps = ProductSteps(task, self._images, self._analyzer, self._copywriter)
        outcome = Outcome(task.sku, task.image_urls)
        doing = "the picture cannot be used"
        try:
            await self._patiently(steps.fetch)
            doing = "the picture could not be read"
            analysis = await self._patiently(steps.analyze)
            outcome = replace(outcome, analysis=analysis)
            doing = "the copy could not be written"
            copy = await self._patiently(lambda: steps.write_copy(analysis))
            return replace(outcome, copy=copy, row=row(task, analysis, copy), issues=issues(analysis, copy))
        except errors.ServiceError as error:
            return failed(outcome, f"{doing}: {error.message}", error.reason)
        except Exception:
            # One product's surprise is not its neighbours'; the log has all of it.
            logger.exception("%s: an unexpected error", task.sku)
            return failed(outcome, f"{doing}: an unexpected error; the log has it under this request's id", "INTERNAL")

    async def _patiently(self, step: Callable[[], Awaitable[T]]) -> T:
        """Repeats a step that was refused by a full queue, after the time that the queue asked for."""
        for _ in range(TRIES - 1):
            try:
                return await step()
            except errors.ResourceExhausted as error:
                if error.retry_after is None or error.retry_after > self._limits.longest_wait:
                    raise
                await asyncio.sleep(error.retry_after)
        return await step()

    async def _exporting(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except errors.ServiceError as error:
            message = f"the workbook could not be written: {error.message}"
            kind = errors.BY_CODE[error.code]
            raise kind(message, reason=error.reason, retry_after=error.retry_after, fields=error.fields) from error


def tasks(order: Order, options: Mapping[str, tuple[str, ...]]) -> list[ProductTask]:
    """One task per product, each with all that its steps need."""
    seller = order.seller
    return [
        ProductTask(
            sku=sku,
            image_urls=urls,
            code=order.code,
            notes="\n".join(note for note in (seller.notes, seller.notes_by_sku.get(sku, "")) if note),
            brand=seller.values_by_sku.get(sku, {}).get("brand", seller.brand),
            brand_voice=seller.brand_voice,
            claims=seller.claims,
            language=seller.language,
            field_options=options,
        )
        for sku, urls in order.products
    ]


def row(task: ProductTask, analysis: Analysis, copy: WrittenCopy) -> Row:
    """The row of a product; the exporter knows the columns."""
    return Row(task.sku, task.image_urls, analysis.fields, copy.title, copy.bullet_points, copy.description)


def issues(analysis: Analysis, copy: WrittenCopy) -> tuple[Issue, ...]:
    """What analyzer and copywriter want a person to know."""
    return (
        *(Issue(warning, rule="picture") for warning in analysis.warnings),
        *(Issue(warning, rule="copy") for warning in copy.warnings),
    )


def failed(outcome: Outcome, sentence: str, code: str) -> Outcome:
    """The outcome with the reason why there is no row."""
    issue = Issue(sentence, severity="error", rule=code.lower())
    return replace(outcome, error=sentence, error_code=code, issues=(*outcome.issues, issue))


def with_findings(outcome: Outcome, workbook: Workbook) -> Outcome:
    """The outcome with what the exporter found about its row."""
    found = tuple(finding for finding in workbook.findings if finding.sku == outcome.sku)
    return replace(outcome, issues=(*outcome.issues, *found))


def _facts(picture: Picture) -> PictureFacts:
    info = images.inspect(picture.content)
    digest = hashlib.sha256(picture.content).hexdigest()
    return PictureFacts(picture.url, digest, len(picture.content), info.content_type, info.width, info.height)
