"""Style sets of mock-up pictures, and what a model is asked for. The words are in `data/styles.toml`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from copywriter_service.rulebook import DATA
from servicekit import errors

PRODUCT_TYPES = ("ear", "nec", "bra")


@dataclass(frozen=True)
class Scene:
    """One scene of a style set; `index` is its place among those of a product type, from 0."""

    index: int
    text: str


@dataclass(frozen=True)
class StyleSet:
    """The chosen scenes of a style set for one product type."""

    name: str
    version: str
    product_type: str
    scenes: tuple[Scene, ...]

    def prompt(self, scene: Scene, pictures: int, product_desc: str) -> str:
        """What a model is asked for. The seller's description goes in as JSON and is called data.

        Args:
            scene: One of this set's.
            pictures: How many source pictures go along.
            product_desc: What the seller says of the product; may be empty.
        """
        book = _book()
        said = " ".join(product_desc.split())
        description = book["description"].format(text=json.dumps(said, ensure_ascii=False)) if said else ""
        shown = book["one_picture"] if pictures == 1 else book["several_pictures"].format(count=pictures)
        text: str = book["prompt"].format(
            pictures=shown, kind=book["kinds"][self.product_type], scene=scene.text, description=description
        )
        return text.strip()


def choose(style: str, product_type: str, indexes: Sequence[int]) -> StyleSet:
    """The scenes that a request asks for.

    Args:
        style: Name of a set; empty: the default one.
        product_type: ear, nec or bra.
        indexes: Which scenes, from 0; empty: all.

    Raises:
        errors.InvalidArgument: STYLE_UNKNOWN, PRODUCT_TYPE_UNKNOWN, or an index that the set does not have or that
            is asked for twice.
    """
    book = _book()
    name = style or book["default"]
    chosen = book["sets"].get(name)
    if chosen is None:
        known = ", ".join(book["sets"])
        raise errors.InvalidArgument(
            f"there is no style set of this name; use one of {known}",
            reason="STYLE_UNKNOWN",
            fields={"style": f"one of {known}"},
        )
    if product_type not in PRODUCT_TYPES:
        known = ", ".join(PRODUCT_TYPES)
        raise errors.InvalidArgument(
            f"product_type is not known; use one of {known}",
            reason="PRODUCT_TYPE_UNKNOWN",
            fields={"product_type": f"one of {known}"},
        )
    texts: list[str] = chosen[product_type]
    wrong = [index for index in indexes if not 0 <= index < len(texts)]
    if wrong or len(set(indexes)) != len(indexes):
        raise errors.InvalidArgument(
            f"prompt_indexes are 0 to {len(texts) - 1} for this style set, each at most once; leave them out for all",
            fields={"prompt_indexes": f"0 to {len(texts) - 1}, each once"},
        )
    scenes = tuple(Scene(index, texts[index]) for index in indexes or range(len(texts)))
    return StyleSet(name, book["version"], product_type, scenes)


@lru_cache(maxsize=1)
def _book() -> dict[str, Any]:
    with (DATA / "styles.toml").open("rb") as file:
        return tomllib.load(file)
