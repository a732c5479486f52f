"""OpenAI's REST interface as the openai package calls it: models, responses, chat completions, image edits."""

from __future__ import annotations

import base64
import json
import re
import time
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.emulators.control import Control, Fault, FaultKind
from tests.emulators.gateway import Call, Refusals, handle
from tests.emulators.pictures import decodable, edited_picture
from tests.emulators.schemas import ENGLISH, OTHER_SCRIPTS, Filler, Words, strict_problem

Json = dict[str, Any]

MODELS: dict[str, str | None] = {
    "gpt-6-luna": None,
    "gpt-4.1": "2027-01-14",
    "gpt-image-2.6-flare": None,
    "gpt-image-1": "2026-10-23",
}
_REFUSAL = "I'm sorry, but I can't help with that."


def app(control: Control) -> Starlette:
    """The emulator as an ASGI application; its base URL ends in `/v1`."""
    server = _OpenAI(control)
    return Starlette(
        routes=[
            *control.routes(),
            Route("/v1/models", server.list_models, methods=["GET"]),
            Route("/v1/models/{model:str}", server.get_model, methods=["GET"]),
            Route("/v1/responses", server.responses, methods=["POST"]),
            Route("/v1/chat/completions", server.chat, methods=["POST"]),
            Route("/v1/images/edits", server.edit_images, methods=["POST"]),
        ]
    )


def _error(
    status: int, message: str, kind: str, code: str | None = None, headers: dict[str, str] | None = None
) -> JSONResponse:
    error = {"message": message, "type": kind, "param": None, "code": code}
    return JSONResponse({"error": error}, status_code=status, headers=headers)


def _bad_key(fault: Fault | None) -> Response:
    if fault is not None and fault.status == 403:
        return _error(403, "Your project does not have access.", "invalid_request_error", "access_denied")
    return _error(401, "Incorrect API key provided.", "invalid_request_error", "invalid_api_key")


def _rate_limited(call: Call, retry_after: float, daily: bool) -> Response:
    headers = {"Retry-After": f"{retry_after:g}", "retry-after-ms": f"{retry_after * 1000:.0f}"}
    if daily:
        message = "You exceeded your current quota, please check your plan and billing details."
        return _error(429, message, "insufficient_quota", "insufficient_quota", headers)
    message = f"Rate limit reached for {call.model} on requests per min (RPM)."
    return _error(429, message, "requests", "rate_limit_exceeded", headers)


def _server_error(code: int) -> Response:
    return _error(code, "The server had an error while processing your request.", "server_error")


_REFUSALS = Refusals(bad_key=_bad_key, rate_limited=_rate_limited, server_error=_server_error)


def _unknown(model: str) -> Response:
    message = f"The model `{model}` does not exist or you do not have access to it."
    return _error(404, message, "invalid_request_error", "model_not_found")


def _invalid(message: str) -> Response:
    return _error(400, message, "invalid_request_error")


def _call(request: Request, operation: str, model: str, body: bytes, images: int = 0) -> Call:
    key = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
    return Call(request.method, request.url.path, operation, model, key, body, images, gone=request.is_disconnected)


def _model(name: str) -> Json:
    return {
        "id": name, "object": "model", "created": 1_780_000_000, "owned_by": "openai", "shutdown_date": MODELS[name],
    }  # fmt: skip


