"""The analyzer: fields and captions from pictures."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from jewelry.analyzer.v1 import analyzer_pb2 as pb
from jewelry.analyzer.v1 import analyzer_pb2_grpc

from gateway_service.adapters.fields import decode_fields, encode_pictures
from gateway_service.adapters.remote import Remote, adapter, cost, enum_word
from gateway_service.model import About, Analysis, Caption, Picture, ProductTask

DESCRIPTOR = pb.DESCRIPTOR.services_by_name["AnalyzerService"]

# Seconds. A call may wait for a quota group to come free, then for several parts of a split schema.
ANALYZE = 120.0
CAPTION = 90.0


class Analyzer(Remote):
    """Client of the analyzer service."""

    name = "analyzer"

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__(channel)
        self._stub = analyzer_pb2_grpc.AnalyzerServiceStub(channel)

    async def analyze(self, task: ProductTask, pictures: Sequence[Picture]) -> Analysis:
        """Every vision field of the marketplace code, empty ones included."""
        request = pb.AnalyzeRequest(
            pictures=encode_pictures(pictures),
            marketplace_code=task.code,
            field_options=[
                pb.FieldOptions(field=field, options=options) for field, options in task.field_options.items()
            ],
            seller_notes=task.notes,
            sku=task.sku,
        )
        answer = await self._ask(self._stub.Analyze, request, ANALYZE)
        return Analysis(
            fields=decode_fields(answer.fields),
            detected_category=answer.detected_category,
            warnings=tuple(answer.warnings),
            adapter=adapter(answer.adapter),
            cost=cost(answer.cost),
        )

    async def caption(self, pictures: Sequence[Picture], product_type: str) -> Caption:
        """Name and description; `product_type` is empty where it is to be found out."""
        request = pb.CaptionRequest(pictures=encode_pictures(pictures), product_type=product_type)
        answer = await self._ask(self._stub.Caption, request, CAPTION)
        return Caption(
            name=answer.name,
            description=answer.description,
            attributes=tuple(answer.attributes),
            color=answer.color,
            quality=enum_word(pb.Quality, answer.quality).upper(),
            quality_reasons=tuple(answer.quality_reasons),
            product_type=answer.product_type,
            warnings=tuple(answer.warnings),
            adapter=adapter(answer.adapter),
            cost=cost(answer.cost),
        )

    async def about(self, timeout: float) -> About:
        """Who answers, and the model that reads pictures."""
        answer = await self._ask(self._stub.GetProviders, pb.GetProvidersRequest(), timeout)
        adapters = tuple(adapter(message) for message in answer.adapters)
        parked = sum(group.parked for group in answer.groups)
        detail = f"{parked} of {len(answer.groups)} quota groups parked" if parked else ""
        return About(adapters, next((one.model_id for one in adapters if one.role == "vision"), ""), detail)
