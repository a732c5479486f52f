"""Bodies of requests, both spellings of each field."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    Strict,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema

from gateway_service.orders import MAX_URL

ProductType = Literal["earrings", "necklace", "bracelet", "ring", "auto"]

# Singular, plural, and the short forms of the marketplace codes.
_PRODUCT_TYPES = {
    form: name
    for name, *forms in (
        ("earrings", "earring", "ear"),
        ("necklace", "necklaces", "nec"),
        ("bracelet", "bracelets", "bra"),
        ("ring", "rings"),
    )
    for form in forms
}


def _product_type(value: object) -> object:
    word = value.strip().lower() if isinstance(value, str) else value
    return _PRODUCT_TYPES.get(word, word) if isinstance(word, str) else word


_YES_NO = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


# The lists beside such a number may be written as text, so it may be too.
_WRITTEN_NUMBER = {
    "anyOf": [{"type": "integer", "minimum": 1, "maximum": 5000}, {"type": "string", "pattern": "^[0-9]{1,4}$"}]
}


def _written_number(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 4 else value


def _yes_no(value: object) -> object:
    word = value.strip().lower() if isinstance(value, str) else value
    if word not in (*_YES_NO, True, False):
        raise ValueError("send yes or no")
    return _YES_NO.get(word, word) if isinstance(word, str) else word


YesNo = Annotated[bool, Strict(), BeforeValidator(_yes_no), WithJsonSchema({"type": "string", "enum": list(_YES_NO)})]
Website = Annotated[str, Field(max_length=64, description="alya or blysk; empty: the default one.", examples=["alya"])]
Distance = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=2000)]
Code = Annotated[str, Field(max_length=64, examples=["ama_ear"])]
Id = Annotated[str, Field(max_length=200)]
Address = Annotated[str, Field(max_length=MAX_URL)]


class Request(BaseModel):
    """Base of requests: fields that are not known are ignored, and null is the same as leaving a field out."""

    model_config = ConfigDict(extra="ignore", str_strip_whitespace=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        return {name: value for name, value in data.items() if value is not None} if isinstance(data, dict) else data

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Shows that optional fields may be null."""
        shown = handler.resolve_ref_schema(handler(schema))
        required = shown.get("required", ())
        for name, field in shown.get("properties", {}).items():
            if name not in required and {"type": "null"} not in field.get("anyOf", ()):
                kept = {key: field.pop(key) for key in ("title", "description", "examples", "default") if key in field}
                shown["properties"][name] = {"anyOf": [field, {"type": "null"}], **kept}
        return shown


class JsonRequest(Request):
    """Base of requests that come as JSON alone: `false` is no number there, nor is `"12"`."""

    model_config = ConfigDict(strict=True)


class UploadFields(Request):
    """Fields beside the picture of an upload."""

    website: Website = ""
    check_duplicate: YesNo = Field(True, description="no: store even what looks like a duplicate.")
    threshold: Distance | None = Field(None, description="Largest distance (squared L2) that counts as duplicate.")
    sku: str = Field("", max_length=100, description="SKU, kept with the picture.", examples=["ALY-EAR-001"])


class CaptionFields(UploadFields):
    """Fields beside the picture of a caption."""

    type: Annotated[ProductType, BeforeValidator(_product_type)] = Field("auto", description="What the product is.")


class SearchFields(Request):
    """Fields beside, or instead of, the picture of a search."""

    image_url: str = Field(
        "",
        max_length=MAX_URL,
        description="Address of the picture, where no file is sent.",
        examples=["https://alyaimg.s3.amazonaws.com/images/a.jpg"],
    )
    text: Text = Field(
        "", description="Words in place of a picture; needs a CLIP model.", examples=["gold hoops with pearls"]
    )
    top_k: int = Field(10, ge=1, le=1000, description="Most matches.")
    website: Website = ""
    threshold: Distance | None = Field(None, description="Largest distance (squared L2) of a match.")


