"""Configuration. Nothing else reads the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

# Says what it is. Sites that want no scrapers can name `jewelry-scrapers` in their robots.txt.
USER_AGENT = "Mozilla/5.0 (compatible; jewelry-scrapers/0.1)"


class Settings(BaseSettings):
    """From the environment or `.env`; options of the command line win. Times are in seconds."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True)

    chromium_path: Path | None = None
    scraper_user_agent: str = USER_AGENT
    scraper_proxy: SecretStr | None = None
    # Between two pages of one host, varied by half of it either way.
    scraper_delay: Annotated[float, Field(ge=0, le=3600)] = 3.0
    scraper_image_delay: Annotated[float, Field(ge=0, le=3600)] = 0.25
    scraper_pages: Annotated[int, Field(ge=1, le=16)] = 2
    scraper_timeout: Annotated[float, Field(gt=0, le=600)] = 45.0
    # How long a page may take to show its product after it has loaded.
    scraper_settle: Annotated[float, Field(ge=0, le=60)] = 5.0
    scraper_retries: Annotated[int, Field(ge=0, le=10)] = 3
    # First wait before a retry; doubles each time.
    scraper_backoff: Annotated[float, Field(ge=0, le=600)] = 4.0
    # A site that asks to wait longer than this ends the run; it goes on when started again.
    scraper_max_wait: Annotated[float, Field(ge=0, le=86_400)] = 300.0
    gateway_url: str = "http://127.0.0.1:8000"
    gateway_api_key: SecretStr | None = None
