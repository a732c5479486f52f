"""Collections named by a model; the words are in `data/collection.toml`."""

from __future__ import annotations

import json
from typing import Any

from copywriter_service.adapters.openai_text import OpenAIText
from copywriter_service.adapters.openai_wire import Question
from copywriter_service.collection import CollectionAsk, Product
from copywriter_service.domain import AdapterInfo, CopyText, Cost, Part, TimeLeft
from copywriter_service.prompts import examples, read_json
from copywriter_service.rulebook import collection_book

_SCHEMA_NAME = "collection_copy"
_PARTS = (Part.TITLE, Part.DESCRIPTION)


class OpenAICollections:
    """Writes title and description of collections with a model."""

    def __init__(self, model: OpenAIText) -> None:
        self._model = model

    @property
    def info(self) -> AdapterInfo:
        """Name and model."""
        return self._model.info("collection_copy")

    async def write_collection(self, ask: CollectionAsk, time_left: TimeLeft) -> tuple[CopyText, Cost]:
        """Asks the model.

        Raises:
            errors.ServiceError: As `OpenAIText.ask`.
        """
        return await self._model.ask(
            lambda: question(ask), read, collection_book()["unreadable"], "write_collection", time_left
        )


def question(ask: CollectionAsk) -> Question:
    """What the model is asked; nothing of the request is in the instructions."""
    words, rules = collection_book(), ask.rules
    instructions = words["instructions"].format(
        language=f"{rules.language_name} ({rules.language})",
        title_max=rules.limits[Part.TITLE],
        description_max=rules.limits[Part.DESCRIPTION],
        promotional=examples(rules.promotional),
        claims=examples(rules.claims),
    )
    return Question(instructions.strip(), _data(ask), _SCHEMA_NAME, _schema(ask))


def read(text: str) -> CopyText:
    """Title and description of a model's answer.

    Raises:
        ValueError: The answer is no JSON, or lacks one of them.
    """
    answer = read_json(text)
    found = {part: answer.get(part.value) for part in _PARTS}
    if not all(isinstance(value, str) and value.strip() for value in found.values()):
        raise ValueError("title or description is missing")
    return CopyText(title=str(found[Part.TITLE]).strip(), description=str(found[Part.DESCRIPTION]).strip())


def _data(ask: CollectionAsk) -> str:
    words = collection_book()
    facts = {"wish": ask.collection.wish, "products": [_product(item) for item in ask.collection.products]}
    text = f"{words['data']}\n{json.dumps({key: value for key, value in facts.items() if value}, ensure_ascii=False)}"
    if ask.findings:
        problems = [f"{finding.place}: {finding.message}" for finding in ask.findings[:20]]
        draft = {"title": ask.draft.title, "description": ask.draft.description}
        repair = json.dumps({"draft": draft, "problems": problems}, ensure_ascii=False)
        text += f"\n\n{words['repair']}\n{repair}"
    return text


def _product(product: Product) -> dict[str, Any]:
    told: dict[str, Any] = {"name": product.name}
    return told | {item.field: list(item.values) for item in product.attributes if item.field != "name"}


def _schema(ask: CollectionAsk) -> dict[str, object]:
    texts = {
        part.value: {"type": "string", "description": f"At most {ask.rules.limits[part]} characters of plain text."}
        for part in _PARTS
    }
    return {"type": "object", "properties": texts, "required": list(texts), "additionalProperties": False}
