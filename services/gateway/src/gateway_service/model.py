"""What the gateway's domain speaks of: plain data, free of gRPC and HTTP.

Everything here except `Picture` can be stored and read back as JSON, so that a step of a job can keep its result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Adapter:
    """Who stood for an outside system, such as `gemini` for the role `vision`."""

    role: str
    name: str
    embedded: bool = False
    model_id: str = ""
    detail: str = ""
    shutdown_date: str = ""


@dataclass(frozen=True)
class Cost:
    """What was paid: requests to providers, tokens, and the price in millionths of a rupee."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    inr_micros: int = 0

    @property
    def inr(self) -> float:
        """Price in rupees."""
        return self.inr_micros / 1e6

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.inr_micros + other.inr_micros,
        )


@dataclass(frozen=True)
class Picture:
    """An encoded picture and where it came from."""

    content: bytes
    url: str = ""


@dataclass(frozen=True)
class PictureFacts:
    """What is kept of a fetched picture: enough to tell whether it is still the same one."""

    url: str
    sha256: str
    size: int
    content_type: str
    width: int
    height: int


@dataclass(frozen=True)
class Match:
    """A stored picture near the one asked about; `distance` is squared L2."""

    id: str
    url: str
    website: str
    distance: float
    cosine: float
    verdict: str
    reason: str
    band: str
    hash_distance: int
    original_name: str
    created: str


@dataclass(frozen=True)
class Decision:
    """A verdict (exact, duplicate, similar, new) and what led to it."""

    verdict: str
    reason: str
    match: Match | None
    matches: tuple[Match, ...]
    explanation: str
    model_id: str
    elsewhere: tuple[Match, ...] = ()

    @property
    def stops(self) -> bool:
        """True when the picture is already known."""
        return self.verdict in ("exact", "duplicate")


@dataclass(frozen=True)
class Upload:
    """What became of an uploaded picture."""

    indexed: bool
    id: str
    url: str
    decision: Decision


@dataclass(frozen=True)
class SearchResult:
    """Pictures near the one asked about, nearest first."""

    matches: tuple[Match, ...]
    duplicate_found: bool
    model_id: str


@dataclass(frozen=True)
class Deletion:
    """What became of one address: deleted, not_found, refused or failed."""

    url: str
    status: str
    detail: str


@dataclass(frozen=True)
class Caption:
    """Name and description of a product; `quality` is A, B, C or empty."""

    name: str
    description: str
    attributes: tuple[str, ...]
    color: str
    quality: str
    quality_reasons: tuple[str, ...]
    product_type: str
    warnings: tuple[str, ...]
    adapter: Adapter
    cost: Cost


@dataclass(frozen=True)
class FieldValue:
    """One field of a listing with its evidence; no values: nobody can know it yet."""

    field: str
    values: tuple[str, ...] = ()
    source: str = ""
    confidence: float = 0.0
    evidence: str = ""
    model_id: str = ""
    prompt_version: str = ""
    suggestions: tuple[str, ...] = ()
    review_reason: str = ""


@dataclass(frozen=True)
class Analysis:
    """What the pictures of a product tell."""

    fields: tuple[FieldValue, ...]
    detected_category: str
    warnings: tuple[str, ...]
    adapter: Adapter
    cost: Cost


@dataclass(frozen=True)
class WrittenCopy:
    """Title, bullet points and description; `warnings` are breaches of rules that were not mended."""

    title: str
    bullet_points: tuple[str, ...]
    description: str
    origin: str
    cached: bool
    warnings: tuple[str, ...]
    adapter: Adapter
    cost: Cost


@dataclass(frozen=True)
class Seller:
    """What the seller says: values for columns, and what the copy may build on."""

    values: Mapping[str, str] = field(default_factory=dict)
    values_by_sku: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    brand: str = ""
    brand_voice: str = ""
    claims: tuple[str, ...] = ()
    language: str = ""
    notes: str = ""
    notes_by_sku: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ProductTask:
    """One product of an order: all that its steps need."""

    sku: str
    image_urls: tuple[str, ...]
    code: str
    notes: str = ""
    brand: str = ""
    brand_voice: str = ""
    claims: tuple[str, ...] = ()
    language: str = ""
    field_options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """Products that are one listing in several colours or sizes.

    `theme` is color, size or colorsize; `sizes` are those that each of the SKUs comes in, or one per SKU.
    """

    parent_sku: str
    theme: str
    skus: tuple[str, ...]
    sizes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Variation:
    """Place of a row in a family: role parent or child, theme color, size or color_size."""

    role: str
    parent_sku: str
    theme: str
    size: str = ""
    color: str = ""


