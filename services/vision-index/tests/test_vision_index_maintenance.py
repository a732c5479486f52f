"""Re-index, repair, the import of an earlier index, and what runs after the start."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jewelry.vision_index.v1 import vision_index_pb2 as pb
from PIL import Image
from vision_index_world import FakeEmbedding, Wired, photo, stub_of, wired

from servicekit import client, errors
from vision_index_service.background import Wishes
from vision_index_service.claims import Claims, Label, row_id
from vision_index_service.fingerprint import fingerprint
from vision_index_service.ingest import Upload
from vision_index_service.model import Filter, Row
from vision_index_service.progress import Meter, Problem, ProblemKind, Report
from vision_index_service.repair import MEND, MEND_AND_DELETE, REPORT
from vision_index_service.search import Window


def picture(number: int, kind: str = "PNG") -> bytes:
    """A small picture unlike every other one."""
    out = io.BytesIO()
    values = np.random.default_rng(number).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(values, "RGB").resize((48, 48), Image.Resampling.BOX).save(out, kind)
    return out.getvalue()


async def fill(world: Wired, count: int, website: str = "", first: int = 0) -> dict[str, bytes]:
    """Uploads pictures; gives their bytes by address."""
    done = {}
    for number in range(first, first + count):
        upload = Upload(picture(number), website, f"p{number}.png", sku=f"S{number}", skip_duplicate_check=True)
        done[(await world.index.ingest.upload(upload)).url] = upload.image
    return done


async def all_of(reports: AsyncIterator[Report]) -> tuple[Report, list[Problem]]:
    """The last report, and every problem."""
    problems: list[Problem] = []
    last = None
    async for report in reports:
        last = report
        problems += report.problems
    assert last is not None
    return last, problems


async def stop_after(world: Wired, done: int) -> None:
    """Leaves a re-index in the middle; as after a kill, nothing but the notes stays."""
    async with aclosing(world.index.reindex.run()) as reports:
        async for report in reports:
            if report.progress.done == done:
                break


async def first_of(reports: AsyncGenerator[Report, None]) -> tuple[int, int]:
    """Done and total of the first report."""
    async with aclosing(reports) as opened:
        progress = (await anext(opened)).progress
    return progress.done, progress.total


async def rows(world: Wired, bucket: str = "alyaimg") -> dict[str, Row]:
    """Every row of the model that answers now, by id."""
    space = await world.vectors.space(await world.embedder.model())
    return {row.id: row async for page in world.vectors.scan(space, bucket) for row in page}


async def lose_rows(world: Wired, *ids: str) -> None:
    await world.vectors.delete(await world.vectors.space(await world.embedder.model()), ids)


def kinds(problems: list[Problem]) -> list[str]:
    return sorted(problem.kind.name for problem in problems)


# ---- re-index


async def test_reindex_makes_the_rows_of_a_lost_index_anew(world: Wired) -> None:
    stored = await fill(world, 5)
    before = await rows(world)
    await lose_rows(world, *before)
    assert await rows(world) == {}
    last, problems = await all_of(world.index.reindex.run())
    assert problems == []
    assert (last.progress.done, last.progress.total, last.progress.failed) == (5, 5, 0)
    after = await rows(world)
    assert after.keys() == before.keys()
    for row_id_, row in after.items():
        told = before[row_id_]
        assert replace(row, sku="", original_name="", created=0) == replace(told, sku="", original_name="", created=0)
        assert row.original_name == told.original_name.removesuffix(".png")  # from the key
        assert abs(row.created - told.created) < 1000
    for url, image in stored.items():
        assert (await world.index.ingest.check(image)).match.url == url  # type: ignore[union-attr]


async def test_reindex_keeps_what_only_the_rows_know(world: Wired, fake: FakeEmbedding) -> None:
    await fill(world, 3)
    before = await rows(world)
    fake.spoil = lambda vector: vector + 1
    await all_of(world.index.reindex.run())
    after = await rows(world)
    assert {id_: replace(row, norm=0) for id_, row in after.items()} == {
        id_: replace(row, norm=0) for id_, row in before.items()
    }
    assert all(after[id_].norm > before[id_].norm for id_ in before)


async def test_reindex_writes_only_rows_that_change(world: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    (url, _), *_ = (await fill(world, 4)).items()
    written: list[str] = []
    upsert = world.vectors.upsert

    async def watched(space: str, entries: Any) -> None:
        written.extend(row.url for row, _ in entries)
        await upsert(space, entries)

    monkeypatch.setattr(world.vectors, "upsert", watched)
    assert (await all_of(world.index.reindex.run()))[0].progress.done == 4
    assert written == []
    before = await rows(world)
    space = await world.vectors.space(await world.embedder.model())
    [told] = [row for row in before.values() if row.url == url]
    vector = (await world.vectors.vectors(space, [told.id]))[told.id]
    for changed in ((replace(told, url="https://old.example/a.jpg"), vector), (told, vector + 1)):
        await upsert(space, [changed])
        await all_of(world.index.reindex.run())
        assert written == [url]
        assert await rows(world) == before
        assert np.array_equal((await world.vectors.vectors(space, [told.id]))[told.id], vector)
        written.clear()


async def test_reindex_streams_batches_with_rate_and_time_left(tmp_path: Path, port: int) -> None:
    async with wired(tmp_path, port, batch_size=2) as world, stub_of(world) as stub:
        await fill(world, 7)
        told = [m async for m in client.stream(stub.Reindex, pb.ReindexRequest(), timeout=30)]
    assert [message.progress.done for message in told] == [0, 2, 4, 6, 7]
    assert {message.progress.total for message in told} == {7}
    assert all(message.progress.rate > 0 for message in told[1:])
    assert not told[0].progress.HasField("time_left")
    assert told[-1].progress.time_left.ToSeconds() == 0


async def test_reindex_goes_on_where_it_was_stopped(tmp_path: Path, port: int, fake: FakeEmbedding) -> None:
    async with wired(tmp_path, port, batch_size=1) as world:
        await fill(world, 6)
        await fill(world, 2, "blysk")
        embedded = fake.embedded
        await stop_after(world, 4)
    async with wired(tmp_path, port, batch_size=1) as world:
        assert await first_of(world.index.reindex.run()) == (4, 8)
    async with wired(tmp_path, port, batch_size=1) as world:
        fake.embedded = 0
        last, _ = await all_of(world.index.reindex.run())
        assert (last.progress.done, fake.embedded) == (8, 4)
        fake.embedded = 0
        last, _ = await all_of(world.index.reindex.run())  # finished: starts over
        assert (last.progress.done, fake.embedded) == (8, 8)
        await stop_after(world, 4)
        fake.embedded = 0
        await all_of(world.index.reindex.run(restart=True))
        assert fake.embedded == 8
    assert embedded == 8


async def test_reindex_touches_no_other_bucket(world: Wired, fake: FakeEmbedding) -> None:
    await fill(world, 3)
    await fill(world, 3, "blysk", first=3)
    others = await rows(world, "blyskimg")
    (lost, *_), bucket = others, "blyskimg"
    await lose_rows(world, lost)
    fake.spoil = lambda vector: vector + 1
    before = await rows(world, bucket)
    last, _ = await all_of(world.index.reindex.run("alya"))
    assert last.progress.total == 3
    assert await rows(world, bucket) == before
    assert len(before) == 2


async def test_one_bad_object_fails_alone(world: Wired) -> None:
    await fill(world, 3)
    await world.objects.put("alyaimg", "images/broken.jpg", b"no picture", "image/jpeg")
    await world.objects.put("alyaimg", "images/cut.jpg", photo("ALY-EAR-001")[:9000], "image/jpeg")
    await world.objects.put("alyaimg", "images/empty.jpg", b"", "image/jpeg")
    last, problems = await all_of(world.index.reindex.run())
    assert kinds(problems) == ["UNREADABLE"] * 3
    assert {problem.url.rsplit("/")[-1] for problem in problems} == {"broken.jpg", "cut.jpg", "empty.jpg"}
    assert (last.progress.done, last.progress.failed) == (3, 3)
    assert len(await rows(world)) == 3


async def test_a_broken_vector_fails_alone(world: Wired, fake: FakeEmbedding) -> None:
    await fill(world, 3)
    numbers = iter(range(100))
    fake.spoil = lambda vector: vector * np.float32("nan") if next(numbers) == 1 else vector
    last, problems = await all_of(world.index.reindex.run())
    assert kinds(problems) == ["FAILED"]
    assert (last.progress.done, last.progress.failed) == (2, 1)
    assert len(await rows(world)) == 3


@pytest.mark.parametrize("again", [False, True], ids=["", "and sent again"])
@pytest.mark.parametrize("lost", [False, True], ids=["row", "lost row"])
async def test_a_picture_deleted_while_it_is_embedded(
    world: Wired, fake: FakeEmbedding, monkeypatch: pytest.MonkeyPatch, again: bool, lost: bool
) -> None:
    """It stays deleted; and sent again it has the address that its sender was told, and no other."""
    stored = await fill(world, 3)
    url, image = next(iter(stored.items()))
    if lost:
        await lose_rows(world, *await rows(world))
    fake.spoil = lambda vector: vector + 1  # all rows are written
    embed = world.embedder.embed_bulk

    async def meanwhile(images: Any) -> Any:
        monkeypatch.undo()
        answer = await embed(images)
        await world.index.curator.delete([url])
        del stored[url]
        if again:
            sent = await world.index.ingest.upload(Upload(image, original_name="b.png", skip_duplicate_check=True))
            stored[sent.url] = image
        return answer

    monkeypatch.setattr(world.embedder, "embed_bulk", meanwhile)
    assert (await all_of(world.index.reindex.run()))[1] == []
    assert url not in stored
    assert {row.url for row in (await rows(world)).values()} == stored.keys()
    assert {world.objects.url("alyaimg", key) for key in await world.keys()} == stored.keys()


async def test_reindex_waits_for_an_embedding_service_that_was_away(world: Wired, fake: FakeEmbedding) -> None:
    await fill(world, 3)
    fake.faults = [errors.Unavailable("away"), errors.ResourceExhausted("full")]
    last, problems = await all_of(world.index.reindex.run())
    assert (last.progress.done, problems, fake.faults) == (3, [], [])


async def test_long_work_does_not_run_twice_at_once(world: Wired) -> None:
    await fill(world, 2)
    running = world.index.reindex.run()
    await anext(running)
    for other in (world.index.reindex.run(), world.index.repair.run(), world.index.legacy.run(b"", b"")):
        with pytest.raises(errors.Aborted) as refused:
            await anext(aiter(other))
        assert refused.value.reason == "MAINTENANCE_RUNNING"
    await running.aclose()
    await all_of(world.index.repair.run())


async def test_another_model_is_embedded_from_the_objects(world: Wired, fake: FakeEmbedding) -> None:
    stored = await fill(world, 3)
    before = await rows(world)
    fake.model_id = "fake-2"
    await world.index.ingest.check(picture(99))
    assert await rows(world) == {}
    _, problems = await all_of(world.index.repair.run())
    assert kinds(problems) == ["OTHER_MODEL"] * 3
    assert {problem.url for problem in problems} == stored.keys()
    await all_of(world.index.reindex.run())
    after = await rows(world)
    assert {id_: replace(row, model_id="fake-1") for id_, row in after.items()} == before
    _, problems = await all_of(world.index.repair.run())
    assert problems == []


async def test_marks_survive_a_reindex_a_restart_and_a_change_of_model(
    tmp_path: Path, port: int, fake: FakeEmbedding
) -> None:
    fake.duplicate_distance = 1000.0
    async with wired(tmp_path, port) as world:
        one, other = await fill(world, 2)
        await world.index.curator.mark_distinct(one, other, "anna")
    async with wired(tmp_path, port) as world:
        await all_of(world.index.reindex.run(restart=True))
        await all_of(world.index.repair.run("", MEND_AND_DELETE))
        other = await assert_apart(world, one, other)
        fake.model_id = "fake-2"
        await world.index.ingest.check(picture(9))
        await world.index.curator.mark_distinct(other, one, "bina")  # rows of the earlier model have the right to it
        await all_of(world.index.reindex.run())
        await assert_apart(world, one, other)


async def assert_apart(world: Wired, one: str, other: str) -> str:
    """Everywhere: search by either, check of either's file, upload of the other; gives its new address."""
    for first, second, number in ((one, other, 0), (other, one, 1)):
        found = await world.index.search.by_stored(first, Window())
        assert [(m.url, m.verdict.name) for m in found.matches] == [(first, "EXACT"), (second, "SIMILAR")]
        decision = await world.index.ingest.check(picture(number))
        assert [m.verdict.name for m in decision.matches] == ["EXACT", "SIMILAR"]
    request = Upload(picture(number), original_name="other name.png")
    await world.index.curator.delete([other])
    again = await world.index.ingest.upload(request)
    assert again.indexed
    assert again.decision.verdict.name == "SIMILAR"
    return again.url


