"""How right an analyzer is: `python -m analyzer_service.eval --provider local`.

Prints Markdown, draws the confusions, and ends with status 1 when the local analyzer is below its limits.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import marketplaces
from analyzer_service import evaluation
from analyzer_service.adapters.local import LocalAnalyzer
from analyzer_service.adapters.local_text import LocalEmbedder
from analyzer_service.analysis import Analyzer
from analyzer_service.evaluation import Evaluation, Product, Score, Verdict
from analyzer_service.settings import Settings
from analyzer_service.wiring import wire

# What the local analyzer must reach on the main photos of the samples.
LEAST_METAL, LEAST_STONE = 0.90, 0.80


@dataclass(frozen=True)
class Limit:
    """One figure and what it must reach."""

    name: str
    figure: str
    target: str
    met: bool


def limits(result: Evaluation) -> list[Limit]:
    """The figures that are held to limits."""
    metal, stone = result.share_right("metal"), result.share_right("main stone")
    invented = result.count(Verdict.INVENTED)
    return [
        Limit("metal colour right", f"{metal:.0%}", f">= {LEAST_METAL:.0%}", metal >= LEAST_METAL),
        Limit("main stone colour right", f"{stone:.0%}", f">= {LEAST_STONE:.0%}", stone >= LEAST_STONE),
        Limit("invented values", str(invented), "0", invented == 0),
    ]


def report(result: Evaluation, *, fields: bool = True) -> str:
    """The result as Markdown."""
    pictures = len({outcome.sku for outcome in result.plain})
    lines = [f"## {result.title}: {pictures} products, {result.provider}", ""]
    plain: dict[str, Score] = {}
    for outcome in result.plain:
        plain.setdefault(f"{outcome.field} (in the words of the truth)", Score()).add(outcome.verdict)
    lines += _table("question", plain.items())
    for outcome in result.plain:
        if outcome.verdict in (Verdict.WRONG, Verdict.INVENTED):
            lines.append(f"- {outcome.sku}: {outcome.field} is {outcome.truth}, said {', '.join(outcome.said)}")
    detected = [(truth, said) for truth, said in result.categories if said]
    right = sum(truth == said for truth, said in detected)
    lines += ["", f"Category: {len(detected)} of {len(result.categories)} detected, {right} of these right.", ""]
    if result.outcomes and fields:
        by_concept = result.scores(lambda outcome: outcome.concept if outcome.truth else "(no ground truth)")
        lines += ["By meaning, all marketplaces together:", "", *_table("meaning", sorted(by_concept.items()))]
        by_field = result.scores(lambda outcome: (outcome.code, outcome.field))
        told = {key: score for key, score in by_field.items() if score.answered}
        lines += ["", "By field, those with at least one value:", ""]
        lines += _table("field", ((f"{code}: {name}", score) for (code, name), score in sorted(told.items())))
        lines += ["", f"{len(by_field) - len(told)} further fields were left empty on every picture.", ""]
    if result.cost.calls:
        lines.append(f"Cost: {result.cost.calls} calls, Rs {result.cost.inr_micros / 1e6:.2f}.")
    return "\n".join(lines)


def _table(head: str, rows: Iterable[tuple[str, Score]]) -> list[str]:
    lines = [
        f"| {head} | asked | coverage | accuracy | abstained | right | wrong | invented | not judged |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, score in rows:
        counts = score.counts
        accuracy = "" if score.accuracy != score.accuracy else f"{score.accuracy:.0%}"
        shown = [counts[v] for v in (Verdict.RIGHT, Verdict.WRONG, Verdict.INVENTED, Verdict.UNCHECKED)]
        left = f"{1 - score.coverage:.0%}"
        lines.append(
            f"| {name} | {score.asked} | {score.coverage:.0%} | {accuracy} | {left} | {' | '.join(map(str, shown))} |"
        )
    return lines


def _others(product: Product) -> Sequence[Path]:
    return product.views[1:2]


def _together(product: Product) -> Sequence[Path]:
    return product.views if len(product.views) > 1 else ()


async def run(options: argparse.Namespace) -> int:
    """Evaluates, prints, draws; the exit status."""
    if options.provider == "local":
        analyzer, close = Analyzer(LocalAnalyzer(), LocalEmbedder()), None
    else:
        settings = Settings()  # type: ignore[call-arg]  # filled from the environment
        wired = wire(settings)
        if wired.pool is None:
            print("no key: set GOOGLE_API_KEY or GOOGLE_API_KEYS, or use --provider local")
            return 2
        await wired.warm_up()
        analyzer, close = wired.analyzer, wired.close
    products = evaluation.samples(options.samples)[: options.products]
    started, used = time.perf_counter(), time.process_time()
    main = await evaluation.evaluate(analyzer, products, title="Main photos", codes=options.codes)
    print(report(main), "\n")
    for title, views in (("Second angles", _others), ("Both views together", _together)):
        result = await evaluation.evaluate(analyzer, products, title=title, codes=(), views=views)
        print(report(result), "\n")
    print(f"Took {time.perf_counter() - started:.1f} s, {time.process_time() - used:.1f} s of one core.\n")
    if close is not None:
        await close()
    if options.plot is not None:
        _draw(main, options.plot)
    held = limits(main)
    print("| figure | reached | target | met |\n|---|---|---|---|")
    for limit in held:
        print(f"| {limit.name} | {limit.figure} | {limit.target} | {'yes' if limit.met else 'NO'} |")
    return 0 if options.provider != "local" or all(limit.met for limit in held) else 1


def _draw(result: Evaluation, path: Path) -> None:
    try:
        # Imported here: the service itself draws nothing and does without it.
        from analyzer_service import evaluation_plot
    except ImportError:
        print("no plot: install matplotlib (jewelry-analyzer[eval])")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    evaluation_plot.draw(result, path)
    print(f"Confusions: {path}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m analyzer_service.eval", description=__doc__)
    parser.add_argument("--provider", choices=["local", "gemini"], default="local")
    parser.add_argument("--samples", type=Path, default=Path("samples"), help="folder with products.csv and photos/")
    parser.add_argument("--codes", nargs="*", default=marketplaces.CODES, choices=marketplaces.CODES, metavar="CODE")
    parser.add_argument("--products", type=int, default=None, help="only the first so many")
    parser.add_argument("--plot", type=Path, default=Path("build/eval/confusion.png"), help="PNG of the confusions")
    return asyncio.run(run(parser.parse_args(arguments)))


if __name__ == "__main__":
    raise SystemExit(main())
