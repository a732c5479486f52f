"""The RPCs: decode the request, call the domain, encode the reply."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from jewelry.type.v1 import type_pb2
from jewelry.vision_index.v1 import vision_index_pb2 as pb
from jewelry.vision_index.v1 import vision_index_pb2_grpc

from objectstore import ObjectStore
from servicekit import errors
from vision_index_service.curate import Deleted
from vision_index_service.index import Index
from vision_index_service.ingest import Upload
from vision_index_service.model import Band, Decision, Match, Reason, VectorStore, Verdict
from vision_index_service.progress import Problem, ProblemKind, Report
from vision_index_service.repair import MEND, MEND_AND_DELETE, REPORT
from vision_index_service.search import Window

_MAX_NAME = 255  # characters; a longer file name is cut, it is for people only
_MAX_SKU = 128
_MAX_ADDRESS = 4096
_MAX_TEXT = 2000

_VERDICTS = {
    Verdict.EXACT: pb.VERDICT_EXACT,
    Verdict.DUPLICATE: pb.VERDICT_DUPLICATE,
    Verdict.SIMILAR: pb.VERDICT_SIMILAR,
    Verdict.NEW: pb.VERDICT_NEW,
}
_REASONS = {
    Reason.NONE: pb.REASON_UNSPECIFIED,
    Reason.SAME_BYTES: pb.REASON_SAME_BYTES,
    Reason.SAME_PIXELS: pb.REASON_SAME_PIXELS,
    Reason.SAME_PHOTO: pb.REASON_SAME_PHOTO,
    Reason.MIRRORED_PHOTO: pb.REASON_MIRRORED_PHOTO,
    Reason.DISTANCE: pb.REASON_DISTANCE,
}
_BANDS = {
    Band.DUPLICATE: pb.BAND_DUPLICATE,
    Band.SIMILAR: pb.BAND_SIMILAR,
    Band.DIFFERENT: pb.BAND_DIFFERENT,
    Band.UNRELATED: pb.BAND_UNRELATED,
}
_DELETED = {
    Deleted.DELETED: pb.DELETE_STATUS_DELETED,
    Deleted.NOT_FOUND: pb.DELETE_STATUS_NOT_FOUND,
    Deleted.REFUSED: pb.DELETE_STATUS_REFUSED,
    Deleted.FAILED: pb.DELETE_STATUS_FAILED,
}
_PROBLEMS = {
    ProblemKind.OBJECT_WITHOUT_ROW: pb.PROBLEM_KIND_OBJECT_WITHOUT_ROW,
    ProblemKind.ROW_WITHOUT_OBJECT: pb.PROBLEM_KIND_ROW_WITHOUT_OBJECT,
    ProblemKind.WRONG_URL: pb.PROBLEM_KIND_WRONG_URL,
    ProblemKind.OTHER_MODEL: pb.PROBLEM_KIND_OTHER_MODEL,
    ProblemKind.UNREADABLE: pb.PROBLEM_KIND_UNREADABLE,
    ProblemKind.FAILED: pb.PROBLEM_KIND_FAILED,
}


class VisionIndexServicer(vision_index_pb2_grpc.VisionIndexServiceServicer):
    """The VisionIndexService of the contract."""

    def __init__(self, index: Index, vectors: VectorStore, objects: ObjectStore) -> None:
        self._index, self._vectors, self._objects = index, vectors, objects

    async def Check(self, request: pb.CheckRequest, context: Any) -> pb.CheckResponse:
        """Gives the verdict and stores nothing."""
        asked = request.duplicate_distance if request.HasField("duplicate_distance") else None
        decision = await self._index.ingest.check(request.image, request.website, asked, request.top_k)
        return pb.CheckResponse(decision=_decision(decision))

    async def UploadAndIndex(self, request: pb.UploadAndIndexRequest, context: Any) -> pb.UploadAndIndexResponse:
        """Stores the picture unless it is known."""
        _not_longer("sku", request.sku, _MAX_SKU)
        stored = await self._index.ingest.upload(
            Upload(
                image=request.image,
                website=request.website,
                original_name=request.original_name[:_MAX_NAME],
                sku=request.sku,
                skip_duplicate_check=request.skip_duplicate_check,
                duplicate_distance=request.duplicate_distance if request.HasField("duplicate_distance") else None,
            )
        )
        return pb.UploadAndIndexResponse(
            indexed=stored.indexed, id=stored.id, url=stored.url, decision=_decision(stored.decision)
        )

    async def Search(self, request: pb.SearchRequest, context: Any) -> pb.SearchResponse:
        """Finds pictures near a picture, a stored one or a text."""
        window = Window(
            website=request.website,
            max_distance=request.max_distance if request.HasField("max_distance") else None,
            created_from=_ms(request.created_after) if request.HasField("created_after") else None,
            created_before=_ms(request.created_before) if request.HasField("created_before") else None,
        )
        search = self._index.search
        match request.WhichOneof("query"):
            case "image":
                found = await search.by_image(request.image, window, request.top_k)
            case "stored":
                _not_longer("stored", request.stored, _MAX_ADDRESS)
                found = await search.by_stored(request.stored, window, request.top_k)
            case "text":
                _not_longer("text", request.text, _MAX_TEXT)
                found = await search.by_text(request.text, window, request.top_k)
            case _:
                raise errors.InvalidArgument(
                    "nothing to search with; send an image, the address of a stored picture, or a text",
                    reason="QUERY_MISSING",
                    fields={"query": "one of image, stored, text is needed"},
                )
        return pb.SearchResponse(
            matches=[_match(match) for match in found.matches],
            duplicate_found=found.duplicate,
            model_id=found.model_id,
        )

    async def Delete(self, request: pb.DeleteRequest, context: Any) -> pb.DeleteResponse:
        """Deletes by address, with a result for each."""
        results = await self._index.curator.delete(list(request.urls), request.dry_run)
        return pb.DeleteResponse(
            results=[
                pb.DeleteResult(url=url, status=_DELETED[status], detail=detail)
                for url, (status, detail) in zip(request.urls, results, strict=True)
            ]
        )

    async def Reindex(self, request: pb.ReindexRequest, context: Any) -> AsyncIterator[pb.ReindexResponse]:
        """Embeds stored pictures again; a message after each batch."""
        async with aclosing(self._index.reindex.run(request.website, request.restart)) as reports:
            async for report in reports:
                yield pb.ReindexResponse(progress=_progress(report), problems=map(_problem, report.problems))

    async def Repair(self, request: pb.RepairRequest, context: Any) -> AsyncIterator[pb.RepairResponse]:
        """Compares objects and rows, and mends what it is told to."""
        if request.delete_orphan_rows and not request.mend:
            raise errors.InvalidArgument(
                "delete_orphan_rows needs mend; ask for both, or for a report only",
                reason="MEND_MISSING",
                fields={"mend": "is needed with delete_orphan_rows"},
            )
        kinds = MEND_AND_DELETE if request.delete_orphan_rows else MEND if request.mend else REPORT
        async with aclosing(self._index.repair.run(request.website, kinds)) as reports:
            async for report in reports:
                yield pb.RepairResponse(progress=_progress(report), problems=map(_problem, report.problems))

    async def ImportLegacyIndex(
        self, request: pb.ImportLegacyIndexRequest, context: Any
    ) -> AsyncIterator[pb.ImportLegacyIndexResponse]:
        """Makes rows of what the earlier system's files name."""
        asked = self._index.legacy.run(request.indexed_hashes, request.int_hash_to_path, request.dry_run)
        async with aclosing(asked) as reports:
            async for report in reports:
                yield pb.ImportLegacyIndexResponse(progress=_progress(report), problems=map(_problem, report.problems))

    async def MarkDistinct(self, request: pb.MarkDistinctRequest, context: Any) -> pb.MarkDistinctResponse:
        """Remembers that two stored pictures show different products."""
        _not_longer("first", request.first, _MAX_ADDRESS)
        _not_longer("second", request.second, _MAX_ADDRESS)
        await self._index.curator.mark_distinct(request.first, request.second, request.said_by, request.revoke)
        return pb.MarkDistinctResponse()

    async def GetStats(self, request: pb.GetStatsRequest, context: Any) -> pb.GetStatsResponse:
        """Counts rows and names the adapters."""
        stats = await self._index.curator.stats()
        buckets = self._objects.websites
        return pb.GetStatsResponse(
            buckets=[
                pb.BucketStats(website=website, bucket=buckets[website], rows=count)
                for website, count in stats.rows.items()
            ],
            collection=stats.collection,
            model_id=stats.model.id,
            duplicate_distance=stats.thresholds.duplicate,
            similar_distance=stats.thresholds.similar,
            adapters=[
                type_pb2.Adapter(role="vectors", name=self._vectors.name, embedded=self._vectors.embedded),
                type_pb2.Adapter(role="objects", name=self._objects.name, embedded=self._objects.embedded),
            ],
            rates=[pb.ThresholdRates(**asdict(one)) for one in stats.curve.rates] if stats.curve else [],
            rated_pairs=stats.curve.pairs if stats.curve else 0,
        )


