"""The embedded analyzer: values that follow from pixels, and nothing else."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from analyzer_service.adapters.base import AdapterInfo, CaptionDraft, Reading, View
from analyzer_service.adapters.clip_category import CategoryDetector
from analyzer_service.fields import Answer
from analyzer_service.pixels import Facts
from analyzer_service.pixels.separation import WORKING_SIDE
from marketplaces import Field

MODEL_ID = "pixels-1"
# A measurement below this is kept to itself.
_LEAST_CONFIDENCE = 0.6

# Height and width that differ by less are told as equal.
_SAME_SIZE = 1.1
_METAL_WORDS = {
    "gold": "gold tone",
    "rose gold": "rose gold tone",
    "silver": "silver tone",
    "oxidised": "oxidised silver tone",
    "two-tone": "two-tone gold and silver",
}
_STONE_WORDS = {"white": "white pearl-look beads", "clear": "clear stones"}


class LocalAnalyzer:
    """Measures what can be measured and abstains on the rest.

    Args:
        categories: Tells what kind of jewelry a picture shows; None: nobody does.
    """

    wanted_side = WORKING_SIDE

    def __init__(self, categories: CategoryDetector | None = None) -> None:
        self._categories = categories
        text = files("analyzer_service").joinpath("data/concepts.toml").read_text(encoding="utf-8")
        self._concepts: Mapping[str, Any] = tomllib.loads(text)

    async def read_fields(self, fields: Sequence[Field], views: Sequence[View], facts: Facts, notes: str) -> Reading:
        """Answers the fields whose concept is measured; notes are not read."""
        measured = _measured(facts)
        answers = {field.name: self._answer(field, measured) for field in fields}
        return Reading(answers, model_id=MODEL_ID, category=await self._category(views))

    async def _category(self, views: Sequence[View]) -> str:
        return await self._categories.category([view.picture for view in views]) if self._categories else ""

    async def caption(self, views: Sequence[View], facts: Facts, product_type: str) -> CaptionDraft:
        """A name from measured facts and the given type, or the detected one."""
        detected = await self._category(views)
        metal = _METAL_WORDS.get(facts.metal.color, "") if facts.metal.confidence >= _LEAST_CONFIDENCE else ""
        stones = ""
        if facts.stones.color and facts.stones.confidence >= _LEAST_CONFIDENCE:
            stones = _STONE_WORDS.get(facts.stones.color, f"{facts.stones.color} stones")
            if facts.stones.pearls and facts.stones.color != "white":
                stones += f" and {_STONE_WORDS['white']}"
        if not metal and not stones and not product_type and not detected:
            return CaptionDraft(warnings=("nothing could be measured on this picture; write the name by hand",))
        noun = product_type or detected or "jewelry"
        name = " ".join(filter(None, (metal, noun, stones and f"with {stones}")))
        name = name[0].upper() + name[1:]
        color = facts.color if facts.color_confidence >= _LEAST_CONFIDENCE else ""
        attributes = [word for word in (metal, stones) if word]
        if facts.shape.pair and product_type in ("", "earrings"):
            attributes.append("pair")
        attributes += _proportion(facts)
        sentences = [name + "."]
        if facts.shape.pair and product_type in ("", "earrings"):
            sentences.append("The picture shows a pair.")
        if color and color in (facts.metal.color, facts.stones.color) and metal and stones:
            sentences.append(f"The main colour is {color}.")
        return CaptionDraft(name, " ".join(sentences), tuple(attributes), color, detected or product_type)

    async def info(self) -> AdapterInfo:
        """Says that this is a stand-in."""
        detail = "no key configured: colours, pearls and picture quality are measured, all else is left for review"
        if self._categories is not None:
            detail += f"; categories by {self._categories.model_id}"
        return AdapterInfo("vision", "local", True, MODEL_ID, detail)

    def _answer(self, field: Field, measured: Mapping[str, tuple[str, float, str]]) -> Answer:
        values = self._concepts["values"].get(field.concept)
        if values is not None:
            result, confidence, evidence = measured.get(values["fact"], ("", 0.0, ""))
            names = values.get(result, [])
            if names and confidence >= _LEAST_CONFIDENCE:
                return _named(field, names, result, confidence, evidence)
            reason = "could not be measured with confidence" if evidence else "cannot be measured in this picture"
            return Answer(evidence=evidence, reason=reason)
        hints = self._concepts["hints"].get(field.concept)
        if hints is not None:
            result, confidence, evidence = measured.get(hints["fact"], ("", 0.0, ""))
            names = hints.get(result, [result] if hints["fact"].endswith("_count") else [])
            if result and names and confidence >= _LEAST_CONFIDENCE:
                return Answer(evidence=evidence, hints=tuple(names), reason=hints["reason"])
        return Answer(reason="the local analyzer cannot see this")


def _proportion(facts: Facts) -> list[str]:
    """Height over width of one piece, where all of it is in the picture."""
    ratio = facts.shape.height_to_width
    if facts.shape.touches or not ratio or facts.shape.pieces > 2:
        return []
    if 1 / _SAME_SIZE < ratio < _SAME_SIZE:
        return ["about as high as wide"]
    return [f"{ratio:.1f} times as high as wide" if ratio > 1 else f"{1 / ratio:.1f} times as wide as high"]


def _named(field: Field, names: Sequence[str], result: str, confidence: float, evidence: str) -> Answer:
    if not field.options:
        return Answer((names[0],), confidence, evidence)
    allowed = {option.casefold(): option for option in field.options}
    for name in names:
        if name.casefold() in allowed:
            return Answer((allowed[name.casefold()],), confidence, evidence)
    return Answer(evidence=evidence, reason=f"{result} was measured, and the field has no such value")


def _measured(facts: Facts) -> dict[str, tuple[str, float, str]]:
    """Results by name: value, confidence, evidence."""
    metal, stones = facts.metal, facts.stones
    counted = str(stones.count) if stones.count else ""
    pearls = stones.color == "white"
    return {
        "metal": (metal.color, metal.confidence, metal.evidence),
        "stone": (stones.color, stones.confidence, stones.evidence),
        "color": (facts.color, facts.color_confidence, f"metal: {metal.evidence}; stones: {stones.evidence}"),
        "pearls": ("yes" if stones.pearls else "", 0.7 if stones.pearls else 0.0, stones.evidence),
        "stone_count": ("" if pearls else counted, stones.confidence, stones.evidence),
        "pearl_count": (counted if pearls else "", stones.confidence, stones.evidence),
    }
