"""The application keeps its own OpenAPI document: schemathesis, over ASGI and over HTTP, with every check.

The quick run takes a few examples of each operation, `pytest -m slow` many.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode

QUICK = int(os.environ.get("CONTRACT_EXAMPLES", "2"))
SLOW = 100

# What a document cannot say: that two lists are equally long, that bytes are a picture, that an address can be fetched.
# So data of the right form may still be refused.
REFUSALS = ["2xx", "3xx", "400", "404", "409", "413", "415", "422"]


def schema_of(live: Any, over: str) -> Any:
    config = SchemathesisConfig.from_dict(
        {
            "headers": {"Authorization": f"Bearer {live.KEY}"},
            "checks": {"positive_data_acceptance": {"expected-statuses": REFUSALS}},
        }
    )
    if over == "asgi":
        return schemathesis.openapi.from_asgi("/openapi.json", live.asgi, config=config, headers=_headers(live))
    return schemathesis.openapi.from_url(f"{live.url}/openapi.json", config=config, headers=_headers(live))


def _headers(live: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {live.KEY}"}


def run(live: Any, over: str, examples: int) -> Iterator[str]:
    """Failures of every operation that is no stream."""
    for found in schema_of(live, over).get_all_operations():
        operation = found.ok()
        if operation.path.endswith("/events"):
            continue  # a stream that lasts as long as its job
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try:
                _check(operation, mode, examples, _headers(live))
            except hypothesis.errors.Unsatisfiable:
                continue  # nothing to get wrong, such as a path without parameters
            except BaseExceptionGroup as group:
                yield f"{operation.label} ({mode.name}): {group}"
            except Exception as error:
                yield f"{operation.label} ({mode.name}): {type(error).__name__}: {error}"


def _check(operation: Any, mode: GenerationMode, examples: int, headers: dict[str, str]) -> None:
    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        case.call_and_validate(headers=headers)

    check()


@pytest.mark.parametrize("over", ["asgi", "http"])
def test_the_document_is_kept(live: Any, over: str) -> None:
    failures = list(run(live, over, QUICK))
    assert not failures, "\n\n".join(failures)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("over", ["asgi", "http"])
def test_the_document_is_kept_at_length(live: Any, over: str) -> None:
    failures = list(run(live, over, SLOW))
    assert not failures, "\n\n".join(failures)
