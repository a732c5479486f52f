"""The analyzer: fields, captions and variations from pictures, tables from bills."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from jewelry.analyzer.v1 import analyzer_pb2 as pb
from jewelry.analyzer.v1 import analyzer_pb2_grpc

from gateway_service.adapters.fields import decode_fields, encode_pictures
from gateway_service.adapters.remote import Remote, adapter, cost, enum_word
from gateway_service.model import About, Analysis, Caption, MadePicture, MadePictures, Picture, ProductTask
from gateway_service.overview import KeyGroup
from gateway_service.tables import Bill, Cell, Check, NamedValue, Refined, Table

DESCRIPTOR = pb.DESCRIPTOR.services_by_name["AnalyzerService"]

# Seconds. A call may wait for a quota group to come free, then for several parts of a split schema.
ANALYZE = 120.0
CAPTION = 90.0
EXTRACT_TABLE = 180.0  # several pages, each of them read and checked
REFINE_TABLE = 90.0
VARIATIONS = 300.0


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

    async def extract_table(self, pages: Sequence[bytes], prompt: str) -> Bill:
        """What a bill holds; `pages` are pictures, or one PDF."""
        request = pb.ExtractTableRequest(pages=pages, prompt=prompt)
        answer = await self._ask(self._stub.ExtractTable, request, EXTRACT_TABLE)
        return Bill(
            table=_table(answer.table),
            fields=tuple(_named(one) for one in answer.fields),
            extras=tuple(_named(one) for one in answer.extras),
            checks=tuple(Check(one.rule, one.row, one.passed, one.unsure, one.detail) for one in answer.checks),
            adapter=adapter(answer.adapter),
            cost=cost(answer.cost),
        )

    async def refine_table(self, table: Table, columns: Sequence[str], refinement: str) -> Refined:
        """Some rows and columns of the table, chosen by plain conditions or words."""
        request = pb.RefineTableRequest(table=_encode_table(table), columns=columns, refinement=refinement)
        answer = await self._ask(self._stub.RefineTable, request, REFINE_TABLE)
        return Refined(_table(answer.table), answer.understood, adapter(answer.adapter), cost(answer.cost))

    async def generate_variations(
        self, pictures: Sequence[Picture], *, product_type: str, product_desc: str, style: str, count: int, website: str
    ) -> MadePictures:
        """Pictures of the same product in other scenes; `product_type` is ear, nec or bra."""
        request = pb.GenerateVariationsRequest(
            pictures=encode_pictures(pictures),
            product_type=product_type,
            product_desc=product_desc,
            style=style,
            count=count,
            website=website,
        )
        answer = await self._ask(self._stub.GenerateVariations, request, VARIATIONS)
        made = tuple(
            MadePicture(one.prompt_index, one.url, error=one.error.message, error_code=one.error.reason)
            for one in answer.pictures
        )
        return MadePictures(made, "", adapter(answer.adapter), cost(answer.cost))

    async def key_pool(self, timeout: float) -> tuple[KeyGroup, ...]:
        """State of the groups of keys; empty without keys."""
        answer = await self._ask(self._stub.GetProviders, pb.GetProvidersRequest(), timeout)
        return tuple(
            KeyGroup(
                label=group.label,
                keys=group.keys,
                refused=group.quarantined,
                used=group.used,
                parked=group.parked,
                wait=group.wait.ToTimedelta().total_seconds() if group.HasField("wait") else 0.0,
            )
            for group in answer.groups
        )

    async def about(self, timeout: float) -> About:
        """Who answers, and the model that reads pictures."""
        answer = await self._ask(self._stub.GetProviders, pb.GetProvidersRequest(), timeout)
        adapters = tuple(adapter(message) for message in answer.adapters)
        parked = sum(group.parked for group in answer.groups)
        detail = f"{parked} of {len(answer.groups)} quota groups parked" if parked else ""
        return About(adapters, next((one.model_id for one in adapters if one.role == "vision"), ""), detail)


def _table(message: pb.Table) -> Table:
    rows = tuple(
        tuple(
            Cell(cell.text, cell.number if cell.HasField("number") else None, round(cell.confidence, 4))
            for cell in row.cells
        )
        for row in message.rows
    )
    return Table(tuple(message.columns), rows)


def _encode_table(table: Table) -> pb.Table:
    rows = [
        pb.Row(cells=[pb.Cell(text=cell.text, number=cell.number, confidence=cell.confidence) for cell in cells])
        for cells in table.rows
    ]
    return pb.Table(columns=table.columns, rows=rows)


def _named(message: pb.NamedValue) -> NamedValue:
    return NamedValue(message.name, message.value, round(message.confidence, 4))
