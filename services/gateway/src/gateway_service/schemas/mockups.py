"""Bodies of /generate-images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AliasChoices, BeforeValidator, ConfigDict, Field

from gateway_service.orders import MAX_URL
from gateway_service.schemas.answers import AdapterOut, Answer, CostOut
from gateway_service.schemas.requests import JsonRequest, Text, Website

_KINDS = {
    "ear": "ear", "earring": "ear", "earrings": "ear",
    "nec": "nec", "necklace": "nec", "necklaces": "nec",
    "bra": "bra", "bracelet": "bra", "bracelets": "bra",
}  # fmt: skip


def _kind(value: object) -> object:
    word = value.strip().lower() if isinstance(value, str) else value
    return _KINDS.get(word, word) if isinstance(word, str) else word


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


class GenerateImagesRequest(JsonRequest):
    """Pictures of one product, of which others are made."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "s3_urls": ["https://alyaimg.s3.amazonaws.com/images/a.jpg"],
                    "product_type": "ear",
                    "product_desc": "Gold plated hoops with pearls",
                    "type": "catalogue",
                    "provider": "openai",
                }
            ]
        }
    )

    s3_urls: str | list[Annotated[str, Field(max_length=MAX_URL)]] = Field(
        validation_alias=AliasChoices("s3_urls", "s3_url", "image_urls", "image_url"),
        description="Addresses of views of one product: a comma string or an array.",
    )
    product_type: Annotated[Literal["ear", "nec", "bra"], BeforeValidator(_kind)] = Field(
        description="ear, nec or bra; earrings, necklace and bracelet are understood too.", examples=["ear"]
    )
    product_desc: Text = Field("", description="What the product is; data, never an instruction.")
    type: Annotated[str, Field(max_length=64)] = Field(
        "", validation_alias=AliasChoices("type", "style"), description="Style set; empty: the default one."
    )
    provider: Annotated[Literal["openai", "gemini"], BeforeValidator(_lower)] = Field(
        "openai", description="openai: mock-ups; gemini: variations."
    )
    count: int = Field(0, ge=0, le=8, description="How many pictures; 0: the whole style set.")
    website: Website = ""


class MadeOut(Answer):
    """One asked picture."""

    prompt_index: int = Field(description="Which prompt of the style set made it.")
    image_url: str = Field(description="Square form; empty where it failed.")
    portrait_url: str
    status: str = Field(description="success or failed.")
    error: str | None = Field(None, description="Why it failed, in one sentence.")
    code: str | None = Field(None, description="Machine-readable reason of the failure.")
    warning: str | None = Field(None, description="Why it may show another product.")


class GenerateImagesAnswer(Answer):
    """The made pictures; those that failed leave the others alone."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "original_image_url": "https://alyaimg.s3.amazonaws.com/images/a.jpg",
                    "original_image_urls": ["https://alyaimg.s3.amazonaws.com/images/a.jpg"],
                    "image_urls": ["https://alyaimg.s3.amazonaws.com/gen_imgs/openai/x-0.jpg"],
                    "gen_images": [
                        {
                            "prompt_index": 0,
                            "image_url": "https://alyaimg.s3.amazonaws.com/gen_imgs/openai/x-0.jpg",
                            "portrait_url": "https://alyaimg.s3.amazonaws.com/gen_imgs/openai/x-0-portrait.jpg",
                            "status": "success",
                        }
                    ],
                    "zip": "https://alyaimg.s3.amazonaws.com/gen_imgs/openai/x.zip",
                    "zip_url": "https://alyaimg.s3.amazonaws.com/gen_imgs/openai/x.zip",
                    "provenance": {"image_edits": "openai"},
                    "adapters": [],
                    "cost": {"calls": 1, "input_tokens": 0, "output_tokens": 0, "inr": 3.5},
                }
            ]
        }
    )

    original_image_url: str
    original_image_urls: list[str]
    image_urls: list[str] = Field(description="Addresses of those that went well.")
    gen_images: list[MadeOut]
    zip: str = Field(description="All of them in one file; empty where none went well.")
    zip_url: str
    provenance: dict[str, str]
    adapters: list[AdapterOut]
    cost: CostOut
