"""The application keeps its own OpenAPI document: schemathesis, over ASGI and over HTTP, with every check.

The quick run takes a few examples of each operation, `pytest -m slow` many.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

import hypothesis
import jsonschema_rs
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection
from schemathesis.transport.serialization import Binary

QUICK = int(os.environ.get("CONTRACT_EXAMPLES", "2"))
SLOW = 100
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")

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
        same = mode is GenerationMode.NEGATIVE and reads_as_valid(case)
        case.call_and_validate(headers=headers, excluded_checks=[negative_data_rejection] if same else [])

    check()


def reads_as_valid(case: Any) -> bool:
    """Whether what is wrong with a case is lost when it is written as text, in a form or a query.

    A number where a text is wanted arrives as a text. schemathesis sees so where it got one value wrong, not where it
    got two wrong. Parameters that the document does not name are no error of HTTP either.
    """
    wrong = {place for place, made in case.meta.components.items() if made.mode.is_negative}
    if not wrong <= {ParameterLocation.QUERY, ParameterLocation.BODY}:
        return False
    raw = case.operation.definition.raw
    queries = {one["name"]: one["schema"] for one in raw.get("parameters", ()) if one["in"] == "query"}
    # Fields of the body win over those of the query.
    unread = {name for name, value in case.body.items() if written(value)} if isinstance(case.body, dict) else set()
    if ParameterLocation.QUERY in wrong and not all(
        fits(value, queries[name]) for name, value in (case.query or {}).items() if name in queries.keys() - unread
    ):
        return False
    if ParameterLocation.BODY not in wrong:
        return True
    if case.media_type not in FORMS or not isinstance(case.body, dict):
        return False
    schema = raw["requestBody"]["content"][case.media_type]["schema"]
    sets = [way["required"] for way in schema.get("anyOf", ())] or [[]]
    return any(set(names) <= case.body.keys() for names in sets) and all(
        fits(value, schema["properties"][name]) for name, value in case.body.items() if name in schema["properties"]
    )


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value keeps its schema once it is written as text and read again by that schema."""
    if isinstance(value, Binary):
        return schema.get("format") == "binary"
    if isinstance(value, (dict, list)):
        # Each item, or name, is written for itself, and none is not sent.
        return all(fits(item, schema.get("items", schema)) for item in value)
    text = written(value)
    readings: list[Any] = [text]
    with contextlib.suppress(ValueError):
        readings.append(json.loads(text))
    # A field left empty counts as not sent.
    return not text or any(jsonschema_rs.is_valid(schema, reading) for reading in readings)


def written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


@pytest.mark.parametrize(
    ("value", "schema", "expected"),
    [
        (5, {"type": "string"}, True),
        (False, {"type": "string", "enum": ["yes", "false"]}, True),
        (True, {"type": "string", "enum": ["yes", "false"]}, False),
        ("0.5", {"anyOf": [{"type": "number", "minimum": 0}, {"type": "null"}]}, True),
        ("-0.5", {"anyOf": [{"type": "number", "minimum": 0}, {"type": "null"}]}, False),
        ("x", {"type": "integer"}, False),
        (5, {"type": "string", "minLength": 2}, False),
        (["a", 5], {"type": "integer"}, False),
        ([], {"type": "integer"}, True),
        ({}, {"type": "integer"}, True),
        ({"a": 5}, {"type": "integer"}, False),
        (Binary(b"a"), {"type": "string", "format": "binary"}, True),
        (Binary(b"a"), {"type": "string"}, False),
        (None, {"type": "integer"}, False),
        ("", {"type": "integer"}, True),
    ],
)
def test_what_is_lost_when_a_value_is_written_as_text(value: Any, schema: dict[str, Any], expected: bool) -> None:
    assert fits(value, schema) is expected


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
