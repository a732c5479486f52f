"""The picture index: verdicts, uploads, search, deletion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import grpc
from jewelry.vision_index.v1 import vision_index_pb2 as pb
from jewelry.vision_index.v1 import vision_index_pb2_grpc

from gateway_service.adapters.remote import Remote, adapter, enum_word
from gateway_service.model import About, Decision, Deletion, Match, SearchResult, Upload
from gateway_service.overview import Rates, Thresholds
from servicekit import errors

DESCRIPTOR = pb.DESCRIPTOR.services_by_name["VisionIndexService"]

# Seconds. An upload may find the embedder at the end of a queue.
STATS = MARK = 10.0
UPLOAD = 30.0
SEARCH = 20.0
DELETE = 60.0


class VisionIndex(Remote):
    """Client of the vision-index service."""

    name = "vision-index"

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__(channel)
        self._stub = vision_index_pb2_grpc.VisionIndexServiceStub(channel)

    async def upload(
        self,
        content: bytes,
        *,
        website: str = "",
        original_name: str = "",
        skip_duplicate_check: bool = False,
        duplicate_distance: float | None = None,
        sku: str = "",
    ) -> Upload:
        """Stores the picture unless it is known; safe to repeat."""
        request = pb.UploadAndIndexRequest(
            image=content,
            website=website,
            original_name=original_name,
            skip_duplicate_check=skip_duplicate_check,
            duplicate_distance=duplicate_distance,
            sku=sku,
        )
        answer = await self._ask(self._stub.UploadAndIndex, request, UPLOAD)
        return Upload(answer.indexed, answer.id, answer.url, _decision(answer.decision))

    async def search(
        self, content: bytes, *, top_k: int = 10, website: str = "", max_distance: float | None = None
    ) -> SearchResult:
        """Stored pictures near this one, nearest first; `max_distance` is squared L2."""
        request = pb.SearchRequest(image=content, top_k=top_k, website=website, max_distance=max_distance)
        return await self._search(request)

    async def search_text(
        self, text: str, *, top_k: int = 10, website: str = "", max_distance: float | None = None
    ) -> SearchResult:
        """Stored pictures that fit a text, best cosine first.

        Raises:
            errors.FailedPrecondition: The model in use reads no texts.
        """
        request = pb.SearchRequest(text=text, top_k=top_k, website=website, max_distance=max_distance)
        try:
            return await self._search(request)
        except errors.Unimplemented as error:
            if error.reason != "TEXT_SEARCH_UNSUPPORTED":
                raise
            raise errors.FailedPrecondition(error.message, reason=error.reason) from error

    async def _search(self, request: pb.SearchRequest) -> SearchResult:
        answer = await self._ask(self._stub.Search, request, SEARCH)
        return SearchResult(_matches(answer.matches), answer.duplicate_found, answer.model_id)

    async def mark_distinct(self, url: str, other_url: str, *, said_by: str, revoke: bool = False) -> None:
        """Remembers, or forgets, that two stored pictures show different products."""
        request = pb.MarkDistinctRequest(first=url, second=other_url, said_by=said_by, revoke=revoke)
        await self._ask(self._stub.MarkDistinct, request, MARK)

    async def thresholds(self) -> Thresholds:
        """The distances in use, and their error rates where they were measured."""
        answer = await self._ask(self._stub.GetStats, pb.GetStatsRequest(), STATS)
        return Thresholds(
            model_id=answer.model_id,
            duplicate_distance=answer.duplicate_distance,
            similar_distance=answer.similar_distance,
            pictures={bucket.website: bucket.rows for bucket in answer.buckets},
            calibration=tuple(
                Rates(
                    one.threshold,
                    one.duplicate_match,
                    one.duplicate_miss,
                    one.duplicate_miss_all,
                    one.similar_match,
                    one.similar_miss,
                )
                for one in answer.rates
            ),
            pairs=answer.rated_pairs,
        )

    async def delete(self, urls: Sequence[str], *, dry_run: bool = False) -> tuple[Deletion, ...]:
        """Deletes stored pictures by address; a result per address, in order."""
        answer = await self._ask(self._stub.Delete, pb.DeleteRequest(urls=urls, dry_run=dry_run), DELETE)
        return tuple(
            Deletion(result.url, enum_word(pb.DeleteStatus, result.status) or "failed", result.detail)
            for result in answer.results
        )

    async def about(self, timeout: float) -> About:
        """Its stores, its model, its pictures."""
        answer = await self._ask(self._stub.GetStats, pb.GetStatsRequest(), timeout)
        rows = ", ".join(f"{bucket.website}: {bucket.rows} pictures" for bucket in answer.buckets)
        return About(tuple(adapter(message) for message in answer.adapters), answer.model_id, rows)


def _decision(message: pb.Decision) -> Decision:
    return Decision(
        verdict=enum_word(pb.Verdict, message.verdict),
        reason=enum_word(pb.Reason, message.reason),
        match=_match(message.match) if message.HasField("match") else None,
        matches=_matches(message.matches),
        explanation=message.explanation,
        model_id=message.model_id,
        elsewhere=_matches(message.elsewhere),
    )


def _matches(messages: Iterable[pb.Match]) -> tuple[Match, ...]:
    return tuple(_match(message) for message in messages)


def _match(message: pb.Match) -> Match:
    return Match(
        id=message.id,
        url=message.url,
        website=message.website,
        distance=message.distance,
        cosine=message.cosine,
        verdict=enum_word(pb.Verdict, message.verdict),
        reason=enum_word(pb.Reason, message.reason),
        band=enum_word(pb.Band, message.band),
        hash_distance=message.hash_distance,
        original_name=message.original_name,
        created=message.create_time.ToJsonString() if message.HasField("create_time") else "",
    )
