"""Storing pictures: once each, whoever sends them, whatever breaks in between."""

from __future__ import annotations

import asyncio
import io
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from vision_index_world import FakeEmbedding, Wired, drop_collections, photo, plain_picture, serving, wired

from objectstore import FolderStore
from servicekit import errors
from vision_index_service.claims import Claims, row_id
from vision_index_service.index import assemble
from vision_index_service.ingest import Upload
from vision_index_service.model import Reason, Verdict
from vision_index_service.reading import Policy
from vision_index_service.search import Window


def changed(data: bytes, kind: str = "JPEG", mirror: bool = False, **how: Any) -> bytes:
    with Image.open(io.BytesIO(data)) as picture:
        out = io.BytesIO()
        (ImageOps.mirror(picture) if mirror else picture).save(out, kind, **how)
    return out.getvalue()


async def test_stores_object_and_row_under_one_address(world: Wired) -> None:
    image = photo("ALY-EAR-001")
    stored = await world.index.ingest.upload(Upload(image, original_name="Gold Jhumka.JPG", sku="S1"))
    assert stored.indexed
    assert stored.decision.verdict is Verdict.NEW
    (key,) = await world.keys()
    assert key.startswith("images/2")
    assert key.endswith("_gold-jhumka.jpg")
    assert stored.url == f"http://127.0.0.1:8000/files/alyaimg/{key}"
    kept = await world.objects.get("alyaimg", key)
    assert (kept.data, kept.content_type) == (image, "image/jpeg")
    assert await world.rows() == 1
    row = (await world.index.search.by_stored(stored.url, Window())).matches[0].row
    assert (row.sku, row.original_name, row.website, row.url) == ("S1", "Gold Jhumka.JPG", "alya", stored.url)
    assert (row.print.width, row.print.height, row.model_id) == (1000, 1000, "fake-1")


async def test_the_same_picture_twenty_times_at_once(world: Wired, fake: FakeEmbedding) -> None:
    upload = Upload(photo("ALY-EAR-001"), original_name="a.jpg")
    results = await asyncio.gather(*(world.index.ingest.upload(upload) for _ in range(20)))
    assert len({result.url for result in results}) == 1
    assert len({result.id for result in results}) == 1
    assert all(result.indexed for result in results)
    assert sorted(r.decision.verdict.name for r in results) == ["EXACT"] * 19 + ["NEW"]
    assert len(await world.keys()) == 1
    assert await world.rows() == 1
    assert fake.embedded == 1


async def test_replicas_agree_on_the_key(world: Wired) -> None:
    """Two processes share the stores but no locks; here the second one has its own Index over the same stores."""
    clocks = iter(range(100))

    def clock() -> datetime:
        return datetime(2026, 11, 22, 12, 0, next(clocks), tzinfo=UTC)

    replicas = [assemble(world.embedder, world.vectors, world.objects, Policy(), clock) for _ in range(4)]
    upload = Upload(photo("ALY-EAR-001"), original_name="a.jpg")
    results = await asyncio.gather(*(replica.ingest.upload(upload) for replica in replicas for _ in range(5)))
    assert len({result.url for result in results}) == 1
    assert len(await world.keys()) == 1
    assert await world.rows() == 1
    for replica in replicas:
        await replica.reader.close()


async def test_two_replicas_on_a_server_store_it_once(
    tmp_path: Path, port: int, server_address: dict[str, Any]
) -> None:
    given = server_address | {"collection_name": f"test_{uuid.uuid4().hex[:8]}"}
    async with wired(tmp_path, port, **given) as one, wired(tmp_path, port, **given) as other:
        uploads = [each.index.ingest.upload(Upload(photo("ALY-EAR-001"))) for each in (one, other) for _ in range(10)]
        done = await asyncio.gather(*uploads)
        assert len({stored.url for stored in done}) == len({stored.id for stored in done}) == 1
        assert await one.keys() == [done[0].url.split("/alyaimg/")[-1]]
        assert await one.rows() == await other.rows() == 1
    await drop_collections(given)


