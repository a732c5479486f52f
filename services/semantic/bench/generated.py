"""Generated products with known attributes, and wishes with graded truth."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent

Attributes = Mapping[str, str]

# Which attributes a title names; the others are left to the description.
_TITLED = 4


@dataclass(frozen=True, slots=True)
class Generated:
    """A record as a shop's API gives it, and what the product really is."""

    record: dict[str, Any]
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Wish:
    """A wish, the values that each attribute should have, and those that it must not have."""

    text: str
    wanted: Mapping[str, frozenset[str]]
    unwanted: Mapping[str, frozenset[str]]

    def grade(self, attributes: Attributes) -> int:
        """3 for everything wished, one less for each part that is missing, never above 1 with half missing."""
        if any(attributes[name] in values for name, values in self.unwanted.items()):
            return 0
        missing = sum(attributes[name] not in values for name, values in self.wanted.items())
        if not missing:
            return 3
        if 2 * missing >= len(self.wanted):
            return 1 if 2 * missing == len(self.wanted) else 0
        return max(0, 3 - missing)


def products(count: int, seed: int = 2026) -> list[Generated]:
    """Products drawn at random; the same for the same count and seed."""
    tables = tomllib.loads((_HERE / "catalogue.toml").read_text(encoding="utf-8"))
    rng = random.Random(seed)  # noqa: S311  # a catalogue, no secret
    return [_product(number, tables, rng) for number in range(count)]


def wishes() -> list[Wish]:
    """The written wishes."""
    entries = tomllib.loads((_HERE / "wishes.toml").read_text(encoding="utf-8"))["wish"]
    return [
        Wish(
            entry["text"],
            {name: frozenset(values) for name, values in entry["wanted"].items()},
            {name: frozenset(values) for name, values in entry.get("not", {}).items()},
        )
        for entry in entries
    ]


def _product(number: int, tables: Mapping[str, Any], rng: random.Random) -> Generated:
    attributes = {name: rng.choice(list(table)) for name, table in tables.items()}
    said = {name: tables[name][value] for name, value in attributes.items()}
    titled = {"kind", *rng.sample(sorted(set(tables) - {"kind"}), _TITLED)}
    order = ("look", "occasion", "metal", "stone", "motif", "kind", "audience")
    words = {name: rng.choice(said[name]["title"]) for name in order if name in titled}
    title = " ".join(word for name in order if (word := words.get(name)))
    # What the title leaves out, the description says.
    sentences = [
        rng.choice(said[name]["text"] or said[name]["title"]) for name in order if name == "kind" or not words.get(name)
    ]
    rng.shuffle(sentences)
    description = ". ".join(text[0].upper() + text[1:] for text in sentences if text) + "."
    return Generated(
        {
            "id": f"G{number:06d}",
            "title": title,
            "description": description,
            "category": said["kind"]["category"],
            "price": rng.randrange(199, 9999),
            "created_at": f"{rng.randrange(2023, 2027)}-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}",
            "in_stock": rng.random() < 0.8,
        },
        attributes,
    )