class _OpenAI:
    def __init__(self, control: Control) -> None:
        self._control = control

    async def list_models(self, request: Request) -> Response:
        async def answer(fault: Fault | None) -> Response:
            return JSONResponse({"object": "list", "data": [_model(name) for name in MODELS]})

        return await handle(self._control, _REFUSALS, _call(request, "models", "", b""), answer)

    async def get_model(self, request: Request) -> Response:
        name = str(request.path_params["model"])

        async def answer(fault: Fault | None) -> Response:
            return JSONResponse(_model(name)) if name in MODELS else _unknown(name)

        return await handle(self._control, _REFUSALS, _call(request, "model", name, b""), answer)

    async def responses(self, request: Request) -> Response:
        return await self._text(request, "responses")

    async def chat(self, request: Request) -> Response:
        return await self._text(request, "chat.completions")

    async def _text(self, request: Request, operation: str) -> Response:
        body = await request.body()
        try:
            payload = json.loads(body)
        except ValueError:
            return _invalid("We could not parse the JSON body of your request.")
        model = str(payload.get("model", ""))
        pictures = _pictures(payload)
        call = _call(request, operation, model, body, images=sum(pictures))

        async def answer(fault: Fault | None) -> Response:
            if model not in MODELS:
                return _unknown(model)
            if payload.get("stream"):
                return _invalid("This server does not stream.")
            if not all(pictures):
                return _error(400, "The image data you provided is not a valid image.", "image_parse_error")
            return _answer_text(call, payload, fault)

        return await handle(self._control, _REFUSALS, call, answer)

    async def edit_images(self, request: Request) -> Response:
        body = await request.body()
        async with request.form() as form:
            model = str(form.get("model", ""))
            count = int(str(form.get("n") or 1))
            prompt, size = str(form.get("prompt") or ""), _size(str(form.get("size") or "auto"))
            files = [
                await item.read()
                for name, item in form.multi_items()
                if name in ("image", "image[]") and isinstance(item, UploadFile)
            ]
        good = sum(decodable(data) for data in files)
        call = _call(request, "images.edits", model, _without_boundary(request, body), images=good)

        async def answer(fault: Fault | None) -> Response:
            if model not in MODELS:
                return _unknown(model)
            if not files or good != len(files):
                return _invalid("Invalid image file or mode for image.")
            if not 0 < len(prompt) <= 32_000:
                return _invalid("The prompt must have 1 to 32000 characters.")
            if size is None:
                return _invalid("Invalid size: use WIDTHxHEIGHT with multiples of 16 and a shape of at most 3:1.")
            if fault is not None and fault.kind in (FaultKind.REFUSAL, FaultKind.CONTENT_FILTER):
                message = "Your request was rejected by the safety system."
                return _error(400, message, "image_generation_user_error", "moderation_blocked")
            faithful = fault is None or fault.kind is not FaultKind.OTHER_PRODUCT
            made = [edited_picture(files[0], call.seed + index, size, faithful=faithful) for index in range(count)]
            if fault is not None and fault.kind in (FaultKind.BROKEN_JSON, FaultKind.TRUNCATED):
                made = [item[: len(item) // 2] for item in made]
            usage = {
                "input_tokens": 300 * good, "output_tokens": 1000 * count, "total_tokens": 300 * good + 1000 * count,
                "input_tokens_details": {"image_tokens": 300 * good, "text_tokens": 0},
            }  # fmt: skip
            data = [{"b64_json": base64.b64encode(item).decode()} for item in made]
            return JSONResponse({"created": int(time.time()), "data": data, "output_format": "png", "usage": usage})

        return await handle(self._control, _REFUSALS, call, answer)


def _size(text: str) -> tuple[int, int] | None:
    """The size asked for; None where the models do not take it."""
    if text == "auto":
        return 1024, 1024
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        return None
    sides = int(width), int(height)
    fits = all(side % 16 == 0 and 256 <= side <= 3840 for side in sides) and max(sides) <= 3 * min(sides)
    return sides if fits else None


def _without_boundary(request: Request, body: bytes) -> bytes:
    """The body without its random multipart boundary, so that equal requests get equal answers."""
    boundary = request.headers.get("content-type", "").partition("boundary=")[2].strip('"')
    return body.replace(boundary.encode(), b"") if boundary else body


def _pictures(payload: Json) -> list[bool]:
    """For each inline picture of a request whether it decodes."""
    found: list[bool] = []
    messages = payload.get("input") or payload.get("messages") or []
    for message in messages if isinstance(messages, list) else []:
        content = message.get("content")
        for part in content if isinstance(content, list) else []:
            url = part.get("image_url")
            url = url.get("url") if isinstance(url, dict) else url
            if not url:
                continue
            head, _, data = str(url).partition(",")
            if head.startswith("data:image/"):
                try:
                    found.append(decodable(base64.b64decode(data, validate=True)))
                except ValueError:
                    found.append(False)
    return found


def _answer_text(call: Call, payload: Json, fault: Fault | None) -> Response:
    responses = call.operation == "responses"
    wanted = (payload.get("text", {}).get("format") if responses else payload.get("response_format")) or {}
    described = wanted if responses else wanted.get("json_schema", {})
    text: str
    if wanted.get("type") == "json_schema":
        schema = described.get("schema", {})
        problem = strict_problem(schema) if described.get("strict") else None
        if problem:
            return _invalid(f"Invalid schema for response_format '{described.get('name')}': {problem}")
        text = Filler(schema, call.seed, _asked_words(payload)).text()
    elif wanted.get("type") == "json_object":
        text = json.dumps({"text": Filler({"type": "string"}, call.seed).value()})
    else:
        text = Filler({"type": "string"}, call.seed).value()
    kind = fault.kind if fault else None
    if kind in (FaultKind.TRUNCATED, FaultKind.BROKEN_JSON):
        text = text[: len(text) // 2]
    reply = _responses_reply if responses else _chat_reply
    return JSONResponse(reply(call, text, kind))


def _asked_words(payload: Json) -> Words:
    """Words in the letters that the instructions ask for."""
    system = [message for message in payload.get("messages") or [] if message.get("role") == "system"]
    told = str(payload.get("instructions") or "".join(str(message.get("content")) for message in system))
    asked = re.search(r"Write in (\w+) letters", told)
    return OTHER_SCRIPTS.get(asked[1], ENGLISH) if asked else ENGLISH


def _responses_reply(call: Call, text: str, kind: FaultKind | None) -> Json:
    status, incomplete = "completed", None
    content: list[Json] = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    if kind is FaultKind.REFUSAL:
        content = [{"type": "refusal", "refusal": _REFUSAL}]
    elif kind is FaultKind.CONTENT_FILTER:
        status, incomplete, content = "incomplete", {"reason": "content_filter"}, []
    elif kind is FaultKind.TRUNCATED:
        status, incomplete = "incomplete", {"reason": "max_output_tokens"}
    read, written = len(call.body) // 4, len(text) // 4
    message = {
        "id": f"msg_{call.seed:016x}", "type": "message", "role": "assistant", "status": status, "content": content,
    }  # fmt: skip
    return {
        "id": f"resp_{call.seed:016x}", "object": "response", "created_at": int(time.time()), "status": status,
        "error": None, "incomplete_details": incomplete, "instructions": None, "metadata": {}, "model": call.model,
        "parallel_tool_calls": True, "temperature": None, "tool_choice": "auto", "tools": [], "top_p": None,
        "output": [message],
        "usage": {
            "input_tokens": read, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": written, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": read + written,
        },
    }  # fmt: skip


def _chat_reply(call: Call, text: str, kind: FaultKind | None) -> Json:
    message: Json = {"role": "assistant", "content": text, "refusal": None}
    finish = "stop"
    if kind is FaultKind.REFUSAL:
        message |= {"content": None, "refusal": _REFUSAL}
    elif kind is FaultKind.CONTENT_FILTER:
        message["content"], finish = "", "content_filter"
    elif kind is FaultKind.TRUNCATED:
        finish = "length"
    read, written = len(call.body) // 4, len(text) // 4
    return {
        "id": f"chatcmpl-{call.seed:016x}", "object": "chat.completion", "created": int(time.time()),
        "model": call.model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
    }  # fmt: skip
