"""The emulators, asked by the providers' own SDKs."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from google import genai
from google.genai import errors as gemini_errors
from google.genai import types
from PIL import Image
from pydantic import BaseModel

from tests import emulators
from tests.emulators import Emulator
from tests.emulators.pictures import AI_SOURCE_TYPE

VISION, EMBEDDING, IMAGE_MODEL = "gemini-3.8-flash", "gemini-embedding-2", "gemini-3.1-flash-image"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "color": {"type": "string", "enum": ["Gold", "Silver", "Rose Gold"]},
        "confidence": {"type": "number"},
        "motifs": {"type": "array", "items": {"type": "string", "enum": ["leaf", "moon", "star"]}},
        "material": {"type": "string", "description": "One of: Brass | Copper"},
    },
    "required": ["color", "confidence", "motifs", "material"],
}


def picture(color: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), color).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def gemini_server() -> Iterator[Emulator]:
    with emulators.gemini() as emulator:
        yield emulator


@pytest.fixture(scope="module")
def openai_server() -> Iterator[Emulator]:
    with emulators.openai() as emulator:
        yield emulator


@pytest.fixture
def gemini(gemini_server: Emulator) -> Emulator:
    gemini_server.reset()
    return gemini_server


@pytest.fixture
def openai_(openai_server: Emulator) -> Emulator:
    openai_server.reset()
    return openai_server


def gemini_client(emulator: Emulator, key: str = "secret-a", timeout_ms: int = 5000) -> genai.Client:
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=emulator.url, timeout=timeout_ms))


def openai_client(emulator: Emulator, key: str = "secret-a", timeout: float = 5) -> openai.OpenAI:
    return openai.OpenAI(api_key=key, base_url=emulator.url, max_retries=0, timeout=timeout)


def ask(client: genai.Client, schema: dict[str, Any] = SCHEMA, color: str = "red") -> types.GenerateContentResponse:
    part = types.Part.from_bytes(data=picture(color), mime_type="image/jpeg")
    config = types.GenerateContentConfig(response_mime_type="application/json", response_json_schema=schema)
    return client.models.generate_content(model=VISION, contents=[part, "What is it?"], config=config)


# -- Gemini -----------------------------------------------------------------------------------


def test_gemini_structured_output_obeys_the_schema_and_is_deterministic(gemini: Emulator) -> None:
    first, again, other = (ask(gemini_client(gemini), color=color) for color in ("red", "red", "blue"))
    answer = json.loads(first.text or "")
    assert set(answer) == set(SCHEMA["properties"])
    assert answer["color"] in ("Gold", "Silver", "Rose Gold")
    assert 0 <= answer["confidence"] <= 1
    assert answer["motifs"]
    assert answer["material"] in ("Brass", "Copper")
    assert first.text == again.text != other.text
    assert first.usage_metadata is not None
    assert (first.usage_metadata.prompt_token_count or 0) > 1000
    assert [(entry.images, entry.status) for entry in gemini.log] == [(1, 200)] * 3


def test_gemini_takes_a_pydantic_class_as_response_schema(gemini: Emulator) -> None:
    class Answer(BaseModel):
        name: str
        count: int

    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Answer)
    client = gemini_client(gemini)
    reply = client.models.generate_content(model=VISION, contents="Name it", config=config)
    assert isinstance(reply.parsed, Answer)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "string", "enum": [f"v{n}" for n in range(101)]}}},
        {"type": "object", "properties": {"a": {"type": "array", "maxItems": 1000, "items": {"type": "string"}}}},
    ],
)
def test_gemini_refuses_large_schemas(gemini: Emulator, schema: dict[str, Any]) -> None:
    with pytest.raises(gemini_errors.ClientError) as caught:
        ask(gemini_client(gemini), schema)
    assert caught.value.code == 400


def test_gemini_refuses_a_broken_picture_and_an_unknown_model(gemini: Emulator) -> None:
    client = gemini_client(gemini)
    part = types.Part.from_bytes(data=picture()[:200], mime_type="image/jpeg")
    with pytest.raises(gemini_errors.ClientError) as caught:
        client.models.generate_content(model=VISION, contents=[part])
    assert caught.value.code == 400
    assert gemini.log[-1].images == 0
    with pytest.raises(gemini_errors.ClientError) as caught:
        client.models.generate_content(model="gemini-0", contents="x")
    assert caught.value.code == 404


def test_gemini_models_and_their_end(gemini: Emulator) -> None:
    client = gemini_client(gemini)
    models = {model.name: model for model in client.models.list(config={"page_size": 2})}
    assert len(models) == 5
    assert models[f"models/{VISION}"].temperature is None
    assert client.models.get(model=EMBEDDING).supported_actions == ["embedContent"]
    status = client.models.generate_content(model="gemini-2.5-flash", contents="x").model_status
    assert status is not None
    assert status.retirement_time is not None
    assert status.retirement_time.year == 2026


def test_gemini_embeddings_one_content_per_text(gemini: Emulator) -> None:
    client = gemini_client(gemini)
    texts = ["gold earrings", "gold earrings with pearls", "a steam engine"]
    separate: list[Any] = [types.Content(parts=[types.Part(text=text)]) for text in texts]
    reply = client.models.embed_content(model=EMBEDDING, contents=separate, config={"output_dimensionality": 256})
    vectors = [embedding.values or [] for embedding in reply.embeddings or []]
    assert [len(vector) for vector in vectors] == [256] * 3

    def dot(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert all(abs(dot(vector, vector) - 1) < 1e-6 for vector in vectors)
    assert dot(vectors[0], vectors[1]) > 0.4 > dot(vectors[0], vectors[2])
    merged = client.models.embed_content(model=EMBEDDING, contents=list(texts))
    assert len(merged.embeddings or []) == 1


def test_gemini_makes_pictures_marked_as_made(gemini: Emulator) -> None:
    config = types.GenerateContentConfig(response_modalities=["IMAGE"])
    client = gemini_client(gemini)
    reply = client.models.generate_content(model=IMAGE_MODEL, contents="on marble", config=config)
    inline = (reply.parts or [])[0].inline_data
    assert inline is not None
    assert inline.data is not None
    assert inline.mime_type == "image/png"
    with Image.open(io.BytesIO(inline.data)) as made:
        assert "trainedAlgorithmicMedia" in made.info["XML:com.adobe.xmp"]


def test_gemini_rate_limits(gemini: Emulator) -> None:
    gemini.fault("rate_limit_minute", retry_after=12)
    gemini.fault("rate_limit_day", retry_after=7)
    for period, delay in (("PerMinute", "12s"), ("PerDay", "7s")):
        with pytest.raises(gemini_errors.ClientError) as caught:
            ask(gemini_client(gemini))
        details = caught.value.details["error"]["details"]
        assert caught.value.code == 429
        assert period in details[0]["violations"][0]["quotaId"]
        assert details[1]["retryDelay"] == delay
    ask(gemini_client(gemini))


def test_gemini_quota_belongs_to_a_project(gemini: Emulator) -> None:
    gemini.configure(requests_per_minute=1, projects={"secret-a": "p1", "secret-b": "p1", "secret-c": "p2"})
    ask(gemini_client(gemini, "secret-a"))
    with pytest.raises(gemini_errors.ClientError) as caught:
        ask(gemini_client(gemini, "secret-b"))
    assert caught.value.code == 429
    ask(gemini_client(gemini, "secret-c"))
    assert [entry.project for entry in gemini.log] == ["p1", "p1", "p2"]


def test_gemini_faults(gemini: Emulator) -> None:
    client = gemini_client(gemini)
    gemini.fault("server_error", status=503)
    with pytest.raises(gemini_errors.ServerError):
        ask(client)
    gemini.fault("broken_json")
    with pytest.raises(json.JSONDecodeError):
        json.loads(ask(client).text or "")
    gemini.fault("broken_body")
    with pytest.raises(json.JSONDecodeError):
        ask(client)
    gemini.fault("refusal")
    assert ask(client).prompt_feedback is not None
    gemini.fault("content_filter")
    assert [item.finish_reason for item in ask(client).candidates or []] == [types.FinishReason.SAFETY]
    gemini.fault("truncated")
    assert [item.finish_reason for item in ask(client).candidates or []] == [types.FinishReason.MAX_TOKENS]
    assert json.loads(ask(client).text or "")


def test_gemini_hang_ends_with_the_client(gemini: Emulator) -> None:
    gemini.fault("hang", seconds=60)
    started = time.monotonic()
    with pytest.raises(Exception, match=r"(?i)time"):
        ask(gemini_client(gemini, timeout_ms=300))
    assert time.monotonic() - started < 5
    while not gemini.log and time.monotonic() - started < 5:
        time.sleep(0.02)
    assert [(entry.status, entry.fault) for entry in gemini.log] == [(499, "hang")]


@pytest.mark.parametrize("status", [400, 401, 403])
def test_gemini_revoked_key_and_only_that(gemini: Emulator, status: int) -> None:
    gemini.fault("revoked", key="secret-a", status=status, times=None)
    for _ in range(2):
        with pytest.raises(gemini_errors.ClientError) as caught:
            ask(gemini_client(gemini, "secret-a"))
        assert caught.value.code == status
    ask(gemini_client(gemini, "secret-b"))


# -- OpenAI -----------------------------------------------------------------------------------


class Copy(BaseModel):
    title: str
    bullets: list[str]


def test_openai_structured_output_on_both_interfaces(openai_: Emulator) -> None:
    client = openai_client(openai_)
    reply = client.responses.parse(model="gpt-6-luna", input="Write copy", text_format=Copy)
    assert isinstance(reply.output_parsed, Copy)
    assert reply.usage is not None
    assert reply.usage.output_tokens > 0
    chat = client.chat.completions.parse(
        model="gpt-6-luna", messages=[{"role": "user", "content": "Write copy"}], response_format=Copy
    )
    assert isinstance(chat.choices[0].message.parsed, Copy)
    assert [entry.operation for entry in openai_.log] == ["responses", "chat.completions"]


def test_openai_honours_max_length_and_checks_strict_schemas(openai_: Emulator) -> None:
    client = openai_client(openai_)
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"title": {"type": "string", "maxLength": 12}},
        "required": ["title"],
        "additionalProperties": False,
    }
    text: Any = {"format": {"type": "json_schema", "name": "copy", "schema": schema, "strict": True}}
    reply = client.responses.create(model="gpt-6-luna", input="x", text=text)
    assert 0 < len(json.loads(reply.output_text)["title"]) <= 12
    del schema["additionalProperties"]
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model="gpt-6-luna", input="x", text=text)


def test_openai_models_and_their_end(openai_: Emulator) -> None:
    dates = {model.id: model.shutdown_date for model in openai_client(openai_).models.list()}
    assert dates["gpt-4.1"] == "2027-01-14"
    assert dates["gpt-6-luna"] is None


def test_openai_edits_pictures(openai_: Emulator) -> None:
    client = openai_client(openai_)
    files = [("a.jpg", picture("red"), "image/jpeg"), ("b.jpg", picture("blue"), "image/jpeg")]
    one = client.images.edit(model="gpt-image-2.6-flare", image=files[0], prompt="on marble")
    two = client.images.edit(model="gpt-image-2.6-flare", image=files, prompt="on marble", n=2)
    assert len(one.data or []) == 1
    assert len(two.data or []) == 2
    assert [entry.images for entry in openai_.log] == [1, 2]
    tall = client.images.edit(model="gpt-image-2.6-flare", image=files[0], prompt="on marble", size="1024x1536")
    made = base64.b64decode((tall.data or [])[0].b64_json or "")
    assert Image.open(io.BytesIO(made)).size == (1024, 1536)
    assert b"caBX" in made
    assert AI_SOURCE_TYPE.encode() in made
    with pytest.raises(openai.BadRequestError):
        client.images.edit(model="gpt-image-2.6-flare", image=files[0], prompt="on marble", size="1000x1000")
    with pytest.raises(openai.BadRequestError):
        client.images.edit(model="gpt-image-2.6-flare", image=("a.jpg", b"no picture", "image/jpeg"), prompt="x")


def test_openai_faults(openai_: Emulator) -> None:
    client = openai_client(openai_)

    def write() -> Any:
        return client.responses.create(model="gpt-6-luna", input="x")

    openai_.fault("rate_limit_minute", retry_after=9)
    with pytest.raises(openai.RateLimitError) as limited:
        write()
    assert limited.value.response.headers["retry-after"] == "9"
    openai_.fault("rate_limit_day")
    with pytest.raises(openai.RateLimitError) as limited:
        write()
    assert limited.value.code == "insufficient_quota"
    openai_.fault("server_error")
    with pytest.raises(openai.InternalServerError):
        write()
    openai_.fault("revoked")
    with pytest.raises(openai.AuthenticationError):
        write()
    openai_.fault("refusal")
    assert write().output[0].content[0].type == "refusal"
    openai_.fault("content_filter")
    assert write().incomplete_details.reason == "content_filter"
    openai_.fault("hang", seconds=60)
    with pytest.raises(openai.APITimeoutError):
        openai_client(openai_, timeout=0.3).responses.create(model="gpt-6-luna", input="x")
    assert write().output_text


# -- control routes ---------------------------------------------------------------------------


def test_control_routes_over_http(gemini: Emulator) -> None:
    with httpx.Client(base_url=gemini.url) as http:
        assert http.post("/_faults", json={"kind": "server_error", "times": 2, "skip": 1}).status_code == 200
        assert http.post("/_faults", json={"kind": "no such fault"}).status_code == 422
        assert http.post("/_config", json={"latency": 0.05, "labels": {"secret-a": "first"}}).json()["latency"] == 0.05
        ask(gemini_client(gemini))
        with pytest.raises(gemini_errors.ServerError):
            ask(gemini_client(gemini))
        log = http.get("/_log").json()
        assert [(entry["key"], entry["status"]) for entry in log] == [("first", 200), ("first", 500)]
        assert log[0]["seconds"] >= 0.05
        assert "secret-a" not in json.dumps(log)
        http.post("/_reset")
        assert http.get("/_log").json() == []
        assert http.get("/_faults").json() == []


def test_a_call_without_a_key_is_refused(gemini: Emulator) -> None:
    assert httpx.get(f"{gemini.url}/v1/models").status_code == 400
    gemini.configure(keys=["secret-b"])
    with pytest.raises(gemini_errors.ClientError):
        ask(gemini_client(gemini, "secret-a"))
    ask(gemini_client(gemini, "secret-b"))
