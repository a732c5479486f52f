"""Settings of the semantic service; the only place that reads the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import AnyHttpUrl, Field, SecretStr

from servicekit import ServiceSettings


class Settings(ServiceSettings):
    """Where the catalogue comes from, where it is kept, who embeds it."""

    semantic_addr: str = Field(default="127.0.0.1:50056", description="Where the service listens.")
    analyzer_addr: str = Field(default="127.0.0.1:50053", description="The analyzer, which embeds texts.")

    copywriter_addr: str = Field(default="127.0.0.1:50054", description="The copywriter, which names collections.")

    products_api_url: AnyHttpUrl | None = Field(default=None, description="JSON or CSV list of products, paged or not.")
    products_api_token: SecretStr | None = Field(
        default=None, description="Sent as a bearer token to PRODUCTS_API_URL."
    )
    products_file: Path | None = Field(default=None, description="JSON or CSV file of products; the URL wins over it.")
    products_mapping: Path | None = Field(
        default=None, description="TOML file laid over the built-in mapping from the source's fields to products."
    )

    chroma_url: AnyHttpUrl | None = Field(
        default=None, description="Chroma server; unset: Chroma on disk in DATA_DIR/chroma."
    )
    chroma_token: SecretStr | None = Field(default=None, description="Sent as a bearer token to CHROMA_URL.")

    semantic_sync_seconds: float = Field(
        default=900.0, ge=0, description="Time between syncs; 0: only at the start and when asked."
    )
    semantic_embed_batch: int = Field(default=64, ge=1, le=512, description="Texts per call to the analyzer.")
    semantic_embed_seconds: float = Field(default=60.0, gt=0, description="Deadline of one call that embeds products.")
    semantic_wish_seconds: float = Field(default=10.0, gt=0, description="Deadline of the call that embeds a wish.")
    semantic_title_seconds: float = Field(
        default=20.0, gt=0, description="Deadline of the call that names a collection; later it is composed."
    )
    semantic_source_seconds: float = Field(
        default=120.0, gt=0, description="Longest time for reading the whole source."
    )
    semantic_source_max_bytes: int = Field(
        default=256 * 1024 * 1024, ge=1024, description="Largest source, all pages together, unpacked."
    )
    semantic_max_products: int = Field(
        default=200_000, ge=1, description="Most products; a source with more is refused."
    )