@dataclass(frozen=True)
class Order:
    """Products to bring into one workbook of the marketplace code."""

    code: str
    products: tuple[tuple[str, tuple[str, ...]], ...]
    """SKU and addresses of its pictures, main one first."""
    website: str = ""
    template_id: str = ""
    run_id: str = ""
    seller: Seller = field(default_factory=Seller)
    families: tuple[Family, ...] = ()


@dataclass(frozen=True)
class Row:
    """One row of a workbook."""

    sku: str
    image_urls: tuple[str, ...]
    fields: tuple[FieldValue, ...]
    title: str
    bullet_points: tuple[str, ...]
    description: str
    variation: Variation | None = None


@dataclass(frozen=True)
class Issue:
    """Something that a person should know about a product."""

    message: str
    severity: str = "warning"
    field: str = ""
    rule: str = ""
    cell: str = ""
    suggestion: str = ""
    sku: str = ""


@dataclass(frozen=True)
class Workbook:
    """A written workbook."""

    url: str
    run_id: str
    rows: int
    template_id: str
    findings: tuple[Issue, ...] = ()
    provenance_url: str = ""
    dropped_fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunClosed:
    """A workbook run that was closed, empty where none was open, and the one that takes its place."""

    closed_run_id: str
    run_id: str


@dataclass(frozen=True)
class Wish:
    """What a collection should hold; empty values are no wish. Prices in rupees, days as ISO dates."""

    color: str = ""
    category: str = ""
    target_audience: str = ""
    min_price: float | None = None
    max_price: float | None = None
    start_date: str = ""
    end_date: str = ""
    collection_size: int = 0
    manual_prompt: str = ""
    category_description: tuple[str, ...] = ()
    pinned_ids: tuple[str, ...] = ()
    hidden_ids: tuple[str, ...] = ()
    in_stock: bool = False


@dataclass(frozen=True)
class Chosen:
    """A product of a collection; `score` is between 0 and 1."""

    id: str
    score: float
    similarity: float
    style: str
    words: tuple[str, ...]
    why: str
    pinned: bool


@dataclass(frozen=True)
class Collection:
    """Products, best first, with a title; empty with the reason when nothing was found."""

    matches: tuple[Chosen, ...]
    title: str
    description: str
    removed_by: Mapping[str, int]
    relaxation: str
    adapters: tuple[Adapter, ...]
    stale: bool


@dataclass(frozen=True)
class MadePicture:
    """A made picture; `status` is success or failed, and `error` then says why."""

    prompt_index: int
    url: str = ""
    portrait_url: str = ""
    error: str = ""
    error_code: str = ""
    suspect_reason: str = ""

    @property
    def status(self) -> str:
        """`success` or `failed`."""
        return "success" if self.url else "failed"


@dataclass(frozen=True)
class MadePictures:
    """One entry per asked picture; `zip_url` is empty where nobody packed them."""

    pictures: tuple[MadePicture, ...]
    zip_url: str
    adapter: Adapter
    cost: Cost


@dataclass(frozen=True)
class TemplateColumn:
    """A column of a workbook template; `field` is empty where it was not understood, `max_length` 0 where unknown."""

    letters: str
    label: str
    name: str
    field: str
    required: bool
    allowed_values: tuple[str, ...]
    max_length: int


@dataclass(frozen=True)
class Template:
    """A workbook template; its columns are left out in lists."""

    id: str
    code: str
    version: int
    built_in: bool
    original_name: str
    sheet: str
    data_row: int
    created: str
    columns: tuple[TemplateColumn, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class About:
    """What a service says about itself."""

    adapters: tuple[Adapter, ...] = ()
    model: str = ""
    detail: str = ""
