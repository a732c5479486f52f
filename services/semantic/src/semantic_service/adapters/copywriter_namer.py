"""Titles and descriptions from the copywriter's WriteCollection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import grpc
from jewelry.copywriter.v1 import copywriter_pb2, copywriter_pb2_grpc
from jewelry.type.v1 import type_pb2

from semantic_service.naming import ROLE, Texts
from semantic_service.ports import AdapterInfo, StoredProduct
from servicekit import client

# The contract's bounds; what is longer says no more.
_MAX_WISH, _MAX_NAME, _MAX_VALUE = 2_000, 200, 400


class CopywriterNamer:
    """Asks the copywriter, which owns the model, the words that may not be said, and what they cost.

    Args:
        channel: To the copywriter.
        seconds: Deadline of a call.
    """

    def __init__(self, channel: grpc.aio.Channel, *, seconds: float) -> None:
        self._stub = copywriter_pb2_grpc.CopywriterServiceStub(channel)
        self._seconds = seconds

    async def name(self, wish: str, products: Sequence[StoredProduct]) -> Texts:
        """Title and description; raises errors.ServiceError, with COPY_NEEDS_MODEL where there is no model."""
        request = copywriter_pb2.WriteCollectionRequest(
            wish=wish[:_MAX_WISH],
            products=[
                copywriter_pb2.CollectionProduct(name=item.product.title[:_MAX_NAME], attributes=_facts(item))
                for item in products
            ],
        )
        answer = await client.call(self._stub.WriteCollection, request, timeout=self._seconds)
        told = answer.adapter
        adapter = AdapterInfo(ROLE, told.name, told.embedded, told.model_id, told.detail, told.shutdown_date)
        return Texts(answer.title, answer.description, adapter)


def _facts(item: StoredProduct) -> Iterator[type_pb2.FieldValue]:
    product = item.product
    kept = {
        "kind": product.kind or product.category,
        "color": product.color,
        "audience": product.audience,
        "details": ", ".join(product.details),
    }
    for name, value in kept.items():
        if value:
            yield type_pb2.FieldValue(field=name, values=[value[:_MAX_VALUE]])
