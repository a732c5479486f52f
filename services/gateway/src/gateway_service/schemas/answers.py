"""Bodies of answers, as the OpenAPI document shows them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """Base of answers."""

    model_config = ConfigDict(from_attributes=True, protected_namespaces=())


class FieldError(Answer):
    """What is wrong with one field."""

    loc: list[str | int] = Field(examples=[["body", "skuids"]])
    msg: str


class Problem(Answer):
    """An error (RFC 9457)."""

    type: str = Field(examples=["urn:jewelry:problem:marketplace-unknown"])
    title: str = Field(examples=["Marketplace unknown"])
    status: int = Field(examples=[422])
    detail: str = Field(description="One sentence that says what to do.")
    code: str = Field(description="Machine-readable reason.", examples=["MARKETPLACE_UNKNOWN"])
    request_id: str = Field(description="The same as in X-Request-Id and in the log.")
    errors: list[FieldError] = Field(default_factory=list, description="Broken fields.")
    retry_after: float | None = Field(None, description="Seconds after which a repetition may succeed.")
    s3_url: str | None = Field(None, description="Where the picture is, when it was stored before the error.")


class MatchOut(Answer):
    """A stored picture near the one asked about."""

    id: str
    s3_url: str
    distance: float = Field(description="Squared L2 of the embeddings.")
    cosine: float
    verdict: str = Field(description="exact, duplicate, similar or new.")
    reason: str
    band: str
    website: str
    hash_distance: int
    original_name: str
    created: str


class PathMatch(MatchOut):
    """The same with the address under its older name."""

    path: str


class AdapterOut(Answer):
    """Who stood for an outside system."""

    role: str
    name: str
    embedded: bool
    model_id: str
    detail: str
    shutdown_date: str = Field(description="ISO date at which the provider ends the model; empty: none known.")


class CostOut(Answer):
    """What was paid."""

    calls: int
    input_tokens: int
    output_tokens: int
    inr: float = Field(description="Rupees.")


class UploadAnswer(Answer):
    """What became of an upload."""

    s3_url: str
    indexed: bool
    id: str
    display_name: str
    verdict: str
    explanation: str
    matches: list[MatchOut]
    elsewhere: list[MatchOut] = Field(description="The same picture in another website's bucket.")
    duplicate: str | None = Field(None, description="`duplicate found` where the picture is known.")
    provenance: dict[str, str] = Field(description="Who answered, by role.")


class CaptionAnswer(UploadAnswer):
    """A picture described; for a duplicate only what is stored."""

    name: str | None = None
    generated_name: str | None = None
    description: str | None = None
    attributes: str | None = Field(None, description="Attributes joined by commas.")
    attributes_list: list[str] | None = None
    color: str | None = None
    quality: str | None = Field(None, description="A, B or C; empty: not judged.")
    quality_reasons: list[str] | None = None
    product_type: str | None = None
    warnings: list[str] | None = None
    adapters: list[AdapterOut] | None = None
    cost: CostOut | None = None


class SearchAnswer(Answer):
    """Pictures near the one asked about, nearest first."""

    similar_images: list[MatchOut]
    duplicate_found: bool
    results: list[PathMatch]
    model_id: str


class DeletionOut(Answer):
    """What became of one address."""

    s3_url: str
    status: str = Field(description="deleted, not_found, refused or failed.")
    detail: str


class DeleteAnswer(Answer):
    """What became of the addresses."""

    status: str = Field(description="success, partial or failed.")
    dry_run: bool
    results: list[DeletionOut]


class IssueOut(Answer):
    """Something that a person should know about a product."""

    message: str
    severity: str
    field: str
    rule: str
    cell: str
    suggestion: str


class ReviewOut(Answer):
    """A field that a person should look at."""

    field: str
    reason: str
    values: list[str]
    suggestions: list[str]
    confidence: float
    evidence: str = Field("", description="What of the picture speaks for the values.")


class FieldOut(Answer):
    """A field with its evidence."""

    field: str
    values: list[str]
    source: str
    confidence: float
    evidence: str
    model_id: str


class CopyOut(Answer):
    """The copy of a product."""

    title: str
    bullet_points: list[str]
    description: str
    origin: str
    cached: bool


class ProductOut(Answer):
    """What became of one product."""

    sku: str
    name: str
    status: str = Field(description="success or failed.")
    error: str | None = Field(None, description="Why it failed, in one sentence.")
    attributes: dict[str, str] = Field(description="Values by field, several joined by commas; unknown ones left out.")
    copy_: CopyOut | None = Field(None, alias="copy")
    fields: list[FieldOut]
    review: list[ReviewOut]
    issues: list[IssueOut]
    provenance: dict[str, str] = Field(description="Who answered, by role.")
    cost: CostOut
    image_urls: list[str]


class CatalogueAnswer(Answer):
    """The products and their workbook; its address is empty when no product succeeded."""

    results: list[ProductOut]
    excel_file_url: str
    excel_url: str
    excel_file: str
    job_id: str = Field(description="Id of the job; see /jobs/{id}.")
    status: str = Field(description="succeeded, partial, failed or cancelled.")
    run_id: str = Field(description="Workbook run; empty when no product succeeded.")
    marketplace_type: str
    succeeded: int
    failed: int
    rows: int = Field(description="Rows in the workbook, earlier ones of the run included.")
    template_id: str
    provenance_url: str
    issues: list[IssueOut] = Field(description="Findings about the workbook as a whole.")
    dropped_fields: list[str]
    cost: CostOut


class CloseRunAnswer(Answer):
    """A closed workbook run and the new one."""

    status: str = Field(examples=["success"])
    run_id: str
    closed_run_id: str = Field(description="Empty where none was open.")
    marketplace_type: str


class ChosenOut(Answer):
    """A product of a collection."""

    id: str
    score: float
    similarity: float
    style: str
    words: list[str]
    why: str
    pinned: bool


class CollectionAnswer(Answer):
    """A collection; empty lists where nothing was found."""

    jewelry_ids: list[str]
    top_jewelry_ids: list[str]
    collection_title: str
    collection_description: str
    matches: list[ChosenOut]
    removed_by: dict[str, int] = Field(description="Products that each filter alone removed.")
    relaxation: str = Field(description="Nearest relaxation when nothing was found.")
    stale: bool
    provenance: dict[str, str]


class ServiceOut(Answer):
    """State of one service."""

    status: str = Field(description="ready, not_ready or down.")
    model: str
    adapters: list[AdapterOut]
    detail: str


class ReadyAnswer(Answer):
    """State of the system."""

    status: str = Field(description="ready or not_ready.")
    services: dict[str, ServiceOut]
    warnings: list[str] = Field(description="Models that their providers will end, with the date.")


class HealthAnswer(Answer):
    """The process lives."""

    status: str = Field(examples=["ok"])
