"""How right an analyzer is on pictures with ground truth: per field, per meaning, and what it invents.

Besides every vision field of every marketplace, two plain questions are asked of each picture, in the words of the
ground truth: the colour of the metal and of the main stones. They give the confusions, and the figures that are held to
limits.
"""

from __future__ import annotations

import asyncio
import csv
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import marketplaces
from analyzer_service.analysis import Analyzer, RawView
from analyzer_service.fields import Settled
from analyzer_service.pricing import Cost
from marketplaces import Field

METALS = ("gold", "rose gold", "silver", "oxidised", "two-tone")
STONES = ("red", "green", "blue", "turquoise", "white", "clear")
PLAIN = (
    Field(
        name="metal", label="Metal colour", group="ai", concept="metal_color", options=METALS,
        question="Which colour does the metal have? two-tone: gold and silver together; oxidised: darkened silver.",
    ),
    Field(
        name="main stone", label="Stone colour", group="ai", concept="stone_color", options=STONES,
        question="Which colour do the main stones have? white: pearls; clear: colourless. "
        "It cannot be seen where there are no stones.",
    ),
)  # fmt: skip
# Codes are asked for products of their category; the ground truth writes it in the plural.
_CATEGORIES = {"earrings": "earrings", "necklaces": "necklace", "bracelets": "bracelet", "rings": "ring"}


class Verdict(Enum):
    """What became of one question."""

    RIGHT = "right"
    WRONG = "wrong"
    INVENTED = "invented"
    ABSTAINED = "abstained"
    UNCHECKED = "unchecked"


@dataclass(frozen=True)
class Product:
    """A sample: its pictures, main one first, its category in our words, and a row of the ground truth."""

    sku: str
    category: str
    views: tuple[Path, ...]
    truth: Mapping[str, str]


@dataclass(frozen=True)
class Outcome:
    """One question about one product; `code` is empty for the plain questions."""

    sku: str
    code: str
    field: str
    concept: str
    truth: str
    said: tuple[str, ...]
    verdict: Verdict


@dataclass
class Score:
    """How often each verdict fell."""

    counts: dict[Verdict, int] = field(default_factory=lambda: dict.fromkeys(Verdict, 0))

    def add(self, verdict: Verdict) -> None:
        """Counts one."""
        self.counts[verdict] += 1

    @property
    def asked(self) -> int:
        """All questions."""
        return sum(self.counts.values())

    @property
    def answered(self) -> int:
        """Questions with a value."""
        return self.asked - self.counts[Verdict.ABSTAINED]

    @property
    def coverage(self) -> float:
        """Share of the questions with a value."""
        return self.answered / self.asked if self.asked else 0.0

    @property
    def accuracy(self) -> float:
        """Share right of the values that can be judged; not a number where there are none."""
        judged = self.answered - self.counts[Verdict.UNCHECKED]
        return self.counts[Verdict.RIGHT] / judged if judged else float("nan")


@dataclass
class Evaluation:
    """All outcomes of one run.

    Attributes:
        title: which pictures.
        provider: who answered.
        outcomes: of the fields of marketplaces.
        plain: of the two plain questions.
        categories: truth and what was detected; "" where nothing was.
        warnings: by SKU.
    """

    title: str
    provider: str
    outcomes: list[Outcome] = field(default_factory=list)
    plain: list[Outcome] = field(default_factory=list)
    categories: list[tuple[str, str]] = field(default_factory=list)
    warnings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)

    def scores(self, key: Callable[[Outcome], Any]) -> dict[Any, Score]:
        """Scores of the marketplaces' fields, grouped."""
        found: dict[Any, Score] = {}
        for outcome in self.outcomes:
            found.setdefault(key(outcome), Score()).add(outcome.verdict)
        return found

    def share_right(self, name: str) -> float:
        """Of the pictures for which a plain question has an answer, the share that got it; abstaining is not right."""
        asked = [outcome for outcome in self.plain if outcome.field == name and outcome.truth != "none"]
        return sum(outcome.verdict is Verdict.RIGHT for outcome in asked) / max(1, len(asked))

    def count(self, verdict: Verdict) -> int:
        """How often a verdict fell, plain questions included."""
        return sum(outcome.verdict is verdict for outcome in (*self.outcomes, *self.plain))

    def confusion(self, name: str) -> dict[tuple[str, str], int]:
        """How often each truth got each answer of a plain question; "-" for none."""
        found: dict[tuple[str, str], int] = {}
        for outcome in self.plain:
            if outcome.field == name:
                pair = (outcome.truth, outcome.said[0] if outcome.said else "-")
                found[pair] = found.get(pair, 0) + 1
        return found


