"""Settings of the copywriter; the only place that reads the environment."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from objectstore import ObjectStoreSettings
from servicekit import ServiceSettings


class Settings(ServiceSettings, ObjectStoreSettings):
    """What operators set; every field is the environment variable of the same name in upper case."""

    copywriter_addr: str = Field(default="127.0.0.1:50054", description="host:port to listen on.")
    database_url: SecretStr | None = Field(
        default=None, description="Cache in PostgreSQL (postgresql://...); unset: SQLite in DATA_DIR/copywriter.db."
    )
    copy_lease_seconds: float = Field(
        default=15.0, ge=1, le=300, description="A replica that died while it wrote is given up after this time."
    )
    copy_seconds: float = Field(default=90.0, gt=0, le=600, description="Longest time for one order.")

    openai_api_key: SecretStr | None = Field(default=None, description="Unset: copy is composed from the attributes.")
    openai_base_url: str = Field(default="https://api.openai.com/v1", description="Any compatible server, with /v1.")
    openai_model: str = Field(default="gpt-6-luna", min_length=1, description="Model that writes copy.")
    openai_image_model: str = Field(default="gpt-image-2.6-flare", min_length=1, description="Model for pictures.")
    openai_api: Literal["auto", "responses", "chat"] = Field(
        default="auto", description="Interface; auto goes over to chat completions where the server has no responses."
    )
    openai_reasoning_effort: str | None = Field(
        default=None, description="minimal, low, medium, high, ...; unset: the model's own default."
    )
    openai_max_output_tokens: int = Field(default=6000, ge=500, description="Bound of one answer, reasoning included.")
    openai_concurrency: int = Field(default=8, ge=1, le=256, description="Requests to the provider at a time.")
    openai_attempts: int = Field(default=3, ge=1, le=10, description="Requests in all where a repetition may help.")
    openai_attempt_seconds: float = Field(default=45.0, gt=0, description="Longest wait for one answer.")
    openai_input_price: float | None = Field(
        default=None, ge=0, description="Rupees per million tokens read; unset: from the price table."
    )
    openai_output_price: float | None = Field(default=None, ge=0, description="The same for tokens written.")

    openai_image_size: str = Field(
        default="1024x1024", pattern=r"^[1-9]\d{2,3}x[1-9]\d{2,3}$", description="Size that pictures are made in."
    )
    openai_image_quality: Literal["auto", "low", "medium", "high", "xhigh", "max"] = Field(
        default="auto", description="auto, low, medium, high, xhigh or max."
    )
    openai_image_concurrency: int = Field(default=4, ge=1, le=64, description="Pictures made at a time.")
    openai_image_attempt_seconds: float = Field(default=180.0, gt=0, description="Longest wait for one picture.")
    openai_image_input_price: float | None = Field(
        default=None, ge=0, description="Rupees per million tokens read; unset: from the price table."
    )
    openai_image_output_price: float | None = Field(default=None, ge=0, description="The same for tokens written.")
    images_seconds: float = Field(default=300.0, gt=0, le=1800, description="Longest time for one request.")
    images_max_inr: float = Field(default=250.0, gt=0, description="Rupees that one request may cost at most.")
    images_max_pictures: int = Field(default=12, ge=1, le=100, description="Pictures that one request may ask for.")
    embedding_addr: str = Field(default="127.0.0.1:50051", description="The embedding service.")
    images_check_seconds: float = Field(default=5.0, gt=0, description="Longest wait for the embedding service.")

    @model_validator(mode="after")
    def _prices_in_pairs(self) -> Self:
        for kind in ("openai", "openai_image"):
            pair = [getattr(self, f"{kind}_{side}_price") for side in ("input", "output")]
            if (pair[0] is None) != (pair[1] is None):
                name = kind.upper()
                raise ValueError(f"{name}_INPUT_PRICE and {name}_OUTPUT_PRICE are set together or not at all")
        return self