# ---- repair


async def test_repair_reports_first_and_mends_on_request(world: Wired, tmp_path: Path) -> None:
    stored = await fill(world, 6)
    urls = list(stored)
    by_url = {row.url: row for row in (await rows(world)).values()}
    space = await world.vectors.space(await world.embedder.model())
    await lose_rows(world, by_url[urls[0]].id)
    gone = by_url[urls[1]]
    await world.objects.delete(gone.bucket, gone.key)
    wrong = by_url[urls[2]]
    vector = (await world.vectors.vectors(space, [wrong.id]))[wrong.id]
    await world.vectors.upsert(space, [(replace(wrong, url="unknown"), vector)])
    await world.objects.put("alyaimg", "images/broken.jpg", b"no picture", "image/jpeg")
    expected = ["OBJECT_WITHOUT_ROW", "OBJECT_WITHOUT_ROW", "ROW_WITHOUT_OBJECT", "WRONG_URL"]

    for _ in range(2):  # a report changes nothing
        last, problems = await all_of(world.index.repair.run())
        assert kinds(problems) == expected
        assert not any(problem.mended for problem in problems)
        assert {problem.row_id for problem in problems} == {"", gone.id, wrong.id}
        assert last.progress.done + last.progress.failed == last.progress.total == 7

    _, problems = await all_of(world.index.repair.run("", MEND))
    assert {(p.kind.name, p.mended) for p in problems} == {
        ("OBJECT_WITHOUT_ROW", True),
        ("ROW_WITHOUT_OBJECT", False),
        ("WRONG_URL", True),
        ("UNREADABLE", False),
    }
    assert gone.id in await rows(world)  # deletion never by default
    _, problems = await all_of(world.index.repair.run("", MEND_AND_DELETE))
    assert {(p.kind.name, p.mended) for p in problems} == {("ROW_WITHOUT_OBJECT", True), ("UNREADABLE", False)}
    left = await rows(world)
    assert {row.url for row in left.values()} == {*urls} - {urls[1]}
    assert "images/broken.jpg" in await world.keys()  # no object is ever deleted
    _, problems = await all_of(world.index.repair.run("", MEND_AND_DELETE))
    assert kinds(problems) == ["UNREADABLE"]