def samples(folder: Path) -> list[Product]:
    """The products of a folder with `products.csv` and `photos/`; other views are `<SKU>_<n>.jpg`."""
    products = []
    with (folder / "products.csv").open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            row["pearl_color"] = "white" if "pearl" in (row["stone_type"], row["accent_stone"]) else "none"
            photos = folder / "photos"
            views = (photos / f"{row['sku']}.jpg", *sorted(photos.glob(f"{row['sku']}_*.jpg")))
            products.append(Product(row["sku"], _CATEGORIES[row["category"]], views, row))
    return products


async def evaluate(
    analyzer: Analyzer,
    products: Iterable[Product],
    *,
    title: str,
    codes: Sequence[str] = marketplaces.CODES,
    views: Callable[[Product], Sequence[Path]] = lambda product: product.views[:1],
    change: Callable[[bytes], bytes] = lambda content: content,
    at_once: int = 4,
) -> Evaluation:
    """Asks an analyzer all questions about all products.

    Args:
        analyzer: Who is evaluated.
        products: What is shown to it.
        title: Says which pictures.
        codes: Marketplaces whose fields are asked.
        views: Chooses the pictures of a product; products without one are left out.
        change: Applied to each file first.
        at_once: Products in work at once.
    """
    info = await analyzer.vision.info()
    result = Evaluation(title, f"{info.name} {info.model_id}".strip())
    slots = asyncio.Semaphore(at_once)

    async def one(product: Product, paths: Sequence[Path]) -> None:
        raw = [RawView(change(path.read_bytes()), "") for path in paths]
        asked = [code for code in codes if marketplaces.load(code).category == product.category]
        async with slots:
            reading = await analyzer.read(raw, PLAIN)
            result.cost += reading.cost
            result.categories.append((product.category, reading.category))
            result.warnings[product.sku] = reading.warnings
            for entry, settled in zip(PLAIN, reading.fields, strict=True):
                result.plain.append(_outcome(product, "", entry, settled, checked=True))
            for code in asked:
                analysis = await analyzer.analyze(raw, code, {}, "")
                result.cost += analysis.cost
                for entry, settled in zip(marketplaces.load(code).vision_fields, analysis.fields, strict=True):
                    # What pixels cannot tell must stay empty; what a model says of it nobody can judge here.
                    outcome = _outcome(product, code, entry, settled, checked=info.embedded)
                    result.outcomes.append(outcome)

    chosen = [(product, list(views(product))) for product in products]
    await asyncio.gather(*(one(product, paths) for product, paths in chosen if paths))
    order = {product.sku: number for number, (product, _) in enumerate(chosen)}
    result.plain.sort(key=lambda outcome: order[outcome.sku])
    result.outcomes.sort(key=lambda outcome: order[outcome.sku])
    return result


def _outcome(product: Product, code: str, entry: Field, settled: Settled, *, checked: bool) -> Outcome:
    truth, verdict = judge(product.truth, entry, settled.values, checked=checked)
    return Outcome(product.sku, code, entry.name, entry.concept, truth, settled.values, verdict)


def judge(row: Mapping[str, str], entry: Field, said: Sequence[str], *, checked: bool) -> tuple[str, Verdict]:
    """The truth about a field, "" where it is not known, and the verdict on what was said.

    Args:
        row: Ground truth of a product.
        entry: The field.
        said: Its values.
        checked: Whether a value of a field without ground truth counts as invented.
    """
    rule = _truth().get(entry.concept, {})
    truth = row[rule["column"]] if rule else ""
    if truth and truth not in rule and truth != "none":
        truth = ""
    if not said:
        return truth, Verdict.ABSTAINED
    if entry.options and any(value not in entry.options for value in said):
        return truth, Verdict.INVENTED
    if not truth:
        return truth, Verdict.INVENTED if checked else Verdict.UNCHECKED
    right = {name.casefold() for name in rule.get(truth, ())}
    for column in rule.get("also", ()):
        right |= {name.casefold() for name in rule.get(row[column], ())}
    if all(value.casefold() in right for value in said):
        return truth, Verdict.RIGHT
    return truth, Verdict.INVENTED if truth == "none" else Verdict.WRONG


@lru_cache(maxsize=1)
def _truth() -> dict[str, dict[str, Any]]:
    return tomllib.loads(files("analyzer_service").joinpath("data/truth.toml").read_text(encoding="utf-8"))
