"""What a job is made of: plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway_service.model import Analysis, Cost, FieldValue, Issue, Workbook, WrittenCopy

CATALOGUE = "catalogue"
VARIATIONS = "variations"

ENDED = ("succeeded", "partial", "failed", "cancelled")
"""States of a job that has ended; the others are queued and running."""

END_EVENT = "end"
ITEM_EVENT = "item"


@dataclass(frozen=True)
class Fault:
    """Why a whole job failed: an error in the words of `servicekit.errors`."""

    code: str
    message: str
    reason: str = ""
    retry_after: float | None = None


@dataclass(frozen=True)
class Webhook:
    """Where to tell that a job has ended; `secret` signs, empty: the gateway's own."""

    url: str
    secret: str = ""


@dataclass(frozen=True)
class Request:
    """What is known of a job when it is asked for. Times are in seconds, money in millionths of a rupee."""

    kind: str
    code: str
    website: str
    order: str
    """The order as JSON."""
    skus: tuple[str, ...]
    owner: str = ""
    request_id: str = ""
    idempotency: str = ""
    max_cost: int | None = None
    estimate: int = 0
    """What one product is expected to cost."""
    webhook: Webhook | None = None
    patient: bool = False
    """True where nobody waits: full queues are then waited for much longer."""


@dataclass(frozen=True)
class Counts:
    """Items of a job by what became of them."""

    total: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    running: int = 0

    @property
    def done(self) -> int:
        """Items that ended, whichever way."""
        return self.succeeded + self.failed + self.cancelled


@dataclass(frozen=True)
class Job:
    """A job as it stands. Times are seconds since 1970; 0: not yet."""

    id: str
    kind: str
    status: str
    code: str
    website: str
    attempt: int
    owner: str
    request_id: str
    created: float
    started: float
    finished: float
    counts: Counts
    cost: Cost
    estimate: int
    patient: bool
    max_cost: int | None = None
    workbook: Workbook | None = None
    fault: Fault | None = None
    webhook: Webhook | None = None

    @property
    def ended(self) -> bool:
        """True when nothing more will happen by itself."""
        return self.status in ENDED

    def rate(self, now: float) -> float:
        """Items a minute since this attempt started."""
        seconds = (self.finished or now) - self.started
        return 60 * self.counts.done / seconds if self.started and seconds > 0 else 0.0

    def seconds_left(self, now: float) -> float | None:
        """Expected seconds until all items are done; None where nobody can say yet."""
        if self.ended:
            return 0.0
        rate = self.rate(now)
        return 60 * (self.counts.total - self.counts.done) / rate if rate else None


@dataclass(frozen=True)
class Edits:
    """A person's values for one product; they win over what a model said."""

    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    title: str | None = None
    bullet_points: tuple[str, ...] | None = None
    description: str | None = None


@dataclass(frozen=True)
class Item:
    """One product of a job; status is queued, running, success, failed or cancelled."""

    sku: str
    position: int
    status: str
    image_urls: tuple[str, ...] = ()
    analysis: Analysis | None = None
    copy: WrittenCopy | None = None
    issues: tuple[Issue, ...] = ()
    error: str = ""
    error_code: str = ""
    edits: Edits = field(default_factory=Edits)
    finished: float = 0.0

    @property
    def cost(self) -> Cost:
        """What its steps cost."""
        return sum((part.cost for part in (self.analysis, self.copy) if part is not None), Cost())


@dataclass(frozen=True)
class Event:
    """Something that happened in a job; `seq` counts from 1 within the job, `data` is JSON."""

    seq: int
    kind: str
    data: str


@dataclass(frozen=True)
class Experience:
    """What products cost and took lately; money in millionths of a rupee."""

    products: int = 0
    calls: float = 0.0
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    inr_micros: float = 0.0


DAY_SECONDS = 86_400
INDIA_SECONDS = 19_800
"""Days of costs are India's, where the sellers are: UTC+05:30, without summer time."""


@dataclass(frozen=True)
class DayCost:
    """What the products of a marketplace code cost on a day; `day` counts India's days since 1970-01-01."""

    day: int
    code: str
    products: int
    cost: Cost


def edited_fields(fields: tuple[FieldValue, ...], edits: Edits) -> tuple[FieldValue, ...]:
    """The fields with a person's values in place of the model's, and those that only the person gave behind them."""
    known = {one.field for one in fields}
    mended = [
        FieldValue(one.field, edits.fields[one.field], "person", 1.0, "edited by a person")
        if one.field in edits.fields
        else one
        for one in fields
    ]
    added = [
        FieldValue(name, values, "person", 1.0, "edited by a person")
        for name, values in edits.fields.items()
        if name not in known
    ]
    return (*mended, *added)
