"""The servicer on a real socket: search, delete, marks, counts, and errors as status codes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from jewelry.vision_index.v1 import vision_index_pb2 as pb
from vision_index_world import FakeEmbedding, Wired, photo, plain_picture, stub_of, wired

from servicekit import client, errors

if TYPE_CHECKING:
    from jewelry.vision_index.v1.vision_index_pb2_grpc import VisionIndexServiceAsyncStub as AsyncStub

SKUS = ["ALY-EAR-001", "ALY-EAR-005", "ALY-NEC-002", "ALY-RNG-003"]
START = datetime(2026, 11, 22, 12, tzinfo=UTC)


async def upload_all(stub: AsyncStub) -> dict[str, pb.UploadAndIndexResponse]:
    """The four photos, the last one for the other website, one minute apart."""
    done = {}
    for sku in SKUS:
        request = pb.UploadAndIndexRequest(
            image=photo(sku),
            original_name=f"{sku}.jpg",
            skip_duplicate_check=True,
            website="blysk" if sku == SKUS[-1] else "",
        )
        done[sku] = await client.call(stub.UploadAndIndex, request, timeout=20)
    return done


def minutes() -> Callable[[], datetime]:
    ticks = iter(range(1000))
    return lambda: START + timedelta(minutes=next(ticks))


async def test_upload_check_and_search(world: Wired) -> None:
    async with stub_of(world) as stub:
        done = await upload_all(stub)
        first = done[SKUS[0]]
        assert first.indexed
        assert first.decision.verdict == pb.VERDICT_NEW
        assert not first.decision.HasField("match")
        checked = await client.call(stub.Check, pb.CheckRequest(image=photo(SKUS[0]), top_k=2), timeout=20)
        decision = checked.decision
        assert (decision.verdict, decision.reason) == (pb.VERDICT_EXACT, pb.REASON_SAME_BYTES)
        assert len(decision.matches) == 2
        assert decision.match.url == first.url
        assert decision.match.original_name == "ALY-EAR-001.jpg"
        assert decision.match.band == pb.BAND_DUPLICATE
        assert decision.match.cosine == pytest.approx(1.0, abs=1e-4)
        assert decision.match.distance == pytest.approx(0.0, abs=1e-3)
        age = datetime.now(UTC) - decision.match.create_time.ToDatetime(UTC)
        assert timedelta(0) <= age < timedelta(minutes=1)
        for query in ({"image": photo(SKUS[0])}, {"stored": first.url}, {"stored": first.id}):
            found = await client.call(stub.Search, pb.SearchRequest(**query), timeout=20)
            assert found.matches[0].url == first.url
            assert len(found.matches) == 4
            assert found.duplicate_found
            assert found.model_id == "fake-1"
            distances = [match.distance for match in found.matches]
            assert distances == sorted(distances)


async def test_search_is_narrowed(tmp_path: Path, port: int) -> None:
    async with wired(tmp_path, port, clock=minutes()) as world, stub_of(world) as stub:
        done = await upload_all(stub)

        async def urls(**given: object) -> list[str]:
            request = pb.SearchRequest(image=photo(SKUS[0]), **given)  # type: ignore[arg-type]
            return [match.url for match in (await client.call(stub.Search, request, timeout=20)).matches]

        assert set(await urls(website="blysk")) == {done[SKUS[3]].url}
        assert set(await urls(website="alya")) == {done[sku].url for sku in SKUS[:3]}
        assert await urls(top_k=1) == [done[SKUS[0]].url]
        assert await urls(max_distance=0.01) == [done[SKUS[0]].url]
        second = (
            await client.call(stub.Search, pb.SearchRequest(stored=done[SKUS[1]].id, top_k=1), timeout=20)
        ).matches
        since = second[0].create_time
        assert set(await urls(created_after=since)) == {done[sku].url for sku in SKUS[1:]}
        assert await urls(created_before=since) == [done[SKUS[0]].url]


async def test_search_by_text(world: Wired) -> None:
    async with stub_of(world) as stub:
        urls = {}
        for name, color in {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}.items():
            request = pb.UploadAndIndexRequest(image=plain_picture(color), skip_duplicate_check=True)
            urls[name] = (await client.call(stub.UploadAndIndex, request, timeout=20)).url
        for name in urls:
            found = await client.call(stub.Search, pb.SearchRequest(text=name, top_k=2), timeout=20)
            assert found.matches[0].url == urls[name]
            assert found.matches[0].cosine == pytest.approx(1.0, abs=1e-4)
            assert not found.duplicate_found


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (pb.SearchRequest(), "QUERY_MISSING"),
        (pb.SearchRequest(image=photo(SKUS[0]), top_k=1001), "TOP_K_INVALID"),
        (pb.SearchRequest(image=photo(SKUS[0]), top_k=-1), "TOP_K_INVALID"),
        (pb.SearchRequest(image=photo(SKUS[0]), max_distance=-1), "THRESHOLD_INVALID"),
        (pb.SearchRequest(image=photo(SKUS[0]), max_distance=float("nan")), "THRESHOLD_INVALID"),
        (pb.SearchRequest(image=photo(SKUS[0]), website="x"), "WEBSITE_UNKNOWN"),
        (pb.SearchRequest(text="x" * 2001), "FIELD_TOO_LONG"),
        (pb.SearchRequest(image=b"no picture"), "IMAGE_UNREADABLE"),
    ],
)
async def test_a_wrong_search_is_refused(world: Wired, request_: pb.SearchRequest, reason: str) -> None:
    async with stub_of(world) as stub:
        with pytest.raises(errors.InvalidArgument) as refused:
            await client.call(stub.Search, request_, timeout=20)
        assert refused.value.reason == reason


async def test_what_is_not_stored_is_not_found(world: Wired) -> None:
    async with stub_of(world) as stub:
        for stored in ("http://127.0.0.1:8000/files/alyaimg/images/x.jpg", "https://elsewhere/x.jpg", "0" * 40, '"'):
            with pytest.raises(errors.NotFound):
                await client.call(stub.Search, pb.SearchRequest(stored=stored), timeout=20)


async def test_delete_is_exact_and_repeatable(world: Wired) -> None:
    async with stub_of(world) as stub:
        done = await upload_all(stub)
        await world.objects.put("alyaimg", "gen_imgs/x.jpg", b"x", "image/jpeg")
        url, other = done[SKUS[0]].url, done[SKUS[3]].url
        missing = url.replace("images/", "images/x")
        urls = [url, other, missing, "https://elsewhere/x.jpg", world.objects.url("alyaimg", "gen_imgs/x.jpg"), url]

        async def delete(dry_run: bool) -> list[int]:
            request = pb.DeleteRequest(urls=urls, dry_run=dry_run)
            answer = await client.call(stub.Delete, request, timeout=20)
            assert [result.url for result in answer.results] == urls
            return [result.status for result in answer.results]

        gone, unknown, refused = pb.DELETE_STATUS_DELETED, pb.DELETE_STATUS_NOT_FOUND, pb.DELETE_STATUS_REFUSED
        assert await delete(True) == [gone, gone, unknown, refused, refused, gone]
        assert len(await world.keys()) == 4
        assert await delete(False) == [gone, gone, unknown, refused, refused, gone]
        assert await delete(False) == [unknown, unknown, unknown, refused, refused, unknown]
        assert (await world.rows("alyaimg"), await world.rows("blyskimg")) == (2, 0)
        assert "gen_imgs/x.jpg" in await world.keys()
        assert len(await world.keys()) == 3
        again = await client.call(stub.UploadAndIndex, pb.UploadAndIndexRequest(image=photo(SKUS[0])), timeout=20)
        assert again.indexed
        with pytest.raises(errors.InvalidArgument):
            await client.call(stub.Delete, pb.DeleteRequest(urls=["x"] * 1001), timeout=20)


async def test_pairs_told_apart_stay_apart(world: Wired, fake: FakeEmbedding) -> None:
    fake.duplicate_distance = 1000.0
    async with stub_of(world) as stub:
        first = await client.call(stub.UploadAndIndex, pb.UploadAndIndexRequest(image=photo(SKUS[0])), timeout=20)
        request = pb.UploadAndIndexRequest(image=photo(SKUS[1]))
        refused = await client.call(stub.UploadAndIndex, request, timeout=20)
        assert not refused.indexed
        assert refused.decision.verdict == pb.VERDICT_DUPLICATE
        request.skip_duplicate_check = True
        second = await client.call(stub.UploadAndIndex, request, timeout=20)
        mark = pb.MarkDistinctRequest(first=second.id, second=first.url, said_by="anna")
        await client.call(stub.MarkDistinct, mark, timeout=20)
        await client.call(stub.Delete, pb.DeleteRequest(urls=[second.url]), timeout=20)
        request.skip_duplicate_check = False
        stored = await client.call(stub.UploadAndIndex, request, timeout=20)
        assert stored.indexed
        assert stored.decision.verdict == pb.VERDICT_SIMILAR
        found = await client.call(stub.Search, pb.SearchRequest(stored=first.url), timeout=20)
        assert [match.verdict for match in found.matches] == [pb.VERDICT_EXACT, pb.VERDICT_SIMILAR]
        mark.revoke = True
        await client.call(stub.MarkDistinct, mark, timeout=20)
        await client.call(stub.MarkDistinct, mark, timeout=20)
        found = await client.call(stub.Search, pb.SearchRequest(stored=first.url), timeout=20)
        assert found.matches[1].verdict == pb.VERDICT_DUPLICATE
        with pytest.raises(errors.InvalidArgument):
            await client.call(stub.MarkDistinct, pb.MarkDistinctRequest(first=first.id, second=first.url), timeout=20)
        with pytest.raises(errors.NotFound):
            await client.call(stub.MarkDistinct, pb.MarkDistinctRequest(first=first.id, second="nobody"), timeout=20)


async def test_stats_name_what_is_in_use(world: Wired) -> None:
    async with stub_of(world) as stub:
        await upload_all(stub)
        stats = await client.call(stub.GetStats, pb.GetStatsRequest(), timeout=20)
        assert [(b.website, b.bucket, b.rows) for b in stats.buckets] == [
            ("alya", "alyaimg", 3),
            ("blysk", "blyskimg", 1),
        ]
        assert stats.model_id == "fake-1"
        assert stats.collection.startswith(world.given.get("collection_name", "jewelry_images") + "_")
        assert (stats.duplicate_distance, stats.similar_distance) == (0.2, 4.0)
        assert (len(stats.rates), stats.rated_pairs) == (0, 0)  # nobody calibrated this model
        assert {a.role: (a.name, a.embedded) for a in stats.adapters} == {
            "vectors": (world.vectors.name, not world.given),
            "objects": ("folder", True),
        }


async def test_a_caller_who_leaves_holds_nobody_up(world: Wired, fake: FakeEmbedding) -> None:
    """One caller of twenty gives up while the picture is embedded; the others get the address."""
    fake.delay = 0.5
    async with stub_of(world) as stub:
        request = pb.UploadAndIndexRequest(image=photo(SKUS[0]))
        impatient = stub.UploadAndIndex(request, timeout=0.3)
        patient = [asyncio.create_task(client.call(stub.UploadAndIndex, request, timeout=20)) for _ in range(5)]
        with pytest.raises(grpc.aio.AioRpcError):
            await impatient
        assert len({(await task).url for task in patient}) == 1
        assert len(await world.keys()) == 1
