"""POST /generate-images: other pictures of a product."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from gateway_service import mockups
from gateway_service.bodies import require_json
from gateway_service.model import MadePicture
from gateway_service.openapi import PROBLEMS
from gateway_service.orders import split_addresses
from gateway_service.routers import present
from gateway_service.routers.deps import ClientsDep
from gateway_service.schemas.answers import CostOut
from gateway_service.schemas.mockups import GenerateImagesAnswer, GenerateImagesRequest, MadeOut

router = APIRouter(tags=["pictures"], responses=PROBLEMS, dependencies=[Depends(require_json)])

# Variations of a request that does not say how many.
VARIATIONS = 4


@router.post("/generate-images", response_model_exclude_none=True)
async def generate_images(body: GenerateImagesRequest, clients: ClientsDep) -> GenerateImagesAnswer:
    """Makes mock-ups (openai) or variations (gemini) of a product; its own pictures are never changed.

    The addresses are views of one product. A picture that fails says why and leaves the others alone.
    """
    website = clients.check_website(body.website)
    urls = [url for url in split_addresses(body.s3_urls) if url]
    pictures = await mockups.sources(clients.pictures, urls)
    generate = clients.analyzer.generate_variations if body.provider == "gemini" else clients.copywriter.generate_images
    made = await generate(
        pictures,
        product_type=body.product_type,
        product_desc=body.product_desc,
        style=body.type,
        count=body.count or (VARIATIONS if body.provider == "gemini" else 0),
        website=website,
    )
    zip_url = await mockups.packed(clients.store, made, website)
    return GenerateImagesAnswer(
        original_image_url=urls[0],
        original_image_urls=urls,
        image_urls=[picture.url for picture in made.pictures if picture.url],
        gen_images=[_made(picture) for picture in made.pictures],
        zip=zip_url,
        zip_url=zip_url,
        provenance=present.provenance([made.adapter]),
        adapters=present.adapters([made.adapter]),
        cost=CostOut.model_validate(made.cost),
    )


def _made(picture: MadePicture) -> MadeOut:
    return MadeOut(
        prompt_index=picture.prompt_index,
        image_url=picture.url,
        portrait_url=picture.portrait_url,
        status=picture.status,
        error=picture.error or None,
        code=picture.error_code or None,
        warning=picture.suspect_reason or None,
    )
