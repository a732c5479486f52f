"""Body of /collection_counts."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from gateway_service.schemas.answers import Answer


class CountsAnswer(Answer):
    """How many products the filters leave."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"passing": 37, "products": 61, "stale": False}]})

    passing: int = Field(description="Products that pass every filter; colour, audience and words only rank.")
    products: int = Field(description="Products of the catalogue.")
    stale: bool = Field(description="The last sync failed, and an earlier state answers.")
