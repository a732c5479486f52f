"""The semantic service: collections found by meaning."""

from __future__ import annotations

import asyncio

import grpc
from jewelry.semantic.v1 import semantic_pb2 as pb
from jewelry.semantic.v1 import semantic_pb2_grpc

from gateway_service.adapters.remote import Remote, adapter
from gateway_service.model import About, Chosen, Collection, Wish
from gateway_service.overview import WishCounts

DESCRIPTOR = pb.DESCRIPTOR.services_by_name["SemanticService"]

# Seconds. A model may write the title.
FILTER = 60.0
COUNT = 10.0

# A colour that no product carries.
_NO_COLOR = "nosuchcolour"


class Semantic(Remote):
    """Client of the semantic service."""

    name = "semantic"

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__(channel)
        self._stub = semantic_pb2_grpc.SemanticServiceStub(channel)

    async def filter(self, wish: Wish) -> Collection:
        """Products for a collection, best first."""
        request = _filters(wish)
        request.color = wish.color
        request.target_audience = wish.target_audience
        request.collection_size = wish.collection_size
        request.manual_prompt = wish.manual_prompt
        request.category_description.extend(wish.category_description)
        request.pinned_ids.extend(wish.pinned_ids)
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

    async def count(self, wish: Wish) -> WishCounts:
        """How many products pass the filters of a wish.

        Asks for a colour that no product has, taken strictly: nothing is found, so nothing is ranked or named, and
        what that filter alone removes is what passes all others.
        """
        request = _filters(wish)
        request.color, request.color_strictness = _NO_COLOR, pb.STRICTNESS_HARD
        answer, status = await asyncio.gather(
            self._ask(self._stub.Filter, request, COUNT), self._ask(self._stub.GetStatus, pb.GetStatusRequest(), COUNT)
        )
        removed = {count.filter: count.removed for count in answer.counts}
        return WishCounts(passing=removed.get("color", 0), products=status.products, stale=answer.stale)

    async def about(self, timeout: float) -> About:
        """Its stores, its model, its products."""
        answer = await self._ask(self._stub.GetStatus, pb.GetStatusRequest(), timeout)
        detail = f"{answer.products} products"
        if answer.last_error:
            detail += f"; the last sync failed: {answer.last_error}"
        return About(tuple(adapter(message) for message in answer.adapters), answer.model_id, detail)


def _filters(wish: Wish) -> pb.FilterRequest:
    """The part of a wish that leaves products out."""
    return pb.FilterRequest(
        category=wish.category,
        min_price=wish.min_price,
        max_price=wish.max_price,
        start_date=wish.start_date,
        end_date=wish.end_date,
        hidden_ids=wish.hidden_ids,
        in_stock=wish.in_stock,
    )


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
