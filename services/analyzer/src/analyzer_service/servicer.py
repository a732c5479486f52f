"""The contract's side of the analyzer: decode the request, call the domain, encode the reply."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf import duration_pb2
from grpc.aio import ServicerContext
from jewelry.analyzer.v1 import analyzer_pb2 as pb
from jewelry.analyzer.v1 import analyzer_pb2_grpc
from jewelry.type.v1 import type_pb2

from analyzer_service.adapters.base import AdapterInfo, Task
from analyzer_service.analysis import Analysis, Analyzer, RawView
from analyzer_service.bills.model import Cell, Named, Row, Table
from analyzer_service.extras import Extras
from analyzer_service.fields import Settled, Source
from analyzer_service.keypool import GroupState
from analyzer_service.pricing import Cost
from analyzer_service.variations import Variation

Context = ServicerContext[Any, Any]

_SOURCES = {
    Source.IMAGE: type_pb2.VALUE_SOURCE_IMAGE,
    Source.RULE: type_pb2.VALUE_SOURCE_RULE,
}
_QUALITIES = {"A": pb.QUALITY_A, "B": pb.QUALITY_B, "C": pb.QUALITY_C}
_TASKS = {
    pb.EMBED_TASK_UNSPECIFIED: Task.DOCUMENT,
    pb.EMBED_TASK_DOCUMENT: Task.DOCUMENT,
    pb.EMBED_TASK_QUERY: Task.QUERY,
}


class AnalyzerServicer(analyzer_pb2_grpc.AnalyzerServiceServicer):
    """Serves the analyzer's contract."""

    def __init__(self, analyzer: Analyzer, extras: Extras) -> None:
        self._analyzer = analyzer
        self._extras = extras

    async def Analyze(self, request: pb.AnalyzeRequest, context: Context) -> pb.AnalyzeResponse:
        """Reads every vision field of a marketplace."""
        options = {entry.field: tuple(entry.options) for entry in request.field_options}
        analysis = await self._analyzer.analyze(
            _views(request.pictures), request.marketplace_code, options, request.seller_notes
        )
        return pb.AnalyzeResponse(
            fields=[_field(settled, analysis) for settled in analysis.fields],
            detected_category=analysis.category,
            warnings=analysis.warnings,
            adapter=_adapter(analysis.adapter),
            cost=_cost(analysis.cost),
        )

    async def Caption(self, request: pb.CaptionRequest, context: Context) -> pb.CaptionResponse:
        """Names and describes a product."""
        caption = await self._analyzer.caption(_views(request.pictures), request.product_type)
        draft = caption.draft
        return pb.CaptionResponse(
            name=draft.name,
            description=draft.description,
            attributes=draft.attributes,
            color=draft.color,
            quality=_QUALITIES[caption.grade],
            quality_reasons=caption.reasons,
            product_type=draft.product_type,
            warnings=caption.warnings,
            adapter=_adapter(caption.adapter),
            cost=_cost(draft.cost),
        )

    async def EmbedTexts(self, request: pb.EmbedTextsRequest, context: Context) -> pb.EmbedTextsResponse:
        """Embeds texts."""
        result = await self._analyzer.embed(request.texts, _TASKS.get(request.task, Task.DOCUMENT))
        return pb.EmbedTextsResponse(
            embeddings=[pb.TextEmbedding(values=vector.tolist()) for vector in result.vectors],
            model_id=result.model_id,
            adapter=_adapter(result.adapter),
            cost=_cost(result.cost),
        )

    async def MeasureDimensions(
        self, request: pb.MeasureDimensionsRequest, context: Context
    ) -> pb.MeasureDimensionsResponse:
        """Measures a product beside a ruler."""
        pictures = [picture.content for picture in request.pictures]
        sizes, info = await self._extras.dimensions.measure(pictures, request.product_type)
        return pb.MeasureDimensionsResponse(
            measurements=[
                pb.Measurement(name=item.name, millimetres=item.millimetres, error=item.error, evidence=item.evidence)
                for item in sizes.measurements
            ],
            warnings=sizes.warnings,
            adapter=_adapter(info),
            cost=_cost(sizes.cost),
        )

    async def ExtractTable(self, request: pb.ExtractTableRequest, context: Context) -> pb.ExtractTableResponse:
        """Reads a bill and tests its arithmetic."""
        read = await self._extras.bills.read(request.pages, request.prompt)
        return pb.ExtractTableResponse(
            table=_table(read.bill.table),
            fields=[_named(item) for item in read.bill.fields],
            extras=[_named(item) for item in read.bill.extras],
            checks=[
                pb.TableCheck(
                    rule=check.rule, row=check.row, passed=check.passed, unsure=check.unsure, detail=check.detail
                )
                for check in read.checks
            ],
            adapter=_adapter(read.adapter),
            cost=_cost(read.cost),
        )

    async def RefineTable(self, request: pb.RefineTableRequest, context: Context) -> pb.RefineTableResponse:
        """Chooses columns and rows of a table."""
        refined = await self._extras.bills.refine(
            _read_table(request.table), list(request.columns), request.refinement.strip()
        )
        return pb.RefineTableResponse(
            table=_table(refined.table),
            understood=refined.understood,
            adapter=_adapter(refined.adapter),
            cost=_cost(refined.cost),
        )

    async def GenerateVariations(
        self, request: pb.GenerateVariationsRequest, context: Context
    ) -> pb.GenerateVariationsResponse:
        """Makes and stores variations of a picture."""
        made, info, cost = await self._extras.variations.generate(
            [picture.content for picture in request.pictures],
            request.product_type,
            request.product_desc,
            request.style,
            request.count,
            request.website,
        )
        return pb.GenerateVariationsResponse(
            pictures=[_generated(item) for item in made], adapter=_adapter(info), cost=_cost(cost)
        )

    async def GetProviders(self, request: pb.GetProvidersRequest, context: Context) -> pb.GetProvidersResponse:
        """Tells which providers answer and how their quota stands."""
        (vision, texts), groups = await self._analyzer.providers()
        bills, variations = await self._extras.info()
        adapters = [vision, bills, texts, variations]
        return pb.GetProvidersResponse(
            adapters=[_adapter(info) for info in adapters], groups=[_group(state) for state in groups]
        )


