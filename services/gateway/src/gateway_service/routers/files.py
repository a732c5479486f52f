"""GET /files/{bucket}/{key}: objects of the embedded store, which has no web server of its own."""

from __future__ import annotations

from email.utils import format_datetime

from fastapi import APIRouter, Request, Response

from gateway_service import timing
from gateway_service.openapi import PROBLEMS
from gateway_service.routers.deps import ClientsDep
from servicekit import errors

router = APIRouter(tags=["files"], responses=PROBLEMS)

MAX_BYTES = 256 * 1024 * 1024
# What a browser may show; it saves anything else. SVG is left out: it can hold scripts.
_SHOWN = {"image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/avif", "image/tiff"}


@router.head("/files/{bucket}/{key:path}", include_in_schema=False)
@router.get("/files/{bucket}/{key:path}", response_class=Response)
async def read_object(bucket: str, key: str, request: Request, clients: ClientsDep) -> Response:
    """The object."""
    try:
        with timing.spent("objects"):
            found = await clients.store.head(bucket, key)
    except errors.InvalidArgument as error:
        raise errors.NotFound("there is no such object", reason="OBJECT_NOT_FOUND") from error
    # A key is never written twice with other bytes, but may be deleted and, in theory, made again.
    tag = f'"{found.size:x}-{round(found.modified.timestamp() * 1e6):x}"'
    headers = {
        "ETag": tag,
        "Cache-Control": "private, no-cache",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        # Pages of other origins, such as the Studio's, show these pictures.
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Last-Modified": format_datetime(found.modified, usegmt=True),
    }
    if found.content_type not in _SHOWN:
        headers["Content-Disposition"] = "attachment"
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if request.method == "HEAD":
        headers["Content-Length"] = str(found.size)
        return Response(media_type=found.content_type, headers=headers)
    with timing.spent("objects"):
        content = (await clients.store.get(bucket, key, max_bytes=MAX_BYTES)).data
    return Response(content, media_type=found.content_type, headers=headers)
