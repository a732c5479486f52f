"""The semantic service: collections found by meaning."""

from __future__ import annotations

import grpc
from jewelry.semantic.v1 import semantic_pb2 as pb
from jewelry.semantic.v1 import semantic_pb2_grpc

from gateway_service.adapters.remote import Remote, adapter
from gateway_service.model import About, Chosen, Collection, Wish

DESCRIPTOR = pb.DESCRIPTOR.services_by_name["SemanticService"]

# Seconds. A model may write the title.
FILTER = 60.0


class Semantic(Remote):
    """Client of the semantic service."""

    name = "semantic"

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__(channel)
        self._stub = semantic_pb2_grpc.SemanticServiceStub(channel)

    async def filter(self, wish: Wish) -> Collection:
        """Products for a collection, best first."""
        request = pb.FilterRequest(
            color=wish.color,
            category=wish.category,
            target_audience=wish.target_audience,
            min_price=wish.min_price,
            max_price=wish.max_price,
            start_date=wish.start_date,
            end_date=wish.end_date,
            collection_size=wish.collection_size,
            manual_prompt=wish.manual_prompt,
            category_description=wish.category_description,
            pinned_ids=wish.pinned_ids,
            hidden_ids=wish.hidden_ids,
            in_stock=wish.in_stock,
        )
        answer = await self._ask(self._stub.Filter, request, FILTER)
        return Collection(
            matches=tuple(_chosen(match) for match in answer.matches),
            title=answer.collection_title,
            description=answer.collection_description,
            removed_by={count.filter: count.removed for count in answer.counts},
            relaxation=answer.relaxation,
            adapters=tuple(adapter(message) for message in answer.adapters),
            stale=answer.stale,
        )

    async def about(self, timeout: float) -> About:
        """Its stores, its model, its products."""
        answer = await self._ask(self._stub.GetStatus, pb.GetStatusRequest(), timeout)
        detail = f"{answer.products} products"
        if answer.last_error:
            detail += f"; the last sync failed: {answer.last_error}"
        return About(tuple(adapter(message) for message in answer.adapters), answer.model_id, detail)


def _chosen(message: pb.FilterMatch) -> Chosen:
    return Chosen(
        id=message.id,
        score=message.score,
        similarity=message.similarity,
        style=message.style,
        words=tuple(message.words),
        why=message.why,
        pinned=message.pinned,
    )
