"""gRPC face of the exporter: decodes requests, calls the domain, encodes replies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, overload

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from jewelry.exporter.v1 import exporter_pb2 as pb
from jewelry.exporter.v1 import exporter_pb2_grpc
from jewelry.type.v1 import type_pb2

from exporter_service.exporting import Exporter, Order
from exporter_service.model import (
    Copy,
    Finding,
    Format,
    Product,
    Role,
    SellerValue,
    Severity,
    Source,
    Template,
    Value,
    Variation,
)

SOURCES = {
    type_pb2.VALUE_SOURCE_UNSPECIFIED: Source.IMAGE,
    type_pb2.VALUE_SOURCE_IMAGE: Source.IMAGE,
    type_pb2.VALUE_SOURCE_RULE: Source.RULE,
    type_pb2.VALUE_SOURCE_CONSTANT: Source.CONSTANT,
    type_pb2.VALUE_SOURCE_PERSON: Source.PERSON,
    type_pb2.VALUE_SOURCE_COPY: Source.COPY,
    type_pb2.VALUE_SOURCE_SELLER: Source.SELLER,
}
ROLES = {pb.VARIATION_ROLE_PARENT: Role.PARENT, pb.VARIATION_ROLE_CHILD: Role.CHILD}
THEMES = {
    pb.VARIATION_THEME_COLOR: "color",
    pb.VARIATION_THEME_SIZE: "size",
    pb.VARIATION_THEME_COLOR_SIZE: "color_size",
}
FORMATS = {
    pb.WORKBOOK_FORMAT_XLSX: Format.XLSX,
    pb.WORKBOOK_FORMAT_TSV: Format.TSV,
    pb.WORKBOOK_FORMAT_CSV: Format.CSV,
}
SEVERITIES = {
    Severity.ERROR: pb.SEVERITY_ERROR,
    Severity.WARNING: pb.SEVERITY_WARNING,
    Severity.INFO: pb.SEVERITY_INFO,
}


class ExporterServicer(exporter_pb2_grpc.ExporterServiceServicer):
    """Serves the exporter."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter

    async def Export(self, request: pb.ExportRequest, context: grpc.aio.ServicerContext[Any, Any]) -> pb.ExportResponse:
        """See the contract."""
        done = await self._exporter.export(
            Order(
                code=request.marketplace_code,
                products=_Products(request.products),
                template_id=request.template_id,
                website=request.website,
                seller_values=_seller_values(request.seller_values),
                run_id=request.run_id,
                format=FORMATS.get(request.format, Format.OWN),
                review_copy=request.review_copy,
            )
        )
        return pb.ExportResponse(
            url=done.url,
            run_id=done.run_id,
            rows=done.rows,
            findings=[_finding(finding) for finding in done.findings],
            review_url=done.review_url,
            provenance_url=done.provenance_url,
            template_id=done.template_id,
            dropped_fields=done.dropped_fields,
        )

    async def ValidateRows(
        self, request: pb.ValidateRowsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ValidateRowsResponse:
        """See the contract."""
        findings = await self._exporter.validate(
            Order(
                code=request.marketplace_code,
                products=_Products(request.products),
                template_id=request.template_id,
                website=request.website,
                seller_values=_seller_values(request.seller_values),
            )
        )
        return pb.ValidateRowsResponse(findings=[_finding(finding) for finding in findings])

    async def RegisterTemplate(
        self, request: pb.RegisterTemplateRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.RegisterTemplateResponse:
        """See the contract."""
        template = await self._exporter.templates.register(
            request.marketplace_code, request.content, request.original_name, request.website
        )
        return pb.RegisterTemplateResponse(template=_template(template, columns=True))

    async def ListTemplates(
        self, request: pb.ListTemplatesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListTemplatesResponse:
        """See the contract."""
        templates = await self._exporter.templates.list(request.marketplace_code, request.website)
        return pb.ListTemplatesResponse(templates=[_template(template, columns=False) for template in templates])

    async def DescribeTemplate(
        self, request: pb.DescribeTemplateRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.DescribeTemplateResponse:
        """See the contract."""
        template = await self._exporter.templates.choose(request.marketplace_code, request.template_id, request.website)
        return pb.DescribeTemplateResponse(template=_template(template, columns=True))

    async def StartRun(
        self, request: pb.StartRunRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.StartRunResponse:
        """See the contract."""
        run = await self._exporter.start_run(request.marketplace_code, request.website, request.template_id)
        return pb.StartRunResponse(run_id=run.id)

    async def CloseRun(
        self, request: pb.CloseRunRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.CloseRunResponse:
        """See the contract."""
        closed, new = await self._exporter.close_run(request.run_id, request.marketplace_code, request.website)
        return pb.CloseRunResponse(closed_run_id=closed, run_id=new.id)

    async def GetProviders(
        self, request: pb.GetProvidersRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.GetProvidersResponse:
        """See the contract."""
        store = self._exporter.store
        adapter = type_pb2.Adapter(role="objects", name=store.name, embedded=store.embedded)
        return pb.GetProvidersResponse(adapters=[adapter])


class _Products(Sequence[Product]):
    """The products of a request, each decoded when it is its turn: thousands of them are never there at once."""

    def __init__(self, messages: Sequence[pb.Product]) -> None:
        self._messages = messages

    def __len__(self) -> int:
        return len(self._messages)

    @overload
    def __getitem__(self, place: int) -> Product: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Product]: ...

    def __getitem__(self, place: int | slice) -> Product | Sequence[Product]:
        if isinstance(place, slice):
            return _Products(self._messages[place])
        return _product(self._messages[place])


def _product(product: pb.Product) -> Product:
    family = product.variation
    return Product(
        sku=product.sku,
        image_urls=tuple(product.image_urls),
        fields=tuple(_value(value) for value in product.fields),
        copy=Copy(product.copy.title, tuple(product.copy.bullet_points), product.copy.description),
        variation=Variation(
            ROLES.get(family.role, Role.ALONE),
            family.parent_sku,
            THEMES.get(family.theme, ""),
            family.group_id,
            family.size,
            family.color,
        ),
    )


def _value(value: type_pb2.FieldValue) -> Value:
    return Value(
        field=value.field,
        values=tuple(value.values),
        source=SOURCES.get(value.source, Source.IMAGE),
        confidence=value.confidence,
        evidence=value.evidence,
        model_id=value.model_id,
        prompt_version=value.prompt_version,
        suggestions=tuple(value.suggestions),
    )


def _seller_values(values: Iterable[pb.SellerValue]) -> list[SellerValue]:
    return [SellerValue(value.name, value.value, value.sku) for value in values]


def _finding(finding: Finding) -> pb.Finding:
    return pb.Finding(
        sku=finding.sku,
        row=finding.row,
        field=finding.field,
        cell=finding.cell,
        rule=finding.rule,
        severity=SEVERITIES[finding.severity],
        message=finding.message,
        suggestion=finding.suggestion,
    )


def _template(template: Template, columns: bool) -> pb.Template:
    created = Timestamp()
    created.FromDatetime(template.created)
    return pb.Template(
        id=template.id,
        marketplace_code=template.code,
        version=template.version,
        built_in=template.built_in,
        original_name=template.original_name,
        sheet=template.sheet,
        data_row=template.data_row,
        create_time=created,
        columns=[
            pb.Column(
                letters=column.letters,
                label=column.label,
                name=column.name,
                field=column.field,
                required=column.required,
                allowed_values=column.allowed_values,
                max_length=column.max_length,
            )
            for column in (template.columns if columns else ())
        ],
        warnings=template.warnings,
    )
