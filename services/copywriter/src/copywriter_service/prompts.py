"""What a model is asked, and how its answer is read. The words are in `data/prompt.toml`."""

from __future__ import annotations

import json
import re
import tomllib
from functools import lru_cache
from typing import Any

from copywriter_service.adapters.writer import Ask
from copywriter_service.domain import Content, CopyText, Part
from copywriter_service.facts import attributes_for_people
from copywriter_service.matching import Phrases
from copywriter_service.rulebook import DATA, Rules

SCHEMA_NAME = "product_copy"
# Enough words to show what is meant; the check knows them all.
_EXAMPLES = 30


@lru_cache(maxsize=1)
def prompt() -> dict[str, Any]:
    """`data/prompt.toml`."""
    with (DATA / "prompt.toml").open("rb") as file:
        return tomllib.load(file)


def instructions(ask: Ask) -> str:
    """The trusted half: what to write and by which rules. Nothing of the request's data is in it."""
    words, rules = prompt(), ask.rules
    shape = [_shape(part, rules) for part in ask.parts]
    lines = [
        words["characters"].format(characters=" ".join(sorted(rules.forbidden))),
        words["promotional"].format(words=examples(rules.promotional)),
        words["claims"].format(words=examples(rules.claims)),
    ]
    if rules.word_repeats and Part.TITLE in ask.parts:
        lines.append(words["repeats"].format(limit=rules.word_repeats))
    if rules.script != "LATIN":
        lines.append(words["script"].format(script=rules.script.title()))
    text: str = words["instructions"].format(
        marketplace=rules.marketplace,
        category=rules.category,
        language=f"{rules.language_name} ({rules.language})",
        shape="\n".join(shape),
        rules="\n".join(lines),
    )
    return text.strip()


def _shape(part: Part, rules: Rules) -> str:
    names = {Part.TITLE: "title", Part.BULLETS: "bullets", Part.DESCRIPTION: "description"}
    text: str = prompt()[names[part]].format(limit=rules.limits[part], count=rules.bullets)
    return text


def examples(phrases: Phrases) -> str:
    """Enough of the phrases to show what is meant."""
    return ", ".join(list(phrases)[:_EXAMPLES])


def data(ask: Ask) -> str:
    """The untrusted half: everything that came with the request, as JSON."""
    order = ask.order
    facts: dict[str, object] = {
        "brand": order.brand,
        "brand_voice": order.brand_voice,
        "seller_claims": list(order.seller_claims),
        "attributes": attributes_for_people(order.attributes, order.code),
        "already_written": _as_json(ask.existing),
    }
    known = {name: value for name, value in facts.items() if value}
    text = f"{prompt()['data']}\n{json.dumps(known, ensure_ascii=False)}"
    if ask.findings:
        problems = [f"{finding.place}: {finding.message}" for finding in ask.findings[:20]]
        repair = {"draft": _as_json(ask.draft), "problems": problems}
        text += f"\n\n{prompt()['repair']}\n{json.dumps(repair, ensure_ascii=False)}"
    return text


def _as_json(copy: CopyText) -> dict[str, object]:
    return {part.value: list(copy.bullets) if part is Part.BULLETS else copy.get(part) for part in copy.parts()}


def schema(ask: Ask) -> dict[str, object]:
    """JSON schema of the answer, within the subset that strict structured output takes.

    Lengths are told in words: strict mode knows no `maxLength`. The check holds them.
    """
    properties: dict[str, object] = {}
    for part in ask.parts:
        limit = ask.rules.limits[part]
        text = {"type": "string", "description": f"At most {limit} characters of plain text."}
        if part is Part.BULLETS:
            count = ask.rules.bullets
            properties[part.value] = {"type": "array", "items": text, "minItems": count, "maxItems": count}
        else:
            properties[part.value] = text
    return {
        "type": "object",
        "properties": properties,
        "required": [part.value for part in ask.parts],
        "additionalProperties": False,
    }


def read_answer(text: str, ask: Ask) -> CopyText:
    """The asked parts of a model's answer.

    Raises:
        ValueError: The answer is no JSON, or lacks a part.
    """
    answer = read_json(text)
    copy = CopyText()
    for part in ask.parts:
        copy = copy.with_part(part, _content(part, answer.get(part.value)))
    return copy


def read_json(text: str) -> dict[str, Any]:
    """The object that an answer is.

    Raises:
        ValueError: It is no JSON object.
    """
    # Compatible servers without constrained decoding like to wrap JSON into a fence.
    fenced = re.fullmatch(r"\s*```(?:json)?\s*(.*?)\s*```\s*", text, re.DOTALL)
    answer = json.loads(fenced.group(1) if fenced else text)
    if not isinstance(answer, dict):
        raise ValueError("the answer is no object")
    return answer


def _content(part: Part, value: object) -> Content:
    if part is Part.BULLETS:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError("bullet_points is no list of texts")
        texts = tuple(text for item in value if (text := item.strip()))
        if not texts:
            raise ValueError("bullet_points is empty")
        return texts
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{part.value} is no text")
    return value.strip()
