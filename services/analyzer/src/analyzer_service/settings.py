"""Settings of the analyzer. Nothing else in the service reads the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from objectstore import ObjectStoreSettings
from servicekit import ServiceSettings


class Settings(ServiceSettings, ObjectStoreSettings):
    """Where the analyzer listens, which models it asks and with which keys."""

    analyzer_addr: str = Field("127.0.0.1:50053", description="Where the service listens.")

    google_api_key: SecretStr | None = Field(None, description="One key; a pool of one.")
    google_api_keys: SecretStr | None = Field(
        None,
        description="Keys as `group:key,group:key`; a group shares one quota. Wins over the single key.",
    )
    google_gemini_base_url: str | None = Field(None, description="Another address of Gemini's interface.")
    gemini_model: str = Field("gemini-3.8-flash", description="Model for attributes and captions.")
    gemini_embedding_model: str = Field("gemini-embedding-2", description="Model for text embeddings.")
    gemini_embedding_size: int = Field(768, ge=64, le=3072, description="Dimensions of a text embedding.")
    gemini_thinking: str = Field("low", description="Thinking level of models that have one; empty: the model's own.")
    gemini_timeout_seconds: float = Field(40.0, gt=0, description="Longest wait for one answer.")
    gemini_requests_per_minute: int | None = Field(
        None, ge=1, description="Requests per minute, group and model; unset: as many as Gemini lets pass."
    )
    gemini_tokens_per_minute: int | None = Field(None, ge=1, description="Tokens read per minute, group and model.")
    gemini_requests_per_day: int | None = Field(None, ge=1, description="Requests per day, group and model.")
    gemini_tokens_per_day: int | None = Field(None, ge=1, description="Tokens read per day, group and model.")
    gemini_minute_seconds: float = Field(60.0, gt=0, description="Length of the quota's minute; shorter in benchmarks.")
    models_file: Path | None = Field(
        None, description="Prices, ends and quotas of models, over those of data/models.toml."
    )
    gemini_max_in_flight: int = Field(32, ge=1, description="Requests to Gemini at once.")
    gemini_max_waiting: int = Field(1000, ge=1, description="Calls that may wait for one model's quota.")
    redis_url: SecretStr | None = Field(
        None, description="Redis in which replicas count together; unset: each process counts for itself."
    )
    quota_share_without_redis: float = Field(
        0.5, gt=0, le=1, description="Part of each limit that a replica takes while Redis does not answer."
    )
    key_quarantine_seconds: float = Field(30.0, gt=0, description="How long a refused key is left alone.")
    temperature_attributes: float = Field(0.5, ge=0, le=2, description="For attributes, where the model takes one.")
    gemini_image_model: str = Field("gemini-3.1-flash-image", description="Model for picture variations.")
    temperature_dimensions: float = Field(1.0, ge=0, le=2, description="For sizes, where the model takes one.")
    ocr_threads: int = Field(2, ge=1, le=64, description="Cores that the local reader of bills may use.")
    temperature_caption: float = Field(1.5, ge=0, le=2, description="For captions, where the model takes one.")

    text_model: Path | None = Field(None, description="Folder of a local sentence model; unset: the packaged one.")
    clip_model: str = Field(
        "openai/clip-vit-base-patch32",
        description="Folder of a CLIP checkpoint, or hub id; used for categories where it is on this machine already.",
    )
    inr_per_usd: float = Field(90.0, gt=0, description="Rate at which prices in dollars are told in rupees.")
