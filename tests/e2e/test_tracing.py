"""One trace from a REST request through every service to the stores and the providers, without what was asked of them;
and metrics of every service that rules, dashboards and manifests build on.

Everything is real but the providers and S3, which are emulators on the loopback.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from deploy.monitoring import exported
from tests.collector import Span
from tests.emulated import KEYS, Seen, seen_system, take_through

NOTE = "moonlit-note-to-the-analyzer"
BRAND = "Moonlit Brand"
SERVICES = {"gateway", "vision-index", "embedding", "analyzer", "copywriter", "exporter"}
# Of an attribute: names of methods and addresses fit, a prompt or an answer does not.
LONGEST = 300


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    with seen_system(tmp_path_factory.mktemp("seen")) as running:
        yield running


@pytest.fixture(scope="module")
def spans(seen: Seen) -> list[Span]:
    """Spans of one product on its way from a photo to a workbook; the client sends a trace of its own."""
    trace, parent = secrets.token_hex(16), secrets.token_hex(8)
    with seen.system.client() as client:
        client.headers["traceparent"] = f"00-{trace}-{parent}-01"
        take_through(client, "SEEN-1", {"notes": NOTE, "brand": BRAND})

    def complete(spans: list[Span]) -> bool:
        mine = [span for span in spans if span.trace == trace]
        known = {parent, *(span.id for span in mine)}
        asked = [span.name for span in mine if span.parent == parent]
        # A span is sent when it has ended, parents after their children and each service in its own time.
        return len(asked) == 2 and all(span.parent in known for span in mine)

    found = [span for span in seen.collector.wait_for(complete) if span.trace == trace]
    print(drawn(found, parent))
    return found


def test_one_trace_goes_through_every_service(spans: list[Span]) -> None:
    assert {span.service.removeprefix("jewelry-") for span in spans} >= SERVICES


def test_every_span_hangs_under_a_request_of_the_client(spans: list[Span]) -> None:
    known = {span.id for span in spans}
    tops = [span for span in spans if span.parent not in known]
    assert {span.service for span in tops} == {"jewelry-gateway"}
    assert len({span.parent for span in tops}) == 1, [span.name for span in tops]


@pytest.mark.parametrize(
    ("service", "name"),
    [
        ("vision-index", "s3 put_object"),
        ("vision-index", "milvus search"),
        ("vision-index", "milvus upsert"),
        ("gateway", "s3 get_object"),
        ("exporter", "s3 put_object"),
    ],
)
def test_calls_to_stores_are_in_the_trace(spans: list[Span], service: str, name: str) -> None:
    assert any(span.service == f"jewelry-{service}" and span.name == name for span in spans)


@pytest.mark.parametrize(("provider", "service"), [("gemini", "analyzer"), ("openai", "copywriter")])
def test_calls_to_providers_tell_model_tokens_and_cost(spans: list[Span], provider: str, service: str) -> None:
    calls = [span for span in spans if span.attributes.get("gen_ai.system") == provider]
    assert calls
    for span in calls:
        assert span.service == f"jewelry-{service}"
        assert span.attributes["gen_ai.request.model"]
        assert span.attributes["gen_ai.usage.input_tokens"] > 0
        assert span.attributes["gen_ai.usage.output_tokens"] > 0
        assert span.attributes["jewelry.cost.inr_micros"] > 0


def test_no_span_carries_keys_prompts_answers_or_pictures(seen: Seen, spans: list[Span]) -> None:
    assert spans
    for span in seen.collector.spans:
        for secret in (*KEYS, NOTE, BRAND):
            assert secret not in span.everything, span.name
        for name, value in span.attributes.items():
            assert not isinstance(value, str | bytes) or len(value) < LONGEST, f"{span.name}: {name} could be content"


def test_what_is_built_on_is_exported_by_the_service_that_is_said_to(seen: Seen, spans: list[Span]) -> None:
    shown = exported.wait_for(seen.system.metrics, exported.recorded())
    for service, names in exported.recorded().items():
        assert names - shown[service] == set(), service


def drawn(spans: list[Span], top: str) -> str:
    """The trace as an indented list."""
    below: dict[str, list[Span]] = {}
    for span in spans:
        below.setdefault(span.parent, []).append(span)

    def lines(parent: str, depth: int) -> Iterator[str]:
        for span in below.get(parent, []):
            yield f"{'  ' * depth}{span.service.removeprefix('jewelry-')}: {span.name}"
            yield from lines(span.id, depth + 1)

    return "\n".join(lines(top, 0))