def _views(pictures: Iterable[type_pb2.Picture]) -> list[RawView]:
    return [RawView(picture.content, picture.view) for picture in pictures]


def _field(settled: Settled, analysis: Analysis) -> type_pb2.FieldValue:
    return type_pb2.FieldValue(
        field=settled.field,
        values=settled.values,
        source=_SOURCES[settled.source] if settled.values else type_pb2.VALUE_SOURCE_UNSPECIFIED,
        confidence=settled.confidence if settled.values else 0.0,
        evidence=settled.evidence,
        model_id=analysis.model_id,
        prompt_version=analysis.prompt_version,
        suggestions=settled.suggestions,
        review_reason=settled.review_reason,
    )


def _adapter(info: AdapterInfo) -> type_pb2.Adapter:
    return type_pb2.Adapter(
        role=info.role,
        name=info.name,
        embedded=info.embedded,
        model_id=info.model_id,
        detail=info.detail,
        shutdown_date=info.shutdown_date,
    )


def _cost(cost: Cost) -> type_pb2.Cost:
    return type_pb2.Cost(
        calls=cost.calls,
        input_tokens=cost.input_tokens,
        output_tokens=cost.output_tokens,
        inr_micros=cost.inr_micros,
    )


def _group(state: GroupState) -> pb.QuotaGroup:
    group = pb.QuotaGroup(
        label=state.label, keys=state.keys, quarantined=state.quarantined, used=state.used, parked=state.parked
    )
    if state.wait > 0:
        group.wait.CopyFrom(duration_pb2.Duration(seconds=int(state.wait), nanos=int(state.wait % 1 * 1e9)))
    return group


def _table(table: Table) -> pb.Table:
    return pb.Table(
        columns=table.columns,
        rows=[pb.Row(cells=[_cell(cell) for cell in row.cells], page=row.page) for row in table.rows],
    )


def _cell(cell: Cell) -> pb.Cell:
    return pb.Cell(text=cell.text, number=cell.number, confidence=cell.confidence)


def _read_table(table: pb.Table) -> Table:
    rows = tuple(
        Row(
            tuple(
                Cell(cell.text, cell.number if cell.HasField("number") else None, cell.confidence) for cell in row.cells
            ),
            row.page,
        )
        for row in table.rows
    )
    return Table(tuple(table.columns), rows)


def _named(item: Named) -> pb.NamedValue:
    return pb.NamedValue(name=item.name, value=item.value, confidence=item.confidence)


def _generated(item: Variation) -> pb.GeneratedPicture:
    error = type_pb2.ItemError(reason=item.reason, message=item.message) if item.reason else None
    return pb.GeneratedPicture(prompt_index=item.prompt_index, url=item.url, error=error)
