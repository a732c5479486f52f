"""Bodies of /system."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from gateway_service.schemas.answers import Answer, CostOut, ServiceOut


class KeyGroupOut(Answer):
    """Keys of a provider that share one quota; never a key."""

    label: str
    state: str = Field(
        description="free, waiting (until the minute is over), parked (until the day is over) or refused."
    )
    keys: int
    refused: int = Field(description="Keys that the provider refuses; they are not asked again.")
    used: int = Field(description="Requests in the current minute.")
    free_at: str | None = Field(None, description="ISO 8601 in UTC: when it may be asked again; left out: now.")


class ShutdownOut(Answer):
    """A model that its provider will end."""

    service: str
    role: str
    model_id: str
    shutdown_date: str = Field(description="ISO date.")
    days_left: int = Field(description="Negative once it is over.")


class DayCostOut(Answer):
    """What the products of one day and marketplace code cost."""

    day: str = Field(description="ISO date, India's (UTC+05:30).")
    marketplace: str = Field(examples=["amazon"])
    marketplace_type: str = Field(examples=["ama_ear"])
    products: int
    cost: CostOut


class SystemAnswer(Answer):
    """Who answers, what is left of the quotas, what was paid."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "ready",
                    "services": {
                        "analyzer": {
                            "status": "ready",
                            "model": "gemini-3.8-flash",
                            "adapters": [
                                {
                                    "role": "vision",
                                    "name": "gemini",
                                    "embedded": False,
                                    "model_id": "gemini-3.8-flash",
                                    "detail": "",
                                    "shutdown_date": "2027-06-30",
                                }
                            ],
                            "detail": "",
                        }
                    },
                    "shutdowns": [
                        {
                            "service": "analyzer",
                            "role": "vision",
                            "model_id": "gemini-3.8-flash",
                            "shutdown_date": "2027-06-30",
                            "days_left": 220,
                        }
                    ],
                    "key_pool": [
                        {
                            "label": "free",
                            "state": "parked",
                            "keys": 2,
                            "refused": 0,
                            "used": 10,
                            "free_at": "2026-11-23T08:00:00Z",
                        }
                    ],
                    "costs": [
                        {
                            "day": "2026-11-22",
                            "marketplace": "amazon",
                            "marketplace_type": "ama_ear",
                            "products": 20,
                            "cost": {"calls": 40, "input_tokens": 120000, "output_tokens": 32000, "inr": 31.4},
                        }
                    ],
                    "days": 30,
                }
            ]
        }
    )

    status: str = Field(description="ready or not_ready.")
    services: dict[str, ServiceOut]
    shutdowns: list[ShutdownOut] = Field(description="Models in use that their providers will end, the next one first.")
    key_pool: list[KeyGroupOut] = Field(description="Groups of keys of the provider that sees; empty without keys.")
    costs: list[DayCostOut] = Field(description="What products of catalogue jobs cost, by day and marketplace code.")
    days: int = Field(description="Days that `costs` covers, today included.")
