"""What FastAPI cannot see by itself: bodies that carry files, and problems."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse
from pydantic import BaseModel

from gateway_service import auth, problems
from gateway_service.schemas.answers import Problem

_DESCRIPTIONS = {
    400: "The body or the picture cannot be read.",
    401: "A key is missing or not known.",
    403: "Not allowed.",
    404: "There is no such thing.",
    405: "The path does not take this method.",
    408: "The body came too slowly.",
    409: "A conflict with the state of things.",
    413: "Too large.",
    415: "This type of body is not taken.",
    422: "Well-formed but invalid; `errors` names the fields.",
    429: "A quota or queue is full; Retry-After says when to come back.",
    500: "An unexpected error; the log has it under the request id.",
    501: "Not built yet, or not possible with the adapters in use.",
    502: "A service behind the gateway failed.",
    503: "A service behind the gateway is down, or the gateway is full.",
    504: "A service behind the gateway did not answer in time.",
}

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": description,
        "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, description in _DESCRIPTIONS.items()
}

_STATIC = Path(str(files("fastapi_offline"))) / "static"
_DOCS_FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}
# The page loads nothing from elsewhere; Swagger UI sets styles from its script.
_DOCS_POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
_DOCS_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Jewelry listings</title>
<link rel="stylesheet" href="/docs/swagger-ui.css"><link rel="icon" href="/docs/favicon.png"></head>
<body><div id="docs"></div>
<script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body>
</html>
"""
_DOCS_START = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#docs", deepLinking: true});\n'


def picture_body(
    fields: type[BaseModel],
    *,
    required: bool = True,
    json_too: bool = False,
    file_names: tuple[str, ...] = ("file",),
    pictures: bool = True,
    kinds: tuple[str, ...] = (),
    several: bool = False,
) -> dict[str, Any]:
    """`openapi_extra` of a path that reads its body with `bodies.read_form`.

    Args:
        fields: What comes beside the file.
        required: Whether there must be a file.
        json_too: Whether the fields alone are taken as JSON as well.
        file_names: Names that the file may have in the form.
        pictures: Whether a picture is taken as the whole body.
        kinds: More types that are taken so.
        several: Whether the file may come several times.
    """
    schema = fields.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    one: dict[str, Any] = {"type": "string", "format": "binary"}
    file = {"type": "array", "items": one} if several else one
    form = {**schema, "properties": {**dict.fromkeys(file_names, file), **schema["properties"]}, "required": []}
    if required:
        form["anyOf"] = [{"required": [name]} for name in file_names]
    content: dict[str, Any] = {"multipart/form-data": {"schema": form}}
    for kind in (*(("image/jpeg", "image/png", "image/webp") if pictures else ()), *kinds):
        content[kind] = {"schema": one}
    if json_too:
        content["application/json"] = {"schema": schema}
        content["application/x-www-form-urlencoded"] = {"schema": schema}
    query = [
        {
            "name": name,
            "in": "query",
            "required": False,
            "schema": field,
            "description": "With the file itself as the body, fields are sent in the query.",
        }
        for name, field in schema["properties"].items()
    ]
    return {"requestBody": {"required": True, "content": content}, "parameters": query}


def install(app: FastAPI) -> None:
    """Adds the schema of problems to the document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            shown = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            schemas = shown.setdefault("components", {}).setdefault("schemas", {})
            problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(problem.pop("$defs", {}))
            schemas["Problem"] = problem
            if app.state.settings.gateway_api_keys.get_secret_value().strip(" ,"):
                _show_keys(shown)
            app.openapi_schema = shown
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's own way to extend the document


def _show_keys(shown: dict[str, Any]) -> None:
    """Adds the two ways to send a key, and which paths need one."""
    shown["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    shown["security"] = [{"bearer": []}, {"key": []}]
    for path in auth.OPEN_PATHS:
        for operation in shown["paths"].get(path, {}).values():
            operation["security"] = []


docs = APIRouter(include_in_schema=False)


@docs.get("/docs")
async def page() -> Response:
    """The document for people; works without a network."""
    return Response(_DOCS_PAGE, media_type="text/html", headers={"Content-Security-Policy": _DOCS_POLICY})


@docs.get("/docs/start.js")
async def start() -> Response:
    """Starts the page."""
    return Response(_DOCS_START, media_type="text/javascript")


@docs.get("/docs/{name}")
async def static(name: str) -> Response:
    """The page's own files."""
    if name not in _DOCS_FILES:
        raise problems.HttpProblem(404, "NOT_FOUND", "there is no such file")
    headers = {"Cache-Control": "public, max-age=86400"}
    return FileResponse(_STATIC / name, media_type=_DOCS_FILES[name], headers=headers)