async def test_repair_over_grpc(world: Wired) -> None:
    await fill(world, 2)
    (first, _) = await rows(world)
    await lose_rows(world, first)
    async with stub_of(world) as stub:

        async def repair(**given: Any) -> list[pb.IndexProblem]:
            told = [m async for m in client.stream(stub.Repair, pb.RepairRequest(**given), timeout=30)]
            return [problem for message in told for problem in message.problems]

        (problem,) = await repair()
        assert (problem.kind, problem.mended) == (pb.PROBLEM_KIND_OBJECT_WITHOUT_ROW, False)
        (problem,) = await repair(mend=True)
        assert problem.mended
        assert await repair() == []
        with pytest.raises(errors.InvalidArgument) as refused:
            await repair(delete_orphan_rows=True)
        assert refused.value.reason == "MEND_MISSING"
        with pytest.raises(errors.InvalidArgument):
            await repair(website="amazon")


async def test_a_second_copy_is_told_and_left(world: Wired) -> None:
    (url,) = await fill(world, 1)
    await world.objects.put("alyaimg", "images/twin.png", picture(0), "image/png")
    _, problems = await all_of(world.index.repair.run("", MEND_AND_DELETE))
    assert kinds(problems) == ["OBJECT_WITHOUT_ROW"]
    assert url in problems[0].detail
    assert [row.url for row in (await rows(world)).values()] == [url]
    _, again = await all_of(world.index.reindex.run())
    assert [problem.url for problem in again] == [problem.url for problem in problems]
    assert [row.url for row in (await rows(world)).values()] == [url]


