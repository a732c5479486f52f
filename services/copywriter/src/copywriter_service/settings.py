"""Settings of the copywriter; the only place that reads the environment."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from servicekit import ServiceSettings


class Settings(ServiceSettings):
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
    openai_input_price: float = Field(default=0.0, ge=0, description="Rupees per million tokens read; 0: unknown.")
    openai_output_price: float = Field(default=0.0, ge=0, description="Rupees per million tokens written.")
