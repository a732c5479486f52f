"""Where the gateway is and which key opens it; nothing else reads the environment."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ClientSettings(BaseSettings):
    """Read from `JEWELRY_URL`, `JEWELRY_API_KEY`, `JEWELRY_TIMEOUT`."""

    model_config = SettingsConfigDict(env_prefix="JEWELRY_", frozen=True, extra="ignore", env_ignore_empty=True)

    url: str = Field("http://127.0.0.1:8000", description="Address of the gateway.")
    api_key: SecretStr | None = Field(None, description="Key; none where the gateway wants none.")
    timeout: float = Field(120.0, gt=0, description="Longest time for one answer, in seconds.")