async def test_an_object_that_was_replaced_is_told_and_left(world: Wired) -> None:
    (url,) = await fill(world, 1)
    (row,) = (await rows(world)).values()
    await world.objects.put(row.bucket, row.key, picture(7), "image/png")
    _, problems = await all_of(world.index.reindex.run())
    assert kinds(problems) == ["ROW_WITHOUT_OBJECT"]
    assert problems[0].url == url
    assert await rows(world) == {row.id: row}


async def test_repair_finishes_an_upload_that_was_cut_off_with_its_label(world: Wired) -> None:
    image = picture(0)
    seen = fingerprint(image)
    claims = Claims(world.objects)
    long_ago = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    claim = await claims.take("alyaimg", seen, Label("Gold Jhumka.png", "S-7"), False, long_ago)
    assert claim is not None
    _, problems = await all_of(world.index.repair.run())
    assert problems == []  # nothing of the picture is stored
    await world.objects.put("alyaimg", claim.key, image, "image/png")
    _, problems = await all_of(world.index.repair.run("", MEND))
    assert [(p.kind.name, p.mended) for p in problems] == [("OBJECT_WITHOUT_ROW", True)]
    (row,) = (await rows(world)).values()
    assert (row.sku, row.original_name, row.key, row.created) == ("S-7", "Gold Jhumka.png", claim.key, claim.created)
    assert await world.keys() == [claim.key]


