"""Bodies of /mark_distinct and /thresholds."""

from __future__ import annotations

from pydantic import AliasChoices, ConfigDict, Field

from gateway_service.orders import MAX_URL
from gateway_service.schemas.answers import Answer
from gateway_service.schemas.requests import JsonRequest

_URLS = ["https://alyaimg.s3.amazonaws.com/images/a.jpg", "https://alyaimg.s3.amazonaws.com/images/b.jpg"]


class MarkDistinctRequest(JsonRequest):
    """Two stored pictures of different products."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"s3_url": _URLS[0], "other_s3_url": _URLS[1]}]})

    s3_url: str = Field(min_length=1, max_length=MAX_URL, description="Address or id of a stored picture.")
    other_s3_url: str = Field(
        min_length=1,
        max_length=MAX_URL,
        validation_alias=AliasChoices("other_s3_url", "other_url"),
        description="Address or id of the other.",
    )
    revoke: bool = Field(False, description="Take an earlier mark back.")


class MarkDistinctAnswer(Answer):
    """What is known of the two from now on."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"s3_url": _URLS[0], "other_s3_url": _URLS[1], "distinct": True}]}
    )

    s3_url: str
    other_s3_url: str
    distinct: bool = Field(description="True: never again told as duplicates of one another.")


class RatesOut(Answer):
    """Shares of labelled pairs, between 0 and 1, that a threshold gets wrong."""

    threshold: float = Field(description="Squared L2.")
    duplicate_match: float = Field(description="As duplicate threshold: other photos below it.")
    duplicate_miss: float = Field(description="As duplicate threshold: variants of one photo that are not below it.")
    duplicate_miss_all: float = Field(description="Of these, what bytes, pixels and hashes do not tell either.")
    similar_match: float = Field(description="As similar threshold: different products below it.")
    similar_miss: float = Field(description="As similar threshold: other views of one product that are not below it.")


class ThresholdsAnswer(Answer):
    """Squared L2 distances below which pictures are duplicates, or similar, and how well that works."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model_id": "perceptual-2",
                    "duplicate_distance": 5.0,
                    "similar_distance": 56.02,
                    "pictures": {"alya": 61, "blysk": 0},
                    "calibration": [
                        {
                            "threshold": 5.0,
                            "duplicate_match": 0.0,
                            "duplicate_miss": 0.42,
                            "duplicate_miss_all": 0.0,
                            "similar_match": 0.0,
                            "similar_miss": 1.0,
                        }
                    ],
                    "pairs": 212,
                }
            ]
        }
    )

    model_id: str
    duplicate_distance: float
    similar_distance: float
    pictures: dict[str, int] = Field(description="Stored pictures by website.")
    calibration: list[RatesOut] = Field(description="By rising threshold; empty: the model was not calibrated.")
    pairs: int = Field(description="Labelled pairs behind `calibration`.")
