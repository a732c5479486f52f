"""The exporter: workbooks, their runs, and the templates that they are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import grpc
from jewelry.exporter.v1 import exporter_pb2 as pb
from jewelry.exporter.v1 import exporter_pb2_grpc

from gateway_service.adapters.fields import encode_fields
from gateway_service.adapters.remote import Remote, adapter, enum_word
from gateway_service.model import (
    About,
    Issue,
    Order,
    Row,
    RunClosed,
    Seller,
    Template,
    TemplateColumn,
    Variation,
    Workbook,
)
from servicekit import errors

DESCRIPTOR = pb.DESCRIPTOR.services_by_name["ExporterService"]

# Seconds. Thousands of rows into a seller's template take a while.
EXPORT = 180.0
DESCRIBE = 15.0
CLOSE_RUN = 15.0
REGISTER = 60.0  # a seller's workbook of 20 MiB takes a while to read


class Exporter(Remote):
    """Client of the exporter service."""

    name = "exporter"

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__(channel)
        self._stub = exporter_pb2_grpc.ExporterServiceStub(channel)

    async def field_options(self, order: Order) -> Mapping[str, tuple[str, ...]]:
        """Allowed values by field of the seller's own template; empty for a built-in one, whose values are known."""
        request = pb.DescribeTemplateRequest(
            template_id=order.template_id, marketplace_code=order.code, website=order.website
        )
        try:
            answer = await self._ask(self._stub.DescribeTemplate, request, DESCRIBE)
        except errors.Unimplemented:
            if order.template_id:
                raise
            return {}
        if answer.template.built_in:
            return {}
        return {
            column.field: tuple(column.allowed_values)
            for column in answer.template.columns
            if column.field and column.allowed_values
        }

    async def export(self, order: Order, rows: Sequence[Row]) -> Workbook:
        """Writes the rows into one workbook and stores it."""
        request = pb.ExportRequest(
            marketplace_code=order.code,
            products=[_product(row) for row in rows],
            template_id=order.template_id,
            website=order.website,
            seller_values=_seller_values(order.seller),
            run_id=order.run_id,
        )
        answer = await self._ask(self._stub.Export, request, EXPORT)
        return Workbook(
            url=answer.url,
            run_id=answer.run_id,
            rows=answer.rows,
            template_id=answer.template_id,
            findings=tuple(_issue(finding) for finding in answer.findings),
            provenance_url=answer.provenance_url,
            dropped_fields=tuple(answer.dropped_fields),
        )

    async def close_run(self, code: str, website: str = "") -> RunClosed:
        """Closes the open run of a marketplace code; nothing is destroyed."""
        request = pb.CloseRunRequest(marketplace_code=code, website=website)
        answer = await self._ask(self._stub.CloseRun, request, CLOSE_RUN)
        return RunClosed(answer.closed_run_id, answer.run_id)

    async def register_template(self, code: str, content: bytes, name: str, website: str = "") -> Template:
        """Takes a seller's own workbook; gives what was understood of it."""
        request = pb.RegisterTemplateRequest(
            marketplace_code=code, content=content, original_name=name, website=website
        )
        return _template((await self._ask(self._stub.RegisterTemplate, request, REGISTER)).template)

    async def templates(self, code: str = "", website: str = "") -> tuple[Template, ...]:
        """Templates without their columns, newest first; empty arguments narrow nothing."""
        request = pb.ListTemplatesRequest(marketplace_code=code, website=website)
        answer = await self._ask(self._stub.ListTemplates, request, DESCRIBE)
        return tuple(_template(message) for message in answer.templates)

    async def template(self, template_id: str) -> Template:
        """One template with its columns."""
        request = pb.DescribeTemplateRequest(template_id=template_id)
        return _template((await self._ask(self._stub.DescribeTemplate, request, DESCRIBE)).template)

    async def about(self, timeout: float) -> About:
        """Where workbooks and templates are kept."""
        answer = await self._ask(self._stub.GetProviders, pb.GetProvidersRequest(), timeout)
        return About(tuple(adapter(message) for message in answer.adapters))


def _product(row: Row) -> pb.Product:
    return pb.Product(
        sku=row.sku,
        image_urls=row.image_urls,
        fields=encode_fields(row.fields),
        copy=pb.ListingCopy(title=row.title, bullet_points=row.bullet_points, description=row.description),
        variation=_variation(row.variation) if row.variation else None,
    )


def _variation(variation: Variation) -> pb.Variation:
    return pb.Variation(
        role=pb.VariationRole.Value(f"VARIATION_ROLE_{variation.role.upper()}"),
        parent_sku=variation.parent_sku,
        group_id=variation.parent_sku,
        theme=pb.VariationTheme.Value(f"VARIATION_THEME_{variation.theme.upper()}"),
        size=variation.size,
        color=variation.color,
    )


def _seller_values(seller: Seller) -> list[pb.SellerValue]:
    for_all = [pb.SellerValue(name=name, value=value) for name, value in seller.values.items()]
    for_one = [
        pb.SellerValue(name=name, value=value, sku=sku)
        for sku, values in seller.values_by_sku.items()
        for name, value in values.items()
    ]
    return for_all + for_one


def _issue(finding: pb.Finding) -> Issue:
    return Issue(
        message=finding.message,
        severity=enum_word(pb.Severity, finding.severity) or "info",
        field=finding.field,
        rule=finding.rule,
        cell=finding.cell,
        suggestion=finding.suggestion,
        sku=finding.sku,
    )


def _template(message: pb.Template) -> Template:
    created = message.create_time.ToJsonString() if message.HasField("create_time") else ""
    return Template(
        id=message.id,
        code=message.marketplace_code,
        version=message.version,
        built_in=message.built_in,
        original_name=message.original_name,
        sheet=message.sheet,
        data_row=message.data_row,
        created=created,
        columns=tuple(
            TemplateColumn(
                letters=column.letters,
                label=column.label,
                name=column.name,
                field=column.field,
                required=column.required,
                allowed_values=tuple(column.allowed_values),
                max_length=column.max_length,
            )
            for column in message.columns
        ),
        warnings=tuple(message.warnings),
    )
