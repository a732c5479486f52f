"""The local analyzer against the ground truth of the samples: figures that may not fall, by the code of `make eval`.

The thresholds in `analyzer_service.pixels` were set on `samples/photos`: limits of hue, lightness and contrast, and of
which part borders on which. The second camera angles and the changed copies show that they fit no single picture.
"""

from __future__ import annotations

import argparse
import asyncio
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance

import marketplaces
from analyzer_service import eval as evaluate_command
from analyzer_service import evaluation
from analyzer_service.adapters.local import LocalAnalyzer
from analyzer_service.adapters.local_text import LocalEmbedder
from analyzer_service.analysis import Analyzer
from analyzer_service.evaluation import Evaluation, Outcome, Product, Verdict, judge
from marketplaces import Field
from tests import emulators

SAMPLES = Path(__file__).resolve().parents[3] / "samples"
PRODUCTS = evaluation.samples(SAMPLES)

# Some seventy pictures at a third of a second of one core each, on machines that may be busy.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    """One for all tests: what was measured in a picture is kept."""
    return Analyzer(LocalAnalyzer(), LocalEmbedder())


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """One loop, as the analyzer's locks belong to one."""
    with asyncio.Runner() as loop:
        yield loop


@pytest.fixture(scope="module")
def main_photos(analyzer: Analyzer, runner: asyncio.Runner) -> Evaluation:
    return runner.run(evaluation.evaluate(analyzer, PRODUCTS, title="Main photos"))


def test_the_local_analyzer_reaches_its_limits(main_photos: Evaluation) -> None:
    print(evaluate_command.report(main_photos))
    assert len({outcome.sku for outcome in main_photos.plain}) == 44
    assert {outcome.code for outcome in main_photos.outcomes} == set(marketplaces.CODES)
    assert all(limit.met for limit in evaluate_command.limits(main_photos))
    assert main_photos.count(Verdict.WRONG) == 0


def test_it_abstains_on_everything_that_pixels_do_not_tell(main_photos: Evaluation) -> None:
    filled = {outcome.concept for outcome in main_photos.outcomes if outcome.said}
    assert filled == {"metal_color", "color", "stone_color", "pearl_color", "finish"}


def test_second_camera_angles(analyzer: Analyzer, runner: asyncio.Runner) -> None:
    result = runner.run(
        evaluation.evaluate(analyzer, PRODUCTS, title="Second angles", codes=(), views=lambda p: p.views[1:2])
    )
    assert result.share_right("metal") >= 0.9
    assert result.count(Verdict.WRONG) + result.count(Verdict.INVENTED) == 0


def test_both_views_together(analyzer: Analyzer, runner: asyncio.Runner) -> None:
    def views(product: Product) -> tuple[Path, ...]:
        return product.views if len(product.views) > 1 else ()

    result = runner.run(evaluation.evaluate(analyzer, PRODUCTS, title="Together", codes=(), views=views))
    assert len(result.plain) == 2 * 12
    assert result.count(Verdict.WRONG) + result.count(Verdict.INVENTED) == 0


def recompressed(picture: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=45)
    return Image.open(buffer).convert("RGB")


@pytest.mark.parametrize(
    "change",
    [
        recompressed,
        lambda picture: picture.resize((560, 560), Image.Resampling.BICUBIC),
        lambda picture: ImageEnhance.Brightness(picture.rotate(90)).enhance(0.9),
    ],
    ids=["recompressed", "small", "darker and turned"],
)
def test_changed_copies(
    analyzer: Analyzer, runner: asyncio.Runner, change: Callable[[Image.Image], Image.Image]
) -> None:
    def changed(content: bytes) -> bytes:
        buffer = io.BytesIO()
        with Image.open(io.BytesIO(content)) as picture:
            change(picture.convert("RGB")).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()

    result = runner.run(evaluation.evaluate(analyzer, PRODUCTS[::8], title="Changed", codes=(), change=changed))
    assert result.share_right("metal") >= 0.9
    assert result.count(Verdict.WRONG) + result.count(Verdict.INVENTED) == 0