def _decision(decision: Decision) -> pb.Decision:
    return pb.Decision(
        verdict=_VERDICTS[decision.verdict],
        reason=_REASONS[decision.reason],
        match=_match(decision.match) if decision.match else None,
        matches=[_match(match) for match in decision.matches],
        explanation=decision.explanation,
        model_id=decision.model_id,
        elsewhere=[_match(match) for match in decision.elsewhere],
    )


def _match(match: Match) -> pb.Match:
    made = pb.Match(
        id=match.row.id,
        url=match.url,
        website=match.row.website,
        distance=match.distance,
        cosine=match.cosine,
        verdict=_VERDICTS[match.verdict],
        reason=_REASONS[match.reason],
        band=_BANDS[match.band],
        hash_distance=match.hash_distance,
        original_name=match.row.original_name,
    )
    made.create_time.FromMilliseconds(match.row.created)
    return made


def _progress(report: Report) -> type_pb2.Progress:
    told = report.progress
    made = type_pb2.Progress(done=told.done, total=told.total, failed=told.failed, rate=told.rate)
    if told.seconds_left is not None:
        made.time_left.FromMilliseconds(round(told.seconds_left * 1000))
    return made


def _problem(problem: Problem) -> pb.IndexProblem:
    return pb.IndexProblem(
        kind=_PROBLEMS[problem.kind],
        url=problem.url,
        id=problem.row_id,
        mended=problem.mended,
        detail=problem.detail,
    )


def _ms(when: Timestamp) -> int:
    return when.seconds * 1000 + when.nanos // 1_000_000


def _not_longer(field: str, value: str, most: int) -> None:
    if len(value) > most:
        raise errors.InvalidArgument(
            f"{field} has {len(value)} characters; at most {most} are taken",
            reason="FIELD_TOO_LONG",
            fields={field: f"at most {most} characters"},
        )