async def test_claims_of_the_dead_are_dropped_those_of_the_living_kept(world: Wired) -> None:
    claims = Claims(world.objects)
    now = datetime.now(UTC)
    await claims.take("alyaimg", fingerprint(picture(0)), Label(), False, now - timedelta(hours=1))
    await claims.take("alyaimg", fingerprint(picture(1)), Label(), False, now + timedelta(seconds=5))
    await all_of(world.index.repair.run("", REPORT))
    assert len(await world.keys()) == 2
    await all_of(world.index.repair.run("", MEND))
    kept = fingerprint(picture(1)).sha_bytes
    assert await world.keys() == [f"claims/{row_id('alyaimg', kept)}.json"]


async def test_uploads_and_deletes_while_repairs_run(world: Wired) -> None:
    """What comes and goes meanwhile is neither reported nor touched."""
    first = list(await fill(world, 8))

    async def change() -> None:
        for number in range(8):
            await fill(world, 1, first=100 + number)
            await world.index.curator.delete([first[number]])

    work = asyncio.create_task(change())
    problems: list[Problem] = []
    while not work.done():
        problems += (await all_of(world.index.repair.run("", MEND_AND_DELETE)))[1]
    await work
    assert problems == []
    assert len(await world.keys()) == len(await rows(world)) == 8


# ---- exotic files


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "CMYK"])
async def test_an_exotic_file_is_kept_and_shown_as_a_jpeg(world: Wired, kind: str) -> None:
    out = io.BytesIO()
    with Image.open(io.BytesIO(photo("ALY-EAR-001"))) as image:
        large = image.resize((2400, 1200))
        (large.convert("CMYK") if kind == "CMYK" else large).save(out, "JPEG" if kind == "CMYK" else kind)
    upload = Upload(out.getvalue(), original_name="Large Scan", sku="S-1")
    stored = await world.index.ingest.upload(upload)
    assert stored.url.endswith("_large-scan.jpg")
    shown, original = sorted(await world.keys())
    assert shown.startswith("images/")
    assert original.startswith("originals/")
    assert (await world.objects.get("alyaimg", original)).data == upload.image
    with Image.open(io.BytesIO((await world.objects.get("alyaimg", shown)).data)) as jpeg:
        assert (jpeg.format, jpeg.mode, jpeg.size) == ("JPEG", "RGB", (2000, 1000))
    assert (await world.index.ingest.upload(upload)).url == stored.url

    before = await rows(world)
    await lose_rows(world, *before)
    await all_of(world.index.reindex.run())
    assert (await rows(world)).keys() == before.keys()  # embedded from the file as it came
    for key in (shown, original):
        await world.objects.delete("alyaimg", key)
        await world.index.ingest.upload(upload)
        assert sorted(await world.keys()) == [shown, original]
    await world.index.curator.delete([stored.url])
    assert await world.keys() == []
    assert await rows(world) == {}


