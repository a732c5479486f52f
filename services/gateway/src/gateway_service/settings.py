"""Settings of the gateway; nothing else reads the environment."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from objectstore import ObjectStoreSettings
from servicekit import ServiceSettings

Names = Annotated[tuple[str, ...], NoDecode]


class Settings(ServiceSettings, ObjectStoreSettings):
    """Where the services are, who may call, and every limit. Times are in seconds, sizes in bytes."""

    gateway_addr: str = Field("127.0.0.1:8000", description="host:port to listen on; loopback without keys.")
    embedding_addr: str = "127.0.0.1:50051"
    vision_index_addr: str = "127.0.0.1:50052"
    analyzer_addr: str = "127.0.0.1:50053"
    copywriter_addr: str = "127.0.0.1:50054"
    exporter_addr: str = "127.0.0.1:50055"
    semantic_addr: str = "127.0.0.1:50056"

    gateway_api_keys: SecretStr = Field(
        SecretStr(""), description="Who may call: `label:key` or `key`, separated by commas."
    )
    gateway_cors_origins: Names = Field((), description="Origins whose pages may call, such as https://a.example.")
    allowed_image_hosts: Names = Field((), description="`host` or `host:port` that may be fetched though private.")

    gateway_max_json_bytes: int = Field(4 * 1024 * 1024, ge=1024, description="Largest JSON or urlencoded body.")
    gateway_max_in_flight: int = Field(256, ge=1, description="Requests at once; more are answered 503.")
    gateway_body_seconds: float = Field(60.0, gt=0, description="Longest time for a request's body to arrive.")

    image_fetch_seconds: float = Field(20.0, gt=0, description="Longest time for one outside picture.")
    image_fetch_redirects: int = Field(3, ge=0, le=10, description="Redirects followed for one outside picture.")

    caption_seconds: float = Field(95.0, gt=0, description="Longest time for /generate_caption in all.")
    catalogue_max_products: int = Field(500, ge=1, le=5000, description="Products of one /catalog-ai.")
    catalogue_max_pictures: int = Field(8, ge=1, le=20, description="Pictures of one product.")
    catalogue_concurrency: int = Field(8, ge=1, description="Products of one request worked on at once.")
    catalogue_concurrency_total: int = Field(16, ge=1, description="Products of all requests worked on at once.")
    catalogue_longest_wait: float = Field(
        30.0, ge=0, description="Longest wait that a full queue may ask for before a product is given up."
    )

    @field_validator("gateway_cors_origins", "allowed_image_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip().lower().rstrip("/") for part in value.split(",") if part.strip())

    @property
    def listen(self) -> tuple[str, int]:
        """Host and port of `gateway_addr`. Raises ValueError where it has no port."""
        host, _, port = self.gateway_addr.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError(f"GATEWAY_ADDR={self.gateway_addr} is no host:port")
        return host.strip("[]"), int(port)
