"""The copywriter: title, bullet points, description; mock-up pictures."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from jewelry.copywriter.v1 import copywriter_pb2 as pb
from jewelry.copywriter.v1 import copywriter_pb2_grpc

from gateway_service.adapters.fields import encode_fields, encode_pictures
from gateway_service.adapters.remote import Remote, adapter, cost, enum_word
from gateway_service.model import About, Analysis, MadePicture, MadePictures, Picture, ProductTask, WrittenCopy

DESCRIPTOR = pb.DESCRIPTOR.services_by_name["CopywriterService"]

# Seconds. A text that breaks a rule may be written a second time.
WRITE_COPY = 120.0
GENERATE_IMAGES = 310.0  # the copywriter's own bound is 300 s


class Copywriter(Remote):
    """Client of the copywriter service."""

    name = "copywriter"

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__(channel)
        self._stub = copywriter_pb2_grpc.CopywriterServiceStub(channel)

    async def write_copy(self, task: ProductTask, analysis: Analysis, pictures: Sequence[Picture]) -> WrittenCopy:
        """The copy of a product, new or from the cache."""
        request = pb.WriteCopyRequest(
            pictures=encode_pictures(pictures),
            attributes=encode_fields(analysis.fields),
            sku=task.sku,
            marketplace_code=task.code,
            language=task.language,
            brand_voice=task.brand_voice,
            brand=task.brand,
            seller_claims=task.claims,
        )
        answer = await self._ask(self._stub.WriteCopy, request, WRITE_COPY)
        return WrittenCopy(
            title=answer.copy.title,
            bullet_points=tuple(answer.copy.bullet_points),
            description=answer.copy.description,
            origin=enum_word(pb.CopyOrigin, answer.copy.origin),
            cached=answer.cached,
            warnings=tuple(f"{finding.part}: {finding.message}" for finding in answer.findings if not finding.mended),
            adapter=adapter(answer.adapter),
            cost=cost(answer.cost),
        )

    async def generate_images(
        self, pictures: Sequence[Picture], *, product_type: str, product_desc: str, style: str, count: int, website: str
    ) -> MadePictures:
        """Mock-ups of the product; `product_type` is ear, nec or bra, `count` 0 asks for the whole style set."""
        request = pb.GenerateImagesRequest(
            pictures=encode_pictures(pictures),
            product_type=product_type,
            product_desc=product_desc,
            style=style,
            prompt_indexes=range(count),
            website=website,
        )
        answer = await self._ask(self._stub.GenerateImages, request, GENERATE_IMAGES)
        made = tuple(
            MadePicture(
                prompt_index=one.prompt_index,
                url=one.url,
                portrait_url=one.portrait_url,
                error=one.error.message,
                error_code=one.error.reason,
                suspect_reason=(one.suspect_reason or "it seems to show another product") if one.suspect else "",
            )
            for one in answer.images
        )
        return MadePictures(made, answer.zip_url, adapter(answer.adapter), cost(answer.cost))

    async def about(self, timeout: float) -> About:
        """Who answers, and the model that writes."""
        answer = await self._ask(self._stub.GetProviders, pb.GetProvidersRequest(), timeout)
        adapters = tuple(adapter(message) for message in answer.adapters)
        return About(adapters, next((one.model_id for one in adapters if one.role == "copy"), ""))
