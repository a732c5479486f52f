"""Gemini's REST interface as google-genai calls it: models, generateContent, embedContent, batchEmbedContents."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.emulators.control import Control, Fault, FaultKind
from tests.emulators.gateway import Call, Refusals, handle
from tests.emulators.pictures import decodable, made_picture
from tests.emulators.schemas import Filler, enum_problem

Json = dict[str, Any]

# The list of the real interface carries no end dates: a retirement time comes with an answer, as `modelStatus`.
RETIREMENTS = {"gemini-2.5-flash": "2026-12-01T00:00:00Z"}
_TEXT_METHODS = ["generateContent", "countTokens"]
MODELS: dict[str, list[str]] = {
    "gemini-3.8-flash": _TEXT_METHODS,
    "gemini-3.1-flash-image": _TEXT_METHODS,
    "gemini-2.5-flash": _TEXT_METHODS,
    "gemini-embedding-2": ["embedContent"],
    "gemini-embedding-001": ["embedContent"],
}
# Newer models no longer take sampling parameters, so their resource has no default temperature.
_TAKES_TEMPERATURE = {"gemini-2.5-flash", "gemini-3.1-flash-image"}
_SCHEMAS = ("responseSchema", "responseJsonSchema")
EMBEDDING_SIZE = 3072
_EMBED_BATCH = 100


def app(control: Control) -> Starlette:
    """The emulator as an ASGI application."""
    server = _Gemini(control)
    return Starlette(
        routes=[
            *control.routes(),
            Route("/{version:str}/models", server.list_models, methods=["GET"]),
            Route("/{version:str}/models/{rest:path}", server.model_route, methods=["GET", "POST"]),
        ]
    )


def _error(code: int, status: str, message: str, details: list[Json] | None = None) -> JSONResponse:
    error: Json = {"code": code, "message": message, "status": status}
    if details:
        error["details"] = details
    return JSONResponse({"error": error}, status_code=code)


def _bad_key(fault: Fault | None) -> Response:
    code = (fault.status if fault else None) or 403 if fault else 400
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "domain": "googleapis.com"}
    if code == 400:
        details = [{**info, "reason": "API_KEY_INVALID", "metadata": {"service": "generativelanguage.googleapis.com"}}]
        return _error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", details)
    if code == 401:
        return _error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
    return _error(code, "PERMISSION_DENIED", "Your API key was reported as leaked. Please use another API key.")


def _rate_limited(call: Call, retry_after: float, daily: bool) -> Response:
    period = "Day" if daily else "Minute"
    kind = "EmbedContent" if "mbed" in call.operation else "Generate"
    quota_id = f"{kind}RequestsPer{period}PerProjectPerModel-FreeTier"
    details: list[Json] = [
        {
            "@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": [
                {
                    "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
                    "quotaId": quota_id,
                    "quotaDimensions": {"location": "global", "model": call.model},
                }
            ],
        },
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{retry_after:g}s"},
    ]
    return _error(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", details)


def _server_error(code: int) -> Response:
    if code == 503:
        return _error(503, "UNAVAILABLE", "The model is overloaded. Please try again later.")
    return _error(code, "INTERNAL", "An internal error has occurred.")


_REFUSALS = Refusals(bad_key=_bad_key, rate_limited=_rate_limited, server_error=_server_error)


class _Gemini:
    def __init__(self, control: Control) -> None:
        self._control = control

    async def list_models(self, request: Request) -> Response:
        call = _call(request, "listModels", "", b"")

        async def answer(fault: Fault | None) -> Response:
            size = min(int(request.query_params.get("pageSize", 50)), 1000)
            start = int(request.query_params.get("pageToken") or 0)
            names = sorted(MODELS)
            page: Json = {"models": [_model(name) for name in names[start : start + size]]}
            if start + size < len(names):
                page["nextPageToken"] = str(start + size)
            return JSONResponse(page)

        return await handle(self._control, _REFUSALS, call, answer)

    async def model_route(self, request: Request) -> Response:
        model, _, operation = str(request.path_params["rest"]).partition(":")
        body = await request.body()
        if request.method == "GET":
            call = _call(request, "getModel", model, b"")
            return await handle(self._control, _REFUSALS, call, lambda fault: self._get(model))
        try:
            payload = _camel(json.loads(body))
        except ValueError:
            return _error(400, "INVALID_ARGUMENT", "Invalid JSON payload received.")
        pictures, broken = _pictures(payload)
        texts = len(payload.get("requests", [])) or (1 if "content" in payload else 0)
        call = _call(request, operation, model, body, images=len(pictures), texts=texts)
        return await handle(self._control, _REFUSALS, call, lambda fault: self._answer(call, payload, broken, fault))

    async def _get(self, model: str) -> Response:
        return JSONResponse(_model(model)) if model in MODELS else _unknown(model)

    async def _answer(self, call: Call, payload: Json, broken: bool, fault: Fault | None) -> Response:
        if call.model not in MODELS:
            return _unknown(call.model)
        if call.operation == "generateContent":
            if broken:
                return _error(400, "INVALID_ARGUMENT", "Unable to process input image.")
            return _generate(call, payload, fault, self._control.config.answer)
        if call.operation == "embedContent":
            return JSONResponse({"embedding": {"values": _embed(payload)}})
        if call.operation == "batchEmbedContents":
            requests = payload.get("requests", [])
            if not 1 <= len(requests) <= _EMBED_BATCH:
                return _error(400, "INVALID_ARGUMENT", "at most 100 requests can be in one batch")
            tokens = sum(len(_text(item.get("content", {})).split()) for item in requests)
            embeddings = [{"values": _embed(item)} for item in requests]
            return JSONResponse({"embeddings": embeddings, "usageMetadata": {"promptTokenCount": tokens}})
        return _error(404, "NOT_FOUND", f"method {call.operation} is not known")


def _call(request: Request, operation: str, model: str, body: bytes, images: int = 0, texts: int = 0) -> Call:
    key = request.headers.get("x-goog-api-key") or request.query_params.get("key", "")
    return Call(request.method, request.url.path, operation, model, key, body, images, texts, request.is_disconnected)


def _unknown(model: str) -> Response:
    return _error(404, "NOT_FOUND", f"models/{model} is not found, or is not supported for this method.")


def _model(name: str) -> Json:
    model: Json = {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name.replace("-", " ").title(),
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": MODELS[name],
    }
    if name in _TAKES_TEMPERATURE:
        model |= {"temperature": 1, "maxTemperature": 2, "topP": 0.95}
    return model


def _camel(node: Any) -> Any:
    """The proto JSON names of a request: both spellings are taken (google-genai itself mixes them). Schemas stay."""
    if isinstance(node, list):
        return [_camel(item) for item in node]
    if not isinstance(node, dict):
        return node
    named = {re.sub(r"_([a-z])", lambda match: match[1].upper(), name): value for name, value in node.items()}
    return {name: value if name in _SCHEMAS else _camel(value) for name, value in named.items()}


def _parts(payload: Json) -> list[Json]:
    return [part for content in payload.get("contents", []) for part in content.get("parts", [])]


def _text(content: Json) -> str:
    return "\n".join(part["text"] for part in content.get("parts", []) if "text" in part)


def _pictures(payload: Json) -> tuple[list[bytes], bool]:
    """Inline pictures that decode, and whether any does not."""
    good: list[bytes] = []
    broken = False
    for part in _parts(payload):
        inline = part.get("inlineData")
        if inline is None or not str(inline.get("mimeType", "")).startswith("image/"):
            continue
        try:
            # google-genai writes the URL-safe alphabet; Gemini takes both.
            data = base64.b64decode(str(inline.get("data", "")).replace("-", "+").replace("_", "/"), validate=True)
        except ValueError:
            data = b""
        if decodable(data):
            good.append(data)
        else:
            broken = True
    return good, broken


def _generate(call: Call, payload: Json, fault: Fault | None, answer: str | None) -> Response:
    config = payload.get("generationConfig", {})
    if call.model not in _TAKES_TEMPERATURE and "temperature" in config:
        return _error(400, "INVALID_ARGUMENT", "temperature is not supported by this model.")
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    if schema is not None:
        if config.get("responseMimeType") != "application/json":
            return _error(400, "INVALID_ARGUMENT", "A response schema needs response_mime_type application/json.")
        problem = enum_problem(schema)
        if problem:
            return _error(400, "INVALID_ARGUMENT", problem)
    parts: list[Json]
    if "IMAGE" in config.get("responseModalities", []):
        if "image" not in call.model:
            return _error(400, "INVALID_ARGUMENT", "Model does not support the requested response modalities.")
        data = base64.b64encode(made_picture(call.seed)).decode()
        parts = [{"inlineData": {"mimeType": "image/png", "data": data}}]
    elif schema is not None:
        parts = [{"text": Filler(schema, call.seed).text() if answer is None else answer}]
    else:
        parts = [{"text": Filler({"type": "string"}, call.seed).value()}]
    return JSONResponse(_reply(call, parts, fault))


def _reply(call: Call, parts: list[Json], fault: Fault | None) -> Json:
    finish = "STOP"
    kind = fault.kind if fault else None
    if kind is FaultKind.REFUSAL:
        return {**_usage(call, []), "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}
    if kind is FaultKind.CONTENT_FILTER:
        parts, finish = [], "SAFETY"
    elif kind is FaultKind.TRUNCATED:
        parts, finish = [_cut(part) for part in parts], "MAX_TOKENS"
    elif kind is FaultKind.BROKEN_JSON:
        parts = [_cut(part) for part in parts]
    candidate: Json = {"finishReason": finish, "index": 0}
    if parts:
        candidate["content"] = {"role": "model", "parts": parts}
    reply: Json = {"candidates": [candidate], **_usage(call, parts)}
    if call.model in RETIREMENTS:
        reply["modelStatus"] = {"modelStage": "LEGACY", "retirementTime": RETIREMENTS[call.model]}
    return reply


def _usage(call: Call, parts: list[Json]) -> Json:
    # About four characters to a token; a picture is 1,120 tokens at the default resolution.
    text = re.sub(rb'"data":\s*"[^"]*"', b"", call.body)
    read = len(text) // 4 + 1120 * call.images
    written = sum(len(part.get("text", "")) // 4 + (1290 if "inlineData" in part else 0) for part in parts)
    usage = {"promptTokenCount": read, "candidatesTokenCount": written, "totalTokenCount": read + written}
    return {"usageMetadata": usage, "modelVersion": call.model, "responseId": f"{call.seed:016x}"}


def _cut(part: Json) -> Json:
    return {"text": part["text"][: len(part["text"]) // 2]} if "text" in part else part


def _embed(request: Json) -> list[float]:
    """A unit vector in which texts that share words are near each other."""
    size = int(request.get("outputDimensionality") or EMBEDDING_SIZE)
    values = [0.0] * size
    words = re.findall(r"\w+", _text(request.get("content", {})).lower()) or [""]
    for word in words:
        digest = hashlib.sha256(word.encode()).digest()
        for start in range(0, 24, 6):
            index = int.from_bytes(digest[start : start + 4], "big") % size
            values[index] += 1.0 if digest[start + 4] % 2 else -1.0
    norm = math.sqrt(sum(value * value for value in values))
    if norm == 0:
        values[0] = norm = 1.0
    return [value / norm for value in values]