async def test_an_exotic_upload_cut_off_between_its_objects_is_finished(world: Wired) -> None:
    image = picture(0, "TIFF")
    claim = await Claims(world.objects).take(
        "alyaimg", fingerprint(image), Label("a.tif"), True, datetime(2026, 1, 2, tzinfo=UTC)
    )
    assert claim is not None
    await world.objects.put("alyaimg", claim.original_key, image, "image/tiff")
    await all_of(world.index.repair.run("", MEND))
    assert sorted(await world.keys()) == sorted([claim.key, claim.original_key])
    (row,) = (await rows(world)).values()
    assert (row.key, row.original_key, row.original_name) == (claim.key, claim.original_key, "a.tif")
    await world.objects.put("alyaimg", "originals/left.tif", image, "image/tiff")
    _, problems = await all_of(world.index.repair.run("", MEND_AND_DELETE))
    assert [problem.url for problem in problems] == [world.objects.url("alyaimg", "originals/left.tif")]


# ---- the earlier system's files


async def test_import_of_the_earlier_index(world: Wired) -> None:
    keys = [f"images/20240101120000_{n:036x}_ring{n}.png" for n in range(4)]
    for number, key in enumerate(keys):
        bucket = "blyskimg" if number == 3 else "alyaimg"
        await world.objects.put(bucket, key, picture(number), "image/png")
    await world.objects.put("alyaimg", "images/bad.jpg", b"no picture", "image/jpeg")
    hashes = {hashlib.sha256(picture(n)).hexdigest(): key for n, key in enumerate(keys) if n != 2}
    hashes |= {"0" * 64: "images/missing.jpg", "1" * 64: "images/bad.jpg", "2" * 64: r"C:\images\local.jpg"}
    paths = {str(n): f"https://alyaimg.s3.amazonaws.com/{keys[n]}" for n in range(3)}
    paths |= {"77": "https://alyaimg.s3.amazonaws.com/excel_files/x.xlsx", "78": "https://elsewhere.example/x.jpg"}
    request = pb.ImportLegacyIndexRequest(
        indexed_hashes=json.dumps(hashes).encode(), int_hash_to_path=json.dumps(paths).encode(), dry_run=True
    )
    async with stub_of(world) as stub:

        async def run() -> tuple[Any, dict[str, int]]:
            told = [m async for m in client.stream(stub.ImportLegacyIndex, request, timeout=30)]
            return told[-1].progress, {p.url: p.kind for message in told for p in message.problems}

        refused = {
            "images/missing.jpg": pb.PROBLEM_KIND_ROW_WITHOUT_OBJECT,
            r"C:\images\local.jpg": pb.PROBLEM_KIND_FAILED,
            "https://alyaimg.s3.amazonaws.com/excel_files/x.xlsx": pb.PROBLEM_KIND_FAILED,
            "https://elsewhere.example/x.jpg": pb.PROBLEM_KIND_FAILED,
        }
        progress, problems = await run()
        assert problems == refused
        assert (progress.done, progress.total, progress.failed) == (5, 9, 4)
        assert await rows(world) == {}
        request.dry_run = False
        for _ in range(2):  # safe to repeat
            progress, problems = await run()
            unreadable = {world.objects.url("alyaimg", "images/bad.jpg"): pb.PROBLEM_KIND_UNREADABLE}
            assert problems == refused | unreadable
            assert (progress.done, progress.total, progress.failed) == (4, 9, 5)
    assert {row.key for row in (await rows(world)).values()} == set(keys[:3])
    assert {row.key for row in (await rows(world, "blyskimg")).values()} == {keys[3]}
    found = await world.index.ingest.check(picture(1))
    assert found.match is not None
    assert found.match.url == world.objects.url("alyaimg", keys[1])


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"a": 1}', b"\xff", b"null"])
async def test_import_of_something_else_is_refused(world: Wired, data: bytes) -> None:
    for given in ((data, b""), (b"", data)):
        with pytest.raises(errors.InvalidArgument) as refused:
            await all_of(world.index.legacy.run(*given))
        assert refused.value.reason == "LEGACY_INDEX_UNREADABLE"


