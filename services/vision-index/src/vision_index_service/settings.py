"""Settings of the vision index."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from objectstore import ObjectStoreSettings
from servicekit import ServiceSettings


class Settings(ObjectStoreSettings, ServiceSettings):
    """Read from the environment and ``.env``. Times are in seconds, distances are squared L2."""

    vision_index_addr: str = Field("127.0.0.1:50052", description="Where this service listens.")
    embedding_addr: str = Field("127.0.0.1:50051", description="The embedding service.")
    embedding_timeout: float = Field(30.0, gt=0, description="Longest wait for a vector.")

    zilliz_url: str = Field("", description="Zilliz Cloud endpoint; comes before MILVUS_HOST.")
    zilliz_token: SecretStr | None = Field(None, description="Zilliz Cloud token.")
    milvus_host: str = Field("", description="Milvus server; without it and ZILLIZ_URL, Milvus Lite in DATA_DIR.")
    milvus_port: int = Field(19530, ge=1, le=65535, description="Port of the Milvus server.")
    collection_name: str = Field(
        "jewelry_images", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,100}$", description="Start of the collections' names."
    )
    vector_store_timeout: float = Field(10.0, gt=0, description="Longest wait for one call to the vector store.")

    duplicate_distance: float | None = Field(None, ge=0, description="Instead of the model's own.")
    similar_distance: float | None = Field(None, ge=0, description="Instead of the model's own.")
    thresholds_file: Path | None = Field(
        None,
        description="What python -m vision_index_service.calibrate wrote; unset: vision_index_thresholds.json in "
        "DATA_DIR, where there is one.",
    )
    cross_website: Literal["report", "return", "ignore"] = Field(
        "report",
        description="The same picture in another website's bucket: report it beside the verdict, let it be the "
        "verdict, or do not look.",
    )

    batch_size: int = Field(64, ge=1, le=1000, description="Pictures of one batch of a re-index, repair or import.")
    reindex_on_startup: bool = Field(
        False, description="Embed every stored picture again, in the background after the start; goes on after a crash."
    )
    clean_orphans_on_startup: bool = Field(
        False, description="Repair in the background after the start: mend, and delete rows whose object is gone."
    )
    embed_other_model_on_startup: bool = Field(
        True, description="Embed pictures again, in the background after the start, that only another model knows."
    )

    @property
    def vector_store_uri(self) -> str:
        """Address of the Milvus server, or empty for Milvus Lite."""
        if self.zilliz_url:
            return self.zilliz_url
        return f"http://{self.milvus_host}:{self.milvus_port}" if self.milvus_host else ""

    @property
    def calibrated_file(self) -> Path:
        """Where calibrated thresholds are read from, and written to."""
        return self.thresholds_file or self.data_dir / "vision_index_thresholds.json"

    @property
    def vector_file(self) -> Path:
        """Folder of Milvus Lite; its name must end in ``.db``."""
        return self.data_dir / "vision_index.db"
