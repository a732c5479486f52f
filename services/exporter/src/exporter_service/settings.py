"""Settings of the exporter."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from objectstore import ObjectStoreSettings
from servicekit import ServiceSettings

PROFILES = Path(__file__).parent / "data" / "seller_profiles.toml"


class Settings(ServiceSettings, ObjectStoreSettings):
    """Read from the environment and `.env`."""

    exporter_addr: str = Field("127.0.0.1:50055", description="Where the service listens.")
    seller_profiles: Path = Field(PROFILES, description="TOML file with the sellers' values per website.")
    exporter_renders: int = Field(2, ge=1, le=64, description="Workbooks written at the same time.")
    exporter_keep_days: int = Field(
        180, ge=1, description="Days that the rows of a finished run are kept; its files in the store stay."
    )
    exporter_keep_runs: int = Field(5000, ge=1, description="Most finished runs whose rows are kept.")