# ---- after the start


async def test_wishes_of_the_configuration_come_true_in_the_background(
    tmp_path: Path, port: int, fake: FakeEmbedding
) -> None:
    async with wired(tmp_path, port) as world:
        first, second, third = await fill(world, 3)
        by_url = {row.url: row for row in (await rows(world)).values()}
        await lose_rows(world, by_url[first].id)
        await world.objects.delete("alyaimg", by_url[second].key)
    async with wired(tmp_path, port, wishes=Wishes(clean_orphans=True)) as world:
        world.index.background.start()
        await world.index.background.done()
        assert {row.url for row in (await rows(world)).values()} == {first, third}
    fake.model_id = "fake-2"
    for wishes, expected in ((Wishes(), 0), (Wishes(embed_other_model=True), 2), (Wishes(reindex=True), 2)):
        async with wired(tmp_path, port, wishes=wishes) as world:
            fake.embedded = 0
            world.index.background.start()
            await world.index.background.done()
            assert fake.embedded == expected
            assert len(await rows(world)) == min(expected, 2)


async def test_cleaning_deletes_nothing_when_the_bucket_seems_wrong(tmp_path: Path, port: int) -> None:
    async with wired(tmp_path, port) as world:
        await fill(world, 24)
        for key in (await world.keys())[:21]:
            await world.objects.delete("alyaimg", key)
    async with wired(tmp_path, port, wishes=Wishes(clean_orphans=True)) as world:
        world.index.background.start()
        await world.index.background.done()
        assert len(await rows(world)) == 24


async def test_background_work_that_is_stopped_goes_on_the_next_time(
    tmp_path: Path, port: int, fake: FakeEmbedding
) -> None:
    async with wired(tmp_path, port, batch_size=1) as world:
        await fill(world, 8)
    async with wired(tmp_path, port, batch_size=1, wishes=Wishes(reindex=True)) as world:
        fake.delay = 0.1
        note = f"reindex/{await world.vectors.space(await world.embedder.model())}/alyaimg"
        world.index.background.start()
        while await world.vectors.note(note) is None:
            await asyncio.sleep(0.01)
    async with wired(tmp_path, port, batch_size=1) as world:
        fake.delay = 0.0
        assert (await first_of(world.index.reindex.run()))[0] >= 1


def test_the_meter_tells_rate_and_time_left() -> None:
    now = iter([0.0, 2.0, 4.0])
    meter = Meter(total=40, done=20, clock=lambda: next(now))
    meter.add(9, 1)
    progress = meter.report((Problem(ProblemKind.FAILED, "x"),)).progress
    assert (progress.done, progress.failed, progress.rate, progress.seconds_left) == (29, 1, 5.0, 2.0)
    meter.add(10)
    assert meter.report().progress.seconds_left == 0


async def test_the_store_pages_through_every_row(world: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vision_index_service.adapters.milvus_store._PAGE", 4)
    await fill(world, 30)
    await fill(world, 3, "blysk")
    space = await world.vectors.space(await world.embedder.model())
    pages = [page async for page in world.vectors.scan(space, "alyaimg")]
    found = [row.id for page in pages for row in page]
    assert len(found) == len(set(found)) == 30
    assert max(len(page) for page in pages) < 4
    everything = await world.vectors.find(space, Filter(bucket="alyaimg"), 100)
    assert set(found) == {row.id for row in everything}