# -- the evaluation itself --------------------------------------------------------------------


def field(concept: str, *options: str) -> Field:
    return Field(name="f", label="F", group="ai", concept=concept, options=options, question="Which?")


RUBY = {"metal_color": "rose gold", "stone_color": "red", "stone_type": "ruby", "pearl_color": "none"}
PLAIN = {"metal_color": "silver", "stone_color": "none", "stone_type": "none", "pearl_color": "none"}


@pytest.mark.parametrize(
    ("row", "entry", "said", "verdict"),
    [
        (RUBY, field("metal_color"), ("Rose Gold",), Verdict.RIGHT),
        (RUBY, field("metal_color"), ("Gold",), Verdict.WRONG),
        (RUBY, field("metal_color"), (), Verdict.ABSTAINED),
        (RUBY, field("stone_color", "Red", "Green"), ("Red",), Verdict.RIGHT),
        (RUBY, field("stone_color", "Red", "Green"), ("red",), Verdict.INVENTED),
        (RUBY, field("color"), ("Red",), Verdict.RIGHT),
        (RUBY, field("color"), ("Rose Gold", "Blue"), Verdict.WRONG),
        (PLAIN, field("stone_color"), ("Red",), Verdict.INVENTED),
        (PLAIN, field("stone_type"), ("No Stone",), Verdict.RIGHT),
        (PLAIN, field("pearl_color"), ("White",), Verdict.INVENTED),
        (RUBY, field("occasion"), ("Wedding",), Verdict.INVENTED),
        (RUBY, field("finish"), ("Oxidised",), Verdict.INVENTED),
    ],
)
def test_verdicts(row: dict[str, str], entry: Field, said: tuple[str, ...], verdict: Verdict) -> None:
    assert judge(row, entry, said, checked=True)[1] is verdict


def test_what_nobody_can_judge_is_not_held_against_a_model() -> None:
    assert judge(RUBY, field("occasion"), ("Wedding",), checked=False)[1] is Verdict.UNCHECKED


def fallen(verdict: Verdict) -> Evaluation:
    """Ten pictures of which the last two got another verdict."""
    result = Evaluation("Fallen", "somebody")
    for number in range(10):
        for name, truth in (("metal", "gold"), ("main stone", "red")):
            last = verdict if number >= 8 else Verdict.RIGHT
            said = () if last is Verdict.ABSTAINED else (truth,)
            result.plain.append(Outcome(f"SKU-{number}", "", name, "", truth, said, last))
    return result


@pytest.mark.parametrize(
    ("verdict", "met"),
    [
        (Verdict.RIGHT, [True, True, True]),
        (Verdict.ABSTAINED, [False, True, True]),
        (Verdict.INVENTED, [False, True, False]),
    ],
)
def test_a_drop_is_noticed(verdict: Verdict, met: list[bool]) -> None:
    assert [limit.met for limit in evaluate_command.limits(fallen(verdict))] == met


async def test_a_drop_fails_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def worse(*values: object, **named: object) -> Evaluation:
        return fallen(Verdict.ABSTAINED)

    monkeypatch.setattr(evaluation, "evaluate", worse)
    options = argparse.Namespace(provider="local", samples=SAMPLES, codes=(), products=1, plot=tmp_path / "c.png")
    assert await evaluate_command.run(options) == 1
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_another_provider_is_evaluated_the_same_way(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with emulators.gemini() as gemini:
        monkeypatch.setenv("GOOGLE_API_KEY", "a-key")
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", gemini.url)
        command = ["--provider", "gemini", "--samples", str(SAMPLES), "--products", "1", "--codes", "mee_ear"]
        assert evaluate_command.main([*command, "--plot", str(tmp_path / "confusion.png")]) == 0
    printed = capsys.readouterr().out
    assert "gemini gemini-3.8-flash" in printed
    assert "| mee_ear: " in printed
    assert "Cost:" in printed
    monkeypatch.delenv("GOOGLE_API_KEY")
    monkeypatch.chdir(tmp_path)
    assert evaluate_command.main(command) == 2
