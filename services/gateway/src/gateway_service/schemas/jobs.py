"""Bodies about jobs."""

from __future__ import annotations

from typing import Annotated

from pydantic import AliasChoices, ConfigDict, Field

from gateway_service.schemas.answers import Answer, CostOut, IssueOut, ProductOut, ReviewOut
from gateway_service.schemas.requests import JsonRequest

Value = Annotated[str, Field(max_length=5000)]


class ProductState(Answer):
    """Where one product of a job stands."""

    sku: str
    name: str = Field(description="The title; the SKU while there is none.")
    status: str = Field(description="queued, running, success, failed or cancelled.")
    error: str | None = Field(None, description="Why it failed, in one sentence.")


class JobAnswer(Answer):
    """A job as it stands. Times are ISO 8601 in UTC."""

    id: str
    job_id: str = Field(description="The same as `id`.")
    kind: str = Field(description="catalogue or variations.")
    status: str = Field(description="queued, running, succeeded, partial, failed or cancelled.")
    marketplace_type: str
    website: str
    total: int = Field(description="Products.")
    done: int = Field(description="Products that have ended, whichever way.")
    succeeded: int
    failed: int = Field(description="Products that failed; cancelled ones are counted apart.")
    cancelled: int
    running: int
    attempt: int = Field(description="1, and one more with each resume.")
    cost: CostOut = Field(description="What was paid so far.")
    max_cost: float | None = Field(None, description="Rupees that the job may cost at most.")
    rate_per_minute: float = Field(description="Products a minute in this attempt.")
    seconds_left: float | None = Field(None, description="Expected; absent where nobody can say yet.")
    created: str
    started: str | None = None
    finished: str | None = None
    error: str | None = Field(None, description="Why the whole job failed.")
    error_code: str | None = None
    excel_file_url: str
    excel_url: str
    excel_file: str
    run_id: str = Field(description="Workbook run; empty while there is no workbook.")
    template_id: str = Field("", description="Template that was filled; empty while there is no workbook.")
    products: list[ProductState] | None = Field(None, description="State of every product; left out in lists.")
    issues: list[IssueOut] | None = Field(None, description="Findings about the workbook as a whole.")
    results: list[ProductOut] | None = Field(None, description="Products that have ended; left out in lists.")


class JobsAnswer(Answer):
    """Jobs, newest first."""

    jobs: list[JobAnswer]
    next: str | None = Field(None, description="`before` of the next page.")


class EstimateAnswer(Answer):
    """What a job would cost and take; nothing was paid for."""

    dry_run: bool = True
    marketplace_type: str
    products: int
    calls: int = Field(description="Requests to providers.")
    input_tokens: int
    output_tokens: int
    inr: float = Field(description="Rupees.")
    inr_per_product: float
    minutes: float
    basis: str = Field(description="experience: the latest products; defaults: none yet; embedded: nobody is asked.")


class ReviewItemOut(Answer):
    """What a person should look at in one product."""

    sku: str
    name: str
    status: str
    error: str | None = None
    image_urls: list[str]
    fields: list[ReviewOut] = Field(description="Below the confidence bound, or with a reason of their own.")
    findings: list[IssueOut] = Field(description="What the marketplace would or may refuse, and warnings.")
    edited: dict[str, list[str]] = Field(description="A person's values so far.")


class ReviewAnswer(Answer):
    """The review list of a job; products without anything to look at are left out."""

    job_id: str
    status: str
    confidence: float = Field(description="The bound.")
    items: list[ReviewItemOut]


class ResumeRequest(JsonRequest):
    """How to go on."""

    max_cost: float | None = Field(None, ge=0, le=1e9, allow_inf_nan=False, description="A new bound, in rupees.")


class EditRequest(JsonRequest):
    """A person's values for one product; they win over the model's."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"fields": {"metal_type": "Brass", "occasion": ["Wedding", "Party"]}}]}
    )

    fields: dict[str, Value | list[Value]] = Field(
        default_factory=dict,
        validation_alias=AliasChoices("fields", "attributes"),
        max_length=400,
        description="Values by field; an empty one empties the field.",
    )
    title: Value | None = None
    bullet_points: list[Value] | None = Field(None, max_length=20)
    description: str | None = Field(None, max_length=20_000)
