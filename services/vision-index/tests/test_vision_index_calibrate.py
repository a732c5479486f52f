"""The calibrate command: what it prints and writes, and that the service works with it."""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from vision_index_world import PHOTOS, FakeEmbedding, photo, serving, wired

from servicekit import errors
from vision_index_service import thresholds_file
from vision_index_service.adapters.embedder import GrpcEmbedder
from vision_index_service.calibrate import calibrate, main, measure, read_pairs, with_all_others
from vision_index_service.calibration import MARGIN, Measured, Pairs, rates_table, verdict_table, with_thresholds
from vision_index_service.fingerprint import fingerprint
from vision_index_service.model import EmbeddingModel, Reason, Verdict
from vision_index_service.reading import Policy, Reader
from vision_index_service.settings import Settings
from vision_index_service.thresholds_file import Calibrated, Curve, Rates

MODEL = EmbeddingModel("m-1", "m", 512, 5.0, 25.0)
ROWS = [
    ("photos/ALY-EAR-001.jpg", "small.jpg", "resize"),
    ("photos/ALY-EAR-001.jpg", "mirrored.jpg", "flip"),
    ("photos/ALY-EAR-001.jpg", "photos/ALY-EAR-001_2.jpg", "other_angle"),
    ("photos/ALY-EAR-001.jpg", "photos/ALY-EAR-005.jpg", "different_product_same_type"),
    ("photos/ALY-NEC-002.jpg", "photos/ALY-RNG-003.jpg", "unrelated"),
]


