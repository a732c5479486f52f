"""Syncs through the whole service: incremental, over restarts and damage, with an analyzer that fails."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jewelry.semantic.v1 import semantic_pb2
from semantic_world import FakeShop, RunningAnalyzer, make_catalogue, serving

from semantic_service.settings import Settings
from servicekit import client, errors

Configure = Callable[..., Settings]


def written(path: Path, catalogue: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps(catalogue))
    return path


async def test_only_what_changed_is_embedded(settings: Configure, analyzer: RunningAnalyzer, tmp_path: Path) -> None:
    catalogue = make_catalogue(120)
    file = written(tmp_path / "products.json", catalogue)
    async with serving(settings(products_file=file)) as semantic:
        assert (await semantic.status()).products == 120
        assert sorted(analyzer.servicer.embedded(catalogue)) == [product["id"] for product in catalogue]

        analyzer.servicer.forget()
        again = await semantic.sync()
        assert (again.added, again.changed, again.removed) == (0, 0, 0)
        assert (again.progress.done, again.progress.total) == (120, 120)
        assert analyzer.servicer.embedded(catalogue) == []

        catalogue[3]["title"] = "Silver Lotus Kada 3"
        catalogue[4]["price"] = 12345
        changed = [*catalogue[:100], {"id": "new", "title": "Gold Ring", "price": 100}]
        written(file, changed)
        third = await semantic.sync()
        assert (third.added, third.changed, third.removed) == (1, 2, 20)
        # A new price needs no new vector.
        assert sorted(analyzer.servicer.embedded(changed)) == ["P00003", "new"]
        dear = await semantic.filter(min_price=12345, collection_size=10)
        assert [match.id for match in dear.matches] == ["P00004"]
        assert (await semantic.status()).products == 101

        analyzer.servicer.forget()
        full = await semantic.sync(full=True)
        assert full.changed == 101
        assert len(analyzer.servicer.embedded(changed)) == 101


async def test_a_restart_keeps_the_state(settings: Configure, analyzer: RunningAnalyzer, tmp_path: Path) -> None:
    catalogue = make_catalogue(60)
    file = written(tmp_path / "products.json", catalogue)
    async with serving(settings(products_file=file)) as semantic:
        before = await semantic.filter(manual_prompt="gold peacock jhumka", collection_size=30)
        synced = (await semantic.status()).last_sync
    analyzer.servicer.forget()
    file.unlink()
    async with serving(settings(products_file=file)) as semantic:
        status = await semantic.status()
        assert status.products == 60
        assert status.last_sync == synced
        assert "products.json cannot be read" in status.last_error
        after = await semantic.filter(manual_prompt="gold peacock jhumka", collection_size=30)
        assert after.stale
        assert not before.stale
        assert {match.id for match in after.matches} == {match.id for match in before.matches}
        assert [match.style for match in after.matches] == [match.style for match in before.matches]
        assert not analyzer.servicer.documents


async def test_one_sync_at_a_time(settings: Configure, analyzer: RunningAnalyzer, tmp_path: Path) -> None:
    catalogue = make_catalogue(200)
    file = written(tmp_path / "products.json", catalogue)
    async with serving(settings(products_file=file, semantic_embed_batch=16)) as semantic:
        analyzer.servicer.forget()
        results = await asyncio.gather(*(semantic.sync(full=True) for _ in range(4)))
        assert [result.changed for result in results] == [200] * 4
        assert len(analyzer.servicer.embedded(catalogue)) == 200


async def test_progress_comes_while_it_works(settings: Configure, tmp_path: Path) -> None:
    file = written(tmp_path / "products.json", make_catalogue(90))
    async with serving(settings(products_file=file, semantic_embed_batch=5)) as semantic:
        seen = [
            message.progress.done
            async for message in client.stream(semantic.stub.Sync, semantic_pb2.SyncRequest(full=True), timeout=30.0)
        ]
        assert seen == sorted(seen)
        assert seen[-1] == 90
        assert len(set(seen)) >= 3


async def test_an_analyzer_that_is_down_leaves_the_last_state(
    settings: Configure, analyzer: RunningAnalyzer, tmp_path: Path
) -> None:
    file = written(tmp_path / "products.json", make_catalogue(30))
    async with serving(settings(products_file=file)) as semantic:
        analyzer.servicer.fail = lambda texts: errors.Unavailable("no model", reason="DOWN", retry_after=60.0)
        written(file, make_catalogue(40))
        with pytest.raises(errors.Unavailable, match="no model"):
            await semantic.sync()
        status = await semantic.status()
        assert status.products == 30
        assert status.last_error == "no model"
        with pytest.raises(errors.Unavailable, match="no model"):
            await semantic.filter(manual_prompt="gold jhumka")
        # Without a wish in free words nobody need be asked.
        assert len((await semantic.filter(color="gold")).matches) == 20
        analyzer.servicer.fail = lambda texts: None
        assert (await semantic.sync()).added == 10
        assert (await semantic.status()).last_error == ""


async def test_a_killed_analyzer_is_unavailable_at_filter(
    settings: Configure, analyzer: RunningAnalyzer, tmp_path: Path
) -> None:
    file = written(tmp_path / "products.json", make_catalogue(30))
    async with serving(settings(products_file=file)) as semantic:
        await analyzer.server.stop(0)
        with pytest.raises(errors.Unavailable):
            await semantic.filter(manual_prompt="gold jhumka")


async def test_one_text_that_cannot_be_embedded_takes_no_neighbour_along(
    settings: Configure, analyzer: RunningAnalyzer, tmp_path: Path
) -> None:
    catalogue = make_catalogue(40)
    catalogue[7]["title"] = "poison ring"

    def refuse(texts: list[str]) -> errors.ServiceError | None:
        return errors.InvalidArgument("refused") if any("poison" in text for text in texts) else None

    analyzer.servicer.fail = refuse
    file = written(tmp_path / "products.json", catalogue)
    async with serving(settings(products_file=file)) as semantic:
        again = await semantic.sync()
        assert (await semantic.status()).products == 39
        assert again.progress.failed == 1
        assert again.problems == ["product P00007: it cannot be embedded: refused"]


async def test_a_passing_fault_of_the_analyzer_is_tried_again(
    settings: Configure, analyzer: RunningAnalyzer, tmp_path: Path
) -> None:
    faults = [errors.Unavailable("hiccup", retry_after=0.01)]
    analyzer.servicer.fail = lambda texts: faults.pop() if faults and len(texts) > 1 else None
    file = written(tmp_path / "products.json", make_catalogue(30))
    async with serving(settings(products_file=file)) as semantic:
        assert not faults
        assert (await semantic.status()).products == 30


async def test_vectors_of_two_models_are_never_compared(
    settings: Configure, analyzer: RunningAnalyzer, tmp_path: Path
) -> None:
    catalogue = make_catalogue(50)
    file = written(tmp_path / "products.json", catalogue)
    async with serving(settings(products_file=file)) as semantic:
        analyzer.servicer.forget()
        analyzer.servicer.model_id = "bag-2"
        answer = await semantic.filter(manual_prompt="gold jhumka")
        assert answer.matches
        assert all(match.similarity == 0 for match in answer.matches)
        assert "ranked by words" in answer.adapters[0].detail
        # The service takes the catalogue over by itself; this follows that sync, or finds it done.
        await semantic.sync()
        assert (await semantic.status()).model_id == "bag-2"
        assert sorted(analyzer.servicer.embedded(catalogue)) == [product["id"] for product in catalogue]
        answer = await semantic.filter(manual_prompt="gold jhumka")
        assert answer.matches[0].similarity > 0.2

        # The other model's collection is still there, so that going back costs nothing.
        analyzer.servicer.forget()
        analyzer.servicer.model_id = "bag-1"
        await semantic.sync()
        assert (await semantic.status()).model_id == "bag-1"
        assert analyzer.servicer.embedded(catalogue) == []


@pytest.mark.parametrize("harm", ["sqlite", "index", "not a folder"])
async def test_a_damaged_folder_is_named_and_rebuilt(
    settings: Configure, analyzer: RunningAnalyzer, tmp_path: Path, harm: str
) -> None:
    # Chroma writes an index file from a thousand products on.
    count = 1100 if harm == "index" else 60
    catalogue = make_catalogue(count)
    file = written(tmp_path / "products.json", catalogue)
    configured = settings(products_file=file, semantic_embed_batch=512)
    async with serving(configured):
        pass
    folder = configured.data_dir / "chroma"
    if harm == "sqlite":
        (folder / "chroma.sqlite3").write_bytes(b"garbage" * 1000)
    elif harm == "index":
        indexes = list(folder.glob("*/*"))
        assert indexes
        for index in indexes:
            index.write_bytes(b"garbage")
    else:
        folder.rename(folder.with_name("elsewhere"))
        folder.write_text("not a folder")
    async with serving(configured) as semantic:
        status = await semantic.status()
        assert status.products == count
        assert status.last_error == ""
        assert "chroma.damaged-" in status.adapters[0].detail
        assert len(list(configured.data_dir.glob("chroma.damaged-*"))) == 1
        assert len((await semantic.filter(collection_size=1000)).matches) == min(count, 1000)


async def test_a_folder_that_vanishes_is_written_anew_from_memory(
    settings: Configure, analyzer: RunningAnalyzer, tmp_path: Path
) -> None:
    catalogue = make_catalogue(50)
    file = written(tmp_path / "products.json", catalogue)
    configured = settings(products_file=file)
    async with serving(configured) as semantic:
        shutil.rmtree(configured.data_dir / "chroma")
        analyzer.servicer.forget()
        catalogue[0]["price"] = 1
        written(file, catalogue)
        await semantic.sync()
        assert analyzer.servicer.embedded(catalogue) == []
        assert (await semantic.status()).products == 50
    async with serving(configured) as semantic:
        assert (await semantic.status()).products == 50


async def test_the_schedule_takes_over_what_changed(
    settings: Configure, shop: FakeShop, analyzer: RunningAnalyzer
) -> None:
    shop.gives(make_catalogue(5))
    async with serving(settings(products_api_url=shop.url, semantic_sync_seconds=0.05)) as semantic:
        shop.gives(make_catalogue(9))
        async with asyncio.timeout(10):
            while (await semantic.status()).products != 9:
                await asyncio.sleep(0.02)