class CatalogueRequest(JsonRequest):
    """Products to bring into one workbook."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "image_urls": ["https://alyaimg.s3.amazonaws.com/images/a.jpg", "https://shop.example/b.jpg"],
                    "skuids": ["ALY-EAR-001", "ALY-EAR-002"],
                    "marketplace_type": "ama_ear",
                    "seller": {"brand": "Alya", "mrp": 999, "by_sku": {"ALY-EAR-002": {"price": 449}}},
                },
                {"image_url": "url1,url2", "sku": "SKU1,SKU2", "marketplace": "amazon", "product_type": "earrings"},
            ]
        }
    )

    image_urls: str | list[Address | list[Address]] = Field(
        validation_alias=AliasChoices("image_urls", "image_url"),
        description="A comma string or an array; several pictures of one product are separated by `|`, or an array.",
    )
    skuids: str | list[str] = Field(
        validation_alias=AliasChoices("skuids", "sku", "skus"),
        description="A comma string or an array, as long as `image_urls`.",
    )
    marketplace_type: Code = Field("", description="One of the ten codes.")
    marketplace: Code = Field("", description="With `type` in place of `marketplace_type`.", examples=["amazon"])
    type: Code = Field("", validation_alias=AliasChoices("type", "product_type"), examples=["earrings"])
    website: Website = ""
    template_id: Id = Field("", description="Template to fill; empty: the seller's newest, else the built-in one.")
    run_id: Id = Field("", description="Open workbook run to append to; empty: a run of its own.")
    seller: dict[str, object] = Field(
        default_factory=dict,
        description="Values for columns by name (brand, mrp, price, stock, ...), `by_sku` for one SKU alone, and what "
        "the copy may build on: brand_voice, claims, language, notes.",
    )
    dry_run: bool = Field(False, description="Only say what it would cost and take.")
    max_cost: float | None = Field(
        None, ge=0, le=1e9, allow_inf_nan=False, description="Rupees; no product is begun that could pass it."
    )
    webhook_url: str = Field("", max_length=MAX_URL, description="Called when the job has ended, signed.")
    webhook_secret: str = Field(
        "", max_length=200, description="Signs the call: X-Jewelry-Signature: t=...,v1=hex(HMAC-SHA256(t.body))."
    )


class VariationsRequest(CatalogueRequest):
    """Products to bring into one workbook as families of variations."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "image_urls": [
                        "https://a.example/gold.jpg",
                        "https://a.example/silver.jpg",
                        "https://a.example/b.jpg",
                    ],
                    "skuids": ["HOOP-GOLD", "HOOP-SILVER", "BANGLE-1"],
                    "marketplace_type": "ama_bra",
                    "number_of_grps": 2,
                    "group_sizes": [2, 1],
                    "variations_category": ["color", "colorsize"],
                    "size_available": ["", "2.4,2.6"],
                }
            ]
        }
    )

    number_of_grps: Annotated[int | None, BeforeValidator(_written_number), WithJsonSchema(_WRITTEN_NUMBER)] = Field(
        None, ge=1, le=5000, description="Groups; a number, or one written as text."
    )
    group_sizes: str | list[int | str] = Field(description="Products of each group, in the order of the SKUs.")
    variations_category: str | list[str] = Field(
        validation_alias=AliasChoices("variations_category", "variation_category"),
        description="color, size or colorsize per group, or one for all.",
    )
    size_available: str | list[str | list[str]] = Field(
        default_factory=list,
        validation_alias=AliasChoices("size_available", "sizes_available"),
        description="Sizes per group, separated by commas; groups of a string are separated by `|`.",
    )


class DeleteRequest(JsonRequest):
    """Pictures to delete."""

    s3_url: str | list[str] = Field(
        validation_alias=AliasChoices("s3_url", "s3_urls"),
        description="A comma string or an array of addresses.",
        examples=["https://alyaimg.s3.amazonaws.com/images/a.jpg"],
    )
    dry_run: bool = Field(False, description="Only say what would happen.")


class CloseRunRequest(JsonRequest):
    """The workbook to close."""

    marketplace_type: Code = ""
    marketplace: Code = ""
    type: Code = Field("", validation_alias=AliasChoices("type", "product_type"))
    website: Website = ""


class Needs(JsonRequest):
    """Wishes for a collection. Empty ones are no wish."""

    color: Text = Field("", examples=["gold"])
    category: Text = Field("", examples=["earrings"])
    target_audience: Text = Field("", examples=["women"])
    price_range: Text = Field("", description="Rupees; either end may be left out.", examples=["1000-5000"])
    date_range: Text = Field("", description="ISO dates.", examples=["2024-01-01 to 2024-12-31"])
    start_price: str | float | None = Field(None, description="In place of `price_range`.")
    end_price: str | float | None = None
    start_date: str | None = Field(None, max_length=40, description="In place of `date_range`.")
    end_date: str | None = Field(None, max_length=40)
    collection_size: int | None = Field(None, ge=0, le=1000, description="Most products; 0: the default.")
    manual_prompt: Text = Field("", description="A wish in free words.")
    category_description: str | list[Text] = Field(default_factory=list, description="Styles wished for.")
    extra_jewelry: str | list[str | int] = Field(
        default_factory=list, description="Products that come first if they pass the filters."
    )
    hidden_jewelry: str | list[str | int] = Field(default_factory=list, description="Products that never come.")
    in_stock: bool = Field(False, description="Only products in stock.")


class CollectionRequest(Needs):
    """Wishes for a collection, flat or under `user_needs`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "color": "gold",
                    "category": "earrings",
                    "target_audience": "women",
                    "price_range": "1000-5000",
                    "date_range": "2024-01-01 to 2024-12-31",
                },
                {"user_needs": {"color": "gold", "start_price": 1000, "end_price": 5000}, "collection_size": 12},
            ]
        }
    )

    user_needs: Needs | None = Field(None, description="The same fields; those given here win.")

    @property
    def needs(self) -> Needs:
        """The wishes of both places."""
        if self.user_needs is None:
            return self
        return self.model_copy(update=self.user_needs.model_dump(exclude_unset=True))