@pytest.fixture(scope="module")
def pairs_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pairs; the variants lie beside the CSV, the photos with the samples."""
    folder = tmp_path_factory.mktemp("labelled")
    with Image.open(PHOTOS / "ALY-EAR-001.jpg") as image:
        image.resize((500, 500)).save(folder / "small.jpg", quality=85)
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "mirrored.jpg", quality=85)
    with open(folder / "pairs.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file_a", "file_b", "relation"), *ROWS])
    return folder / "pairs.csv"


def made(relation: str, squared_l2: float) -> Measured:
    """A pair whose prints tell nothing."""
    first = fingerprint(photo("ALY-EAR-001"))
    return Measured(relation, squared_l2, first, fingerprint(photo("ALY-RNG-003")))


@pytest.fixture(scope="module")
def told() -> dict[str, Measured]:
    return {"pair": made("resize", 0.0)}


def pairs_of(told: dict[str, Measured], **distances: list[float]) -> Pairs:
    one = told["pair"]
    return Pairs([Measured(relation, d, one.first, one.second) for relation, ds in distances.items() for d in ds])


def test_thresholds_keep_off_other_photos(told: dict[str, Measured]) -> None:
    apart = pairs_of(told, resize=[0.1, 1.0], other_angle=[4.0, 6.0], unrelated=[9.0, 50.0])
    assert apart.thresholds() == Calibrated(2.0, 9.0)  # half way by ratio of 1 and 4; no view is 9 or farther
    overlapping = pairs_of(told, resize=[0.1, 5.0], other_angle=[4.0, 20.0], unrelated=[9.0, 50.0])
    assert overlapping.thresholds().duplicate == round(4.0 * MARGIN, 2)
    no_views = pairs_of(told, resize=[1.0], unrelated=[4.0])
    assert no_views.thresholds() == Calibrated(2.0, 2.0)
    identical = pairs_of(told, same_bytes=[0.0], unrelated=[4.0])
    assert 0 < identical.thresholds().duplicate < 4
    with pytest.raises(ValueError, match="different products"):
        pairs_of(told, resize=[1.0])


def test_rates_count_what_a_threshold_gets_wrong(told: dict[str, Measured]) -> None:
    pairs = pairs_of(told, resize=[1.0, 2.0, 3.0, 4.0], other_angle=[2.5, 8.0], unrelated=[3.0, 9.0])
    rates = pairs.rates(3.0)
    assert (rates.duplicate_match, rates.duplicate_miss) == (0.25, 0.5)
    assert (rates.similar_match, rates.similar_miss) == (0.0, 0.5)
    assert rates.duplicate_miss_all == 0.5  # these prints tell nothing
    assert "<- duplicate" in rates_table(pairs, pairs.thresholds())


def test_pairs_that_nobody_joined_are_other_products(pairs_csv: Path) -> None:
    pairs = read_pairs(pairs_csv, [pairs_csv.parent, PHOTOS.parent])
    every = with_all_others(pairs)
    # Five photos are ten pairs; three of them are labelled, and the variants are no photos of their own.
    assert len(every) == len(pairs) + 7
    assert {pair.relation for pair in every[len(pairs) :]} == {"unrelated"}


@pytest.mark.parametrize(
    "row", [("a.jpg", "b.jpg", "cousin"), ("none.jpg", "none.jpg", "resize"), ("", "", "resize"), ("x",)]
)
def test_pairs_that_are_wrong_are_named(tmp_path: Path, row: tuple[str, ...], capsys: Any) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text("file_a,file_b,relation\n" + ",".join(row) + "\n", encoding="utf-8")
    with pytest.raises(errors.InvalidArgument, match="line 2"):
        read_pairs(file, [tmp_path])
    assert main([str(file)], Settings(_env_file=None, data_dir=tmp_path)) == 2  # type: ignore[call-arg]
    assert "line 2" in capsys.readouterr().err


@pytest.fixture
async def reader(port: int, tmp_path: Path) -> AsyncIterator[Reader]:
    settings = Settings(_env_file=None, data_dir=tmp_path)  # type: ignore[call-arg]
    embedder = GrpcEmbedder(f"127.0.0.1:{port}", settings, 10.0)
    made = Reader(embedder, Policy())
    yield made
    await made.close()
    await embedder.close()


async def test_verdicts_per_relation(reader: Reader, pairs_csv: Path) -> None:
    pairs, model = await measure(reader, read_pairs(pairs_csv, [pairs_csv.parent, PHOTOS.parent]))
    verdicts = pairs.verdicts(with_thresholds(model, Calibrated(0.0, 0.0)))
    assert verdicts["resize"] == {(Verdict.DUPLICATE, Reason.SAME_PHOTO): 1}
    assert verdicts["flip"] == {(Verdict.DUPLICATE, Reason.MIRRORED_PHOTO): 1}
    assert verdicts["other_angle"] == verdicts["unrelated"] == {(Verdict.NEW, Reason.NONE): 1}
    assert pairs.rates(0.0).duplicate_miss == 1.0
    assert pairs.rates(0.0).duplicate_miss_all == 0.0  # the hashes tell them
    assert "| flip | 1 |  |  | 1 |" in verdict_table(pairs, with_thresholds(model, None))


async def test_the_command_writes_what_the_service_reads(
    tmp_path: Path, fake: FakeEmbedding, pairs_csv: Path, capsys: Any
) -> None:
    file = tmp_path / "thresholds.json"
    thresholds_file.write(file, "another-model", Calibrated(1.0, 2.0), {})
    async with serving(fake) as port:
        settings = Settings(  # type: ignore[call-arg]
            _env_file=None, data_dir=tmp_path, embedding_addr=f"127.0.0.1:{port}", thresholds_file=file
        )
        given = argparse_of(pairs_csv, no_write=False)
        assert await calibrate(given, settings) == 0
        printed = capsys.readouterr().out
        assert "Verdicts with the calibrated thresholds" in printed
        found = thresholds_file.read(file)
        assert found.keys() == {"another-model", "fake-1"}
        assert f"DUPLICATE_DISTANCE={found['fake-1'].duplicate:g}" in printed
        with Image.open(tmp_path / "thresholds.png") as plotted:
            assert plotted.format == "PNG"
        async with wired(tmp_path, port, thresholds_file=file) as world:
            stats = await world.index.curator.stats()
            assert (stats.thresholds.duplicate, stats.thresholds.similar) == (
                found["fake-1"].duplicate,
                found["fake-1"].similar,
            )
            assert stats.thresholds.calibrated
            assert stats.curve == found["fake-1"].curve
            assert stats.curve is not None
            assert stats.curve.pairs > len(ROWS)
            told = [one.threshold for one in stats.curve.rates]
            assert told == sorted(set(told))
            # Nothing is below the first point, everything below the last.
            assert stats.curve.rates[0].similar_match == 0
            assert stats.curve.rates[-1].duplicate_miss == 0
        async with wired(tmp_path, port, thresholds_file=file, duplicate_distance=3.5) as world:
            assert (await world.index.curator.stats()).thresholds.duplicate == 3.5  # a person's setting wins


def argparse_of(pairs: Path, no_write: bool) -> Any:
    return argparse.Namespace(
        pairs=pairs, root=[pairs.parent, PHOTOS.parent], plot=None, no_write=no_write, others_differ=True, curve=None
    )


def test_curves_come_with_the_embedded_model(tmp_path: Path) -> None:
    [(model_id, curve)] = thresholds_file.shipped().items()
    assert model_id.startswith("perceptual/")
    thresholds_file.write_curve(tmp_path / "c.json", "m-1", Curve(2, (Rates(1.0, 0.0, 0.5, 0.25, 0.0, 1.0),)))
    thresholds_file.write_curve(tmp_path / "c.json", model_id, curve)
    kept = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))["models"]
    assert kept["m-1"] == {"pairs": 2, "rates": [[1.0, 0.0, 0.5, 0.25, 0.0, 1.0]]}
    assert Curve.of(kept[model_id]) == curve


def test_a_service_that_is_away_is_told(tmp_path: Path, pairs_csv: Path, capsys: Any) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path, embedding_addr="127.0.0.1:9")  # type: ignore[call-arg]
    assert main([str(pairs_csv), "--root", str(pairs_csv.parent), "--root", str(PHOTOS.parent)], settings) == 2
    assert "embedding" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"models": {"m": {}}}',
        '{"models": {"m": {"duplicate_distance": 5, "similar_distance": 1}}}',
        '{"models": {"m": {"duplicate_distance": -1, "similar_distance": 1}}}',
        '{"models": {"m": {"duplicate_distance": "x", "similar_distance": 1}}}',
        '{"models": {"m": {"duplicate_distance": 1, "similar_distance": 1e999}}}',
        '{"models": {"m": {"duplicate_distance": 1, "similar_distance": 2, "rates": [[1]]}}}',
    ],
)
def test_a_thresholds_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "t.json"
    file.write_text(text, encoding="utf-8")
    for use in (
        lambda: thresholds_file.read(file),
        lambda: thresholds_file.write(file, "m", Calibrated(1.0, 2.0), {}),
    ):
        with pytest.raises(errors.FailedPrecondition) as refused:
            use()
        assert refused.value.reason == "THRESHOLDS_FILE_UNUSABLE"
    assert file.read_text(encoding="utf-8") == text


def test_a_thresholds_file_is_needed_only_where_it_is_named(tmp_path: Path) -> None:
    assert thresholds_file.read(tmp_path / "t.json") == {}
    with pytest.raises(errors.FailedPrecondition):
        thresholds_file.read(tmp_path / "t.json", must_exist=True)
    thresholds_file.write(tmp_path / "deep" / "t.json", "m-1", Calibrated(1.5, 2.5), {"pairs": 3})
    assert thresholds_file.read(tmp_path / "deep" / "t.json") == {"m-1": Calibrated(1.5, 2.5)}
    assert json.loads((tmp_path / "deep" / "t.json").read_text())["models"]["m-1"]["pairs"] == 3
    assert Calibrated(1.5, 2.5).of(MODEL).similar_distance == 2.5
