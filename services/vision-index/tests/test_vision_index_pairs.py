"""The labelled sample pairs: what the bounds of the verdicts were read off, and the verdicts that follow."""

from __future__ import annotations

import asyncio
import io
import itertools
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from vision_index_world import PHOTOS, Wired, photo

from samples import make_pairs as samples
from samples.make_pairs import Pair
from vision_index_service import verdict
from vision_index_service.fingerprint import color_distance, distance, fingerprint, product_box
from vision_index_service.ingest import Upload
from vision_index_service.model import Print, Reason, Verdict

pytestmark = pytest.mark.xdist_group("vision-index-pairs")  # one process reads and renders the pictures
SAME = {"same_bytes", "re_encode", "resize", "crop", "brightness", "watermark", "rotate"}
OTHER = {"different_product_same_type", "unrelated", "other_angle"}


FEW = {"ALY-BRA-011", "ALY-EAR-001", "ALY-NEC-002"}
"""Photos whose variants the quick suite renders; `-m slow` takes all ten."""


@pytest.fixture(scope="module", params=["few", pytest.param("all", marks=pytest.mark.slow)])
def pairs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    """The labelled pairs, the variants rendered."""
    out = tmp_path_factory.mktemp("pairs")
    if request.param == "all":
        return samples.make_pairs(out)
    here = out / "samples"
    here.mkdir()
    (here / "photos").symlink_to(PHOTOS)
    lines = (PHOTOS.parent / "pairs.csv").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if ",pairs/" not in line or Path(line.split(",")[0]).stem in FEW]
    (here / "pairs.csv").write_text("\n".join(kept), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(samples, "HERE", here)
        return samples.make_pairs(out)


@pytest.fixture(scope="session")
def photo_prints() -> dict[str, Print]:
    """Prints of the sample photos by file name."""
    return read_all(PHOTOS.glob("*.jpg"))


@pytest.fixture(scope="module")
def prints(pairs: list[Pair], photo_prints: dict[str, Print]) -> dict[str, Print]:
    """Prints by file name."""
    return photo_prints | read_all({p.file_b for p in pairs if p.file_b.name not in photo_prints})


def read_all(files: Iterable[Path]) -> dict[str, Print]:
    with ThreadPoolExecutor(2) as pool:
        return dict(pool.map(lambda file: (file.name, fingerprint(file.read_bytes())), files))


def test_hashes_and_colors_alone_tell_the_pairs(pairs: list[Pair], prints: dict[str, Print]) -> None:
    told = Counter[tuple[str, Reason]]()
    for pair in pairs:
        one, other = prints[pair.file_a.name], prints[pair.file_b.name]
        told[pair.relation, verdict.same_photo(other, one)] += 1
        if pair.relation in SAME:
            assert color_distance(one.colors, other.colors) <= verdict.COLOR_BOUND, pair
        if pair.relation == "flip":
            assert color_distance(one.colors, other.colors, mirrored=True) <= verdict.COLOR_BOUND, pair
    for relation, reason in told:
        wanted = Reason.MIRRORED_PHOTO if relation == "flip" else Reason.SAME_PHOTO if relation in SAME else Reason.NONE
        assert reason is wanted, (relation, reason)
    assert {relation for relation, _ in told} == SAME | OTHER | {"flip"}


def test_no_two_photos_are_taken_for_one(photo_prints: dict[str, Print]) -> None:
    for one, other in itertools.combinations(sorted(photo_prints), 2):
        assert verdict.same_photo(photo_prints[one], photo_prints[other]) is Reason.NONE, (one, other)


def test_bounds_lie_in_the_gap(pairs: list[Pair], prints: dict[str, Print], photo_prints: dict[str, Print]) -> None:
    """At least 4 bits from either side, so that another version of a decoder changes no verdict."""
    apart = list(itertools.combinations(photo_prints.values(), 2))
    same = [(prints[p.file_a.name], prints[p.file_b.name]) for p in pairs if p.relation in SAME]
    frames = [distance(a.frame, b.frame) for a, b in same]
    assert max(d for d in frames if d <= verdict.FRAME_BOUND) <= verdict.FRAME_BOUND - 4
    assert min(distance(a.frame, b.frame) for a, b in apart) >= verdict.FRAME_BOUND + 4
    assert max(distance(a.box, b.box) for a, b in same) <= verdict.BOX_BOUND - 12
    assert min(distance(a.box, b.box) for a, b in apart) >= verdict.BOX_BOUND + 12


async def test_photos_are_stored_and_their_variants_found(world: Wired, pairs: list[Pair]) -> None:
    urls = {}
    files = sorted(PHOTOS.glob("*.jpg"))
    if len(pairs) < 150:
        files = [file for n, file in enumerate(files) if n % 5 == 0 or file.stem == "ALY-BRA-011"]
    done = await asyncio.gather(
        *(world.index.ingest.upload(Upload(file.read_bytes(), original_name=file.name)) for file in files)
    )
    for file, stored in zip(files, done, strict=True):
        assert stored.indexed, (file.name, stored.decision.explanation)
        assert stored.decision.verdict in (Verdict.SIMILAR, Verdict.NEW)
        urls[file.name] = stored.url
    for pair in pairs:
        if pair.relation in OTHER or pair.file_a.stem != "ALY-BRA-011":
            continue
        again = await world.index.ingest.upload(Upload(pair.file_b.read_bytes()))
        assert not again.indexed or pair.relation == "same_bytes", pair
        assert again.url == urls[pair.file_a.name], pair
        assert again.decision.verdict is (Verdict.EXACT if pair.relation == "same_bytes" else again.decision.verdict)
        assert again.decision.verdict.stops_upload, pair
        assert (again.decision.reason is Reason.MIRRORED_PHOTO) == (pair.relation == "flip"), pair
    assert len(await world.keys()) == len(urls) == await world.rows()


def recolored(data: bytes) -> bytes:
    """The same photo with the stones' hue turned by a third."""
    with Image.open(io.BytesIO(data)) as picture:
        values = np.asarray(picture.convert("HSV")).copy()
    hue, strong = values[..., 0].astype(int), values[..., 1] > 90
    stones = strong & ((hue < 8) | (hue > 50))
    values[..., 0] = np.where(stones, (hue + 85) % 256, hue).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(values, "HSV").convert("RGB").save(out, "JPEG", quality=90)
    return out.getvalue()


@pytest.mark.parametrize("sku", ["ALY-EAR-010", "ALY-RNG-003", "ALY-RNG-002", "ALY-NEC-006"])
async def test_a_variant_in_another_color_is_stored_beside(world: Wired, sku: str) -> None:
    """Grey hashes take it for the same photo; a seller's colour variants must not be refused."""
    original, variant = photo(sku), recolored(photo(sku))
    assert verdict.same_photo(fingerprint(variant), fingerprint(original)) is Reason.SAME_PHOTO
    first = await world.index.ingest.upload(Upload(original))
    second = await world.index.ingest.upload(Upload(variant))
    assert second.indexed
    assert second.url != first.url
    assert second.decision.verdict is Verdict.SIMILAR
    strict = await world.index.ingest.check(variant, asked=1000.0)
    assert strict.verdict.stops_upload


def test_a_symmetric_picture_is_no_mirrored_one() -> None:
    half = Image.open(io.BytesIO(photo("ALY-EAR-001"))).crop((0, 0, 500, 1000))
    whole = Image.new("RGB", (1000, 1000))
    whole.paste(half, (0, 0))
    whole.paste(half.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (500, 0))
    files = []
    for picture in (whole, whole.transpose(Image.Transpose.FLIP_LEFT_RIGHT)):
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=80)
        files.append(fingerprint(out.getvalue()))
    assert verdict.same_photo(files[1], files[0]) is Reason.SAME_PHOTO


@pytest.mark.parametrize(
    ("size", "mode"), [((1, 1), "RGB"), ((3, 2), "L"), ((5000, 4), "RGB"), ((4, 5000), "RGBA"), ((64, 64), "CMYK")]
)
def test_odd_pictures_have_prints(size: tuple[int, int], mode: str) -> None:
    out = io.BytesIO()
    Image.new(mode, size, 200 if mode == "L" else None).save(out, "TIFF")
    made = fingerprint(out.getvalue())
    assert (made.width, made.height) == size
    assert len(made.colors) == 72
    assert made == fingerprint(out.getvalue())


def test_the_box_follows_the_product() -> None:
    picture = Image.new("RGB", (400, 300), (240, 240, 240))
    picture.paste((120, 90, 20), (100, 60, 220, 240))
    left, top, right, bottom = product_box(picture)
    assert abs(left - 100) <= 6
    assert abs(top - 60) <= 6
    assert abs(right - 220) <= 6
    assert abs(bottom - 240) <= 6
    assert product_box(Image.new("RGB", (40, 30))) == (0, 0, 40, 30)
