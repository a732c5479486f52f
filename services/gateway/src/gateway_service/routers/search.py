"""POST /image-search and its alias: stored pictures near a picture, or for a text. Only reads."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError

from gateway_service.bodies import read_form
from gateway_service.model import SearchResult
from gateway_service.openapi import PROBLEMS, picture_body
from gateway_service.routers import present
from gateway_service.routers.deps import ClientsDep
from gateway_service.schemas.answers import PathMatch, SearchAnswer
from gateway_service.schemas.requests import SearchFields

router = APIRouter(tags=["pictures"], responses=PROBLEMS)

_BODY = picture_body(SearchFields, required=False, json_too=True)


@router.post("/image-search", openapi_extra=_BODY)
@router.post("/image_similarity_search", openapi_extra=_BODY)
async def image_search(request: Request, clients: ClientsDep) -> SearchAnswer:
    """Finds stored pictures near a file or the picture at an address, or, with a model that reads texts, for words."""
    form = await read_form(request, file_names=("file", "image"), json_too=True)
    fields = form.parse(SearchFields)
    website = clients.check_website(fields.website)
    if form.file is None and not fields.image_url and fields.text:
        found = await clients.vision_index.search_text(
            fields.text, top_k=fields.top_k, website=website, max_distance=fields.threshold
        )
        return _answer(found)
    if form.file is not None:
        content = form.require_file().content
    elif fields.image_url:
        content = (await clients.pictures.load(fields.image_url)).content
    else:
        missing = "send a picture as the field `file`, its address as `image_url`, or words as `text`"
        raise RequestValidationError([{"type": "missing", "loc": ("body", "image_url"), "msg": missing}])
    found = await clients.vision_index.search(
        content, top_k=fields.top_k, website=website, max_distance=fields.threshold
    )
    return _answer(found)


def _answer(found: SearchResult) -> SearchAnswer:
    matches = [present.match(one) for one in found.matches]
    return SearchAnswer(
        similar_images=matches,
        duplicate_found=found.duplicate_found,
        results=[PathMatch(**one.model_dump(), path=one.s3_url) for one in matches],
        model_id=found.model_id,
    )
