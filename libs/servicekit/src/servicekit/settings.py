"""Settings that every service has."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """Frozen settings, read from the environment and `.env`; the environment wins.

    A field is read from the variable of the same name in upper case. An empty variable counts as
    not set, so that `.env` may list every name.
    """

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, case_sensitive=False, env_ignore_empty=True
    )

    data_dir: Path = Field(Path("data"), description="Folder of every embedded store.")

    log_format: Literal["plain", "json"] = Field("plain", description="plain for people, json for machines.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level logged.")

    metrics_port: int = Field(0, ge=0, le=65535, description="Prometheus endpoint; 0 turns it off.")
    metrics_host: str = Field("127.0.0.1", description="Where the Prometheus endpoint listens.")
    otel_exporter_otlp_endpoint: str | None = Field(None, description="OTLP collector; unset: no traces leave.")

    grpc_max_message_bytes: int = Field(
        64 * 1024 * 1024, ge=1024, description="Largest message; images of 20 MiB travel in batches."
    )
    grpc_max_concurrent_rpcs: int = Field(512, ge=1, description="More calls at once are refused.")
    grpc_max_connection_age_seconds: int = Field(
        300, ge=1, description="Connections are renewed this often, so that new replicas get traffic."
    )
    drain_seconds: float = Field(20.0, ge=0, description="Longest wait for calls in flight on SIGTERM.")
    drain_pause_seconds: float = Field(
        0.5,
        ge=0,
        description="Of these: callers turn away, and what they have sent is taken in; until so long none came.",
    )

    tls_cert: Path | None = Field(None, description="PEM certificate; with tls_key turns TLS on.")
    tls_key: Path | None = Field(None, description="PEM key of the certificate.")
    tls_ca: Path | None = Field(None, description="PEM authority; servers then ask clients for a certificate.")
