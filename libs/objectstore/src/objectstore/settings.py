"""Settings of the object store; services mix them into their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class ObjectStoreSettings(BaseSettings):
    """Which store, which buckets, which addresses. Times are in seconds."""

    model_config = SettingsConfigDict(
        frozen=True, env_file=".env", extra="ignore", case_sensitive=False, env_ignore_empty=True
    )

    data_dir: Path = Path("data")
    websites: Annotated[Mapping[str, str], NoDecode] = Field(
        default={"alya": "alyaimg", "blysk": "blyskimg"},
        validation_alias=AliasChoices("websites", "bucket_map"),
        description="Website to bucket; BUCKET_MAP=alya=alyaimg,blysk=blyskimg",
    )
    s3_bucket: str = ""
    """Website, or its bucket, that answers for an empty ``website``; empty: the first of the map."""
    gateway_public_url: str = "http://127.0.0.1:8000"
    """Where the gateway serves ``/files`` of the folder store."""

    aws_access_key_id: SecretStr | None = None
    aws_secret_access_key: SecretStr | None = None
    aws_session_token: SecretStr | None = None
    aws_region: str = Field(
        default="us-east-1",
        validation_alias=AliasChoices("aws_region", "aws_default_region"),
    )
    aws_endpoint_url_s3: str = ""
    s3_create_buckets: bool = False
    """Make missing buckets at start; meant for private S3 servers."""
    object_store_timeout: float = Field(default=20.0, gt=0)
    """Longest time for one operation with its retries; a caller's nearer deadline wins."""

    @field_validator("websites", mode="before")
    @classmethod
    def _split_map(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        if not all(equals and name.strip() and bucket.strip() for name, equals, bucket in pairs):
            raise ValueError("BUCKET_MAP is a list of website=bucket, such as alya=alyaimg,blysk=blyskimg")
        return {name.strip(): bucket.strip() for name, _, bucket in pairs}

    @field_validator("aws_endpoint_url_s3", "gateway_public_url")
    @classmethod
    def _without_slash(cls, value: str) -> str:
        return value.rstrip("/")

    @model_validator(mode="after")
    def _default_is_known(self) -> Self:
        if not self.websites:
            raise ValueError("BUCKET_MAP is empty; name at least one website=bucket")
        if len(set(self.websites.values())) != len(self.websites):
            raise ValueError("BUCKET_MAP gives one bucket to two websites")
        if self.s3_bucket and self.s3_bucket not in {*self.websites, *self.websites.values()}:
            raise ValueError(f"S3_BUCKET={self.s3_bucket} is neither a website nor a bucket of BUCKET_MAP")
        return self

    @property
    def default_website(self) -> str:
        """The website that answers for an empty ``website``."""
        for website, bucket in self.websites.items():
            if self.s3_bucket in (website, bucket):
                return website
        return next(iter(self.websites))
