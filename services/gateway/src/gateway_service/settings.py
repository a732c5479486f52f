"""Settings of the gateway; nothing else reads the environment."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from gateway_service import rates
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
    gateway_rate_limits: str = Field(
        "6000/minute", description="Requests per key: `600/minute`, `label=60/minute`, `label=none`, by commas."
    )
    gateway_max_in_flight: int = Field(256, ge=1, description="Requests worked on at once; more are answered 503.")
    gateway_max_held_bytes: int = Field(
        512 * 1024 * 1024, ge=1024, description="Bytes of all bodies in memory; more are answered 503."
    )
    gateway_max_connections: int = Field(4096, ge=8, description="Connections at once; more are answered 503.")
    gateway_head_seconds: float = Field(10.0, gt=0, description="Longest time for a request's head to arrive.")
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

    review_confidence: float = Field(0.5, ge=0, le=1, description="Fields below it are in a job's review list.")

    database_url: SecretStr | None = Field(
        None, description="Jobs in PostgreSQL (postgresql://...); unset: SQLite in DATA_DIR."
    )
    gateway_replica: str = Field(
        "", max_length=200, description="Name of this process among replicas; empty: one of its own, or `local`."
    )
    gateway_webhook_secret: SecretStr = Field(SecretStr(""), description="Signs webhooks that bring no secret.")
    jobs_poll_seconds: float = Field(0.2, gt=0, le=10, description="Time between looks for queued products.")
    jobs_longest_wait: float = Field(120.0, ge=0, description="As CATALOGUE_LONGEST_WAIT, where nobody waits.")
    jobs_patience: float = Field(1800.0, ge=0, description="Longest wait for full queues in all, per step there.")
    jobs_outage: float = Field(60.0, ge=0, description="Longest wait for a service that is down, per step there.")
    jobs_takeover_seconds: float = Field(10.0, gt=0, description="A replica that is silent for so long is dead.")
    jobs_keep_days: float = Field(30.0, gt=0, description="Ended jobs are deleted after so many days.")

    @field_validator("gateway_cors_origins", "allowed_image_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip().lower().rstrip("/") for part in value.split(",") if part.strip())

    @field_validator("gateway_rate_limits")
    @classmethod
    def _check_rates(cls, value: str) -> str:
        rates.parse(value)
        return value

    @property
    def listen(self) -> tuple[str, int]:
        """Host and port of `gateway_addr`. Raises ValueError where it has no port."""
        host, _, port = self.gateway_addr.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError(f"GATEWAY_ADDR={self.gateway_addr} is no host:port")
        return host.strip("[]"), int(port)
