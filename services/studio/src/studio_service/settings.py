"""Settings of the studio; nothing else reads the environment."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

Language = Literal["en", "hi"]


class Settings(BaseSettings):
    """Where the gateway is and how the screens look. Read from the environment and `.env`; the environment wins.

    It is no `ServiceSettings`: the studio speaks REST, and its image holds no gRPC.
    """

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, case_sensitive=False, env_ignore_empty=True
    )

    data_dir: Path = Field(Path("data"), description="Folder of every embedded store.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level logged.")

    studio_addr: str = Field("127.0.0.1:8501", description="host:port to listen on; loopback without a password.")
    studio_password: SecretStr | None = Field(None, description="Asked for before the first screen; unset: nobody is.")
    studio_language: Language = Field("en", description="Language of the labels at first: en or hi.")
    studio_max_upload_mb: int = Field(200, ge=1, le=2000, description="Largest file of one upload, in MiB.")
    gateway_url: str = Field("http://127.0.0.1:8000", description="The gateway that the studio speaks to.")
    gateway_api_key: SecretStr | None = Field(None, description="The studio's key; none where the gateway wants none.")

    @property
    def listen(self) -> tuple[str, int]:
        """Host and port of `studio_addr`. Raises ValueError where it has no port."""
        host, _, port = self.studio_addr.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError(f"STUDIO_ADDR={self.studio_addr} is no host:port")
        return host.strip("[]"), int(port)

    @property
    def is_local(self) -> bool:
        """True where only this machine can reach the screens."""
        host, _ = self.listen
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def folder(self) -> Path:
        """Where the studio keeps what belongs to it, such as seller profiles."""
        return self.data_dir / "studio"


@lru_cache(maxsize=1)
def load() -> Settings:
    """The settings of this process, read once."""
    return Settings()