async def test_a_replica_that_comes_late_finds_the_row_under_its_claim(
    world: Wired, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has looked for the row before the other one stored it, and claims after the other's claim is gone."""
    yesterday = datetime(2026, 11, 21, 12, tzinfo=UTC)
    other = assemble(world.embedder, world.vectors, world.objects, Policy(), lambda: yesterday)
    upload = Upload(photo("ALY-EAR-001"))
    take, first = Claims.take, []

    async def late(self: Claims, *given: Any) -> Any:
        with monkeypatch.context() as patched:
            patched.setattr(Claims, "take", take)
            first.append(await other.ingest.upload(upload))
        return await take(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(Claims, "take", late)
        second = await world.index.ingest.upload(upload)
    assert second.url == first[0].url
    assert [key.split("/")[0] for key in await world.keys()] == ["images"]
    await other.reader.close()


async def test_one_photo_in_four_files_at_once_is_stored_once(world: Wired) -> None:
    original = photo("ALY-NEC-002")
    files = [original, changed(original, quality=60), changed(original, "PNG"), changed(original, mirror=True)]
    results = await asyncio.gather(*(world.index.ingest.upload(Upload(file)) for file in files))
    assert len({result.url for result in results}) == 1
    assert [result.indexed for result in results].count(True) == 1
    assert len(await world.keys()) == 1


async def test_every_verdict(world: Wired) -> None:
    original = photo("ALY-NEC-002")
    stored = await world.index.ingest.upload(Upload(original))
    for image, verdict, reason in [
        (original, Verdict.EXACT, Reason.SAME_BYTES),
        (changed(original, "PNG"), Verdict.EXACT, Reason.SAME_PIXELS),
        (changed(original, quality=50), Verdict.DUPLICATE, Reason.SAME_PHOTO),
        (changed(original, mirror=True, quality=90), Verdict.DUPLICATE, Reason.MIRRORED_PHOTO),
        (plain_picture((0, 0, 0)), Verdict.NEW, Reason.NONE),
    ]:
        decision = await world.index.ingest.check(image)
        assert (decision.verdict, decision.reason) == (verdict, reason)
        assert (decision.match is None) == (verdict is Verdict.NEW)
        assert decision.matches[0].url == stored.url
        assert decision.model_id == "fake-1"
        again = await world.index.ingest.check(image)
        assert again == decision
    assert len(await world.keys()) == 1


async def test_similar_goes_on_and_lists_the_match(world: Wired, fake: FakeEmbedding) -> None:
    fake.similar_distance = 1000.0
    first = await world.index.ingest.upload(Upload(photo("ALY-EAR-001")))
    second = await world.index.ingest.upload(Upload(photo("ALY-EAR-005")))
    assert second.indexed
    assert second.decision.verdict is Verdict.SIMILAR
    assert second.decision.match is not None
    assert second.decision.match.url == first.url
    assert -1 <= second.decision.match.cosine < 1
    assert await world.rows() == 2


async def test_thresholds_of_request_and_configuration(world: Wired, tmp_path: Path, port: int) -> None:
    await world.index.ingest.upload(Upload(photo("ALY-EAR-001")))
    other = photo("ALY-EAR-005")
    assert not (await world.index.ingest.check(other)).verdict.stops_upload
    wide = await world.index.ingest.check(other, asked=1000.0)
    assert (wide.verdict, wide.reason) == (Verdict.DUPLICATE, Reason.DISTANCE)
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(errors.InvalidArgument) as refused:
            await world.index.ingest.check(other, asked=wrong)
        assert refused.value.fields.keys() == {"duplicate_distance"}
    await world.vectors.close()
    async with wired(tmp_path, port, **world.given, duplicate_distance=1000.0) as configured:
        assert (await configured.index.ingest.check(other)).verdict is Verdict.DUPLICATE
        assert (await configured.index.curator.stats()).thresholds.duplicate == 1000.0


async def test_skipping_the_check_stores_all_but_the_same_bytes(world: Wired) -> None:
    original = photo("ALY-EAR-001")
    first = await world.index.ingest.upload(Upload(original, skip_duplicate_check=True))
    copy = await world.index.ingest.upload(Upload(changed(original, quality=70), skip_duplicate_check=True))
    same = await world.index.ingest.upload(Upload(original, skip_duplicate_check=True))
    assert copy.indexed
    assert copy.decision.verdict is Verdict.DUPLICATE
    assert copy.url != first.url
    assert same.url == first.url
    assert await world.rows() == len(await world.keys()) == 2


async def test_another_website_has_its_own_copy_and_the_first_is_reported(world: Wired) -> None:
    image = photo("ALY-EAR-001")
    alya = await world.index.ingest.upload(Upload(image))
    blysk = await world.index.ingest.upload(Upload(image, website="blysk"))
    assert blysk.indexed
    assert blysk.url != alya.url
    assert blysk.decision.verdict is Verdict.NEW
    assert [match.url for match in blysk.decision.elsewhere] == [alya.url]
    assert "alya" in blysk.decision.explanation
    assert (await world.rows("alyaimg"), await world.rows("blyskimg")) == (1, 1)


@pytest.mark.parametrize(("policy", "verdict", "elsewhere"), [("return", Verdict.EXACT, 0), ("ignore", Verdict.NEW, 0)])
async def test_other_policies_for_other_websites(
    tmp_path: Path, port: int, policy: str, verdict: Verdict, elsewhere: int
) -> None:
    async with wired(tmp_path, port, cross_website=policy) as world:
        alya = await world.index.ingest.upload(Upload(photo("ALY-EAR-001")))
        blysk = await world.index.ingest.upload(Upload(photo("ALY-EAR-001"), website="blysk"))
        assert (blysk.decision.verdict, len(blysk.decision.elsewhere)) == (verdict, elsewhere)
        assert (blysk.url == alya.url) == (policy == "return")


BAD = [
    (b"", "IMAGE_EMPTY"),
    (b"no picture at all", "IMAGE_UNREADABLE"),
    (photo("ALY-EAR-001")[:20_000], "IMAGE_TRUNCATED"),
    (b"\xff\xd8\xff" + bytes(21 * 2**20), "IMAGE_TOO_LARGE"),
    (plain_picture((1, 1, 1), (10_000, 6_000)), "IMAGE_TOO_MANY_PIXELS"),
]


@pytest.mark.parametrize(("image", "reason"), BAD, ids=[reason for _, reason in BAD])
async def test_what_is_no_picture_leaves_nothing(world: Wired, image: bytes, reason: str) -> None:
    for call in (
        world.index.ingest.upload(Upload(image)),
        world.index.ingest.check(image),
        world.index.search.by_image(image, Window()),
    ):
        with pytest.raises(errors.InvalidArgument) as refused:
            await call
        assert refused.value.reason == reason
    assert await world.keys() == []
    assert await world.rows() == 0


async def test_an_unknown_website_leaves_nothing(world: Wired) -> None:
    with pytest.raises(errors.InvalidArgument) as refused:
        await world.index.ingest.upload(Upload(photo("ALY-EAR-001"), website="amazon"))
    assert refused.value.reason == "WEBSITE_UNKNOWN"
    assert await world.keys() == []


@pytest.mark.parametrize(
    "spoil",
    [lambda v: v * np.float32("nan"), lambda v: v[:511], lambda v: v * np.float32("inf"), lambda v: v[:0]],
    ids=["nan", "short", "infinite", "empty"],
)
async def test_a_broken_vector_is_refused(world: Wired, fake: FakeEmbedding, spoil: Any) -> None:
    fake.spoil = spoil
    with pytest.raises(errors.Internal) as refused:
        await world.index.ingest.upload(Upload(photo("ALY-EAR-001")))
    assert refused.value.reason == "VECTOR_INVALID"
    assert await world.keys() == []
    assert await world.rows() == 0


async def test_a_crash_after_each_step_is_healed_by_a_repeat(
    world: Wired, tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends after the claim, after the object, after the row; what it wrote stays."""

    class Killed(BaseException):
        pass

    upload = Upload(photo("ALY-EAR-001"), original_name="a.jpg")
    put, upsert = FolderStore.put, world.vectors.upsert

    for step in ("claims/", "images/", "row"):

        async def put_and_die(self: Any, bucket: str, key: str, *rest: Any, step: str = step, **more: Any) -> bool:
            done = await put(self, bucket, key, *rest, **more)
            if key.startswith(step):
                raise Killed
            return done

        async def upsert_and_die(*given: Any, step: str = step) -> None:
            await upsert(*given)
            if step == "row":
                raise Killed

        with monkeypatch.context() as patched:
            patched.setattr(FolderStore, "put", put_and_die)
            patched.setattr(world.vectors, "upsert", upsert_and_die)
            with pytest.raises(Killed):
                await world.index.ingest.upload(upload)
        left = await world.keys()
        assert left
        again = await world.index.ingest.upload(upload)
        keys = await world.keys()
        assert [world.objects.url("alyaimg", key) for key in keys if key.startswith("images/")] == [again.url]
        assert set(left) <= {*keys, *(key for key in left if key.startswith("claims/"))}
        assert await world.rows() == 1
        await world.index.curator.delete([again.url])
        assert await world.keys() == []


async def test_an_object_removed_behind_the_index_is_put_back(world: Wired) -> None:
    upload = Upload(photo("ALY-EAR-001"))
    first = await world.index.ingest.upload(upload)
    (key,) = await world.keys()
    await world.objects.delete("alyaimg", key)
    again = await world.index.ingest.upload(upload)
    assert again.url == first.url
    assert await world.keys() == [key]


async def test_an_address_that_leads_nowhere_is_not_given_out(world: Wired) -> None:
    original = photo("ALY-EAR-001")
    first = await world.index.ingest.upload(Upload(original))
    (key,) = await world.keys()
    await world.objects.delete("alyaimg", key)
    second = await world.index.ingest.upload(Upload(changed(original, quality=60)))
    assert second.indexed
    assert second.url != first.url


async def test_the_store_keeps_everything_over_a_reopen(tmp_path: Path, port: int) -> None:
    async with wired(tmp_path, port) as before:
        first = await before.index.ingest.upload(Upload(photo("ALY-EAR-001")))
        await before.index.ingest.upload(Upload(photo("ALY-EAR-005"), website="blysk"))
    async with wired(tmp_path, port) as after:
        assert (await after.rows("alyaimg"), await after.rows("blyskimg")) == (1, 1)
        again = await after.index.ingest.upload(Upload(photo("ALY-EAR-001")))
        assert (again.url, again.decision.reason) == (first.url, Reason.SAME_BYTES)
        near = await after.index.search.by_image(photo("ALY-EAR-001"), Window())
        assert near.matches[0].url == first.url
        assert len(near.matches) == 2


async def test_a_second_process_on_the_same_file_is_told_why(tmp_path: Path, port: int) -> None:
    async with wired(tmp_path, port) as first:
        await first.vectors.check()
        script = (
            "import asyncio, sys\n"
            "from vision_index_service.adapters.milvus_store import MilvusStore\n"
            "from vision_index_service.settings import Settings\n"
            "from servicekit import errors\n"
            "store = MilvusStore(Settings(_env_file=None, data_dir=sys.argv[1]))\n"
            "try:\n"
            "    asyncio.run(store.check())\n"
            "except errors.FailedPrecondition as error:\n"
            "    print(error.reason)\n"
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, str(tmp_path), stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert out.decode().split() == ["VECTOR_STORE_LOCKED"]


async def test_another_model_gets_its_own_collection_and_keeps_the_object(world: Wired, fake: FakeEmbedding) -> None:
    upload = Upload(photo("ALY-EAR-001"))
    first = await world.index.ingest.upload(upload)
    before = await world.index.curator.stats()
    fake.model_id = "fake-2"
    await world.index.ingest.check(photo("ALY-EAR-005"))
    after = await world.index.curator.stats()
    assert after.collection != before.collection
    assert after.rows == {"alya": 0, "blysk": 0}
    again = await world.index.ingest.upload(upload)
    assert again.indexed
    assert again.url == first.url
    assert len(await world.keys()) == 1


async def test_an_embedder_that_is_down_or_slow(tmp_path: Path, fake: FakeEmbedding) -> None:
    async with serving(fake) as port:
        pass
    async with wired(tmp_path, port, embedding_timeout=1.0) as world:
        with pytest.raises(errors.Unavailable):
            await world.index.ingest.upload(Upload(photo("ALY-EAR-001")))
        assert await world.keys() == []
        async with serving(fake, port):
            for _ in range(50):  # the channel finds the service within a second of its return
                try:
                    stored = await world.index.ingest.upload(Upload(photo("ALY-EAR-001")))
                    break
                except errors.Unavailable:
                    await asyncio.sleep(0.1)
            assert stored.indexed
            fake.delay = 3.0
            with pytest.raises(errors.DeadlineExceeded):
                await world.index.ingest.check(photo("ALY-EAR-005"))


async def test_a_milvus_that_is_down(tmp_path: Path, port: int) -> None:
    async with wired(tmp_path, port, milvus_host="127.0.0.1", milvus_port=9, vector_store_timeout=1.0) as world:
        assert (world.vectors.name, world.vectors.embedded) == ("milvus", False)
        with pytest.raises(errors.Unavailable) as raised:
            await world.index.ingest.upload(Upload(photo("ALY-EAR-001")))
        assert raised.value.reason.startswith("VECTOR_STORE_")
        assert await world.keys() == []


def test_ids_come_from_content_and_bucket() -> None:
    assert row_id("a", "x") == row_id("a", "x")
    assert len({row_id("a", "x"), row_id("b", "x"), row_id("a", "y")}) == 3
