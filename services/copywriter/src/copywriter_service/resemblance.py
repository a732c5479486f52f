"""Does a made picture show the product of its source? A check that flags; a person decides.

Two things are compared: the embeddings of the pictures, and the colours of metal and stones. On a plain ground the
product's own pixels are known, and colours are compared both ways; in a scene only what is missing can be told.
"""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from copywriter_service import colours
from copywriter_service.adapters.likeness import Embedded, Embedder, Vectors
from copywriter_service.colours import Colours, Readings
from servicekit import errors

logger = logging.getLogger(__name__)

# Squared L2 from which two pictures show unrelated things, as a multiple of a model's own bound for similar products:
# the specification's scale has 25 for similar and 95 for unrelated.
FAR = 95 / 25
# Share of a picture's sides that is looked at beside the whole: mock-ups show the product smaller than its source.
MIDDLE = 0.6
# Longest side in pixels of what is embedded; models look at 224.
EMBEDDED_SIDE = 512

# Least share of a product that a stone's colour needs to be looked for, and to be called new.
_STONE, _NEW_STONE, _NO_STONE = 0.02, 0.05, 0.005
# What is left of it at least: of its share on a plain ground, of the whole picture in a scene.
_LEFT, _LEFT_IN_SCENE = 0.1, 0.0015
# Gold or rose gold below this share: the metal is grey. Above the other one, one leads by its multiple of the other.
_GREY_METAL, _METAL, _LEADS = 0.05, 0.15, 2.5
_METAL_IN_SCENE = 0.003

STONES = ("red", *colours.STONES)
NOT_CHECKED = "embedding distance not checked"


@dataclass(frozen=True)
class Source:
    """What is known of the source pictures.

    Attributes:
        embedded: None where it could not be had; `unchecked` says why.
    """

    colours: Readings
    embedded: Embedded | None
    unchecked: str = ""


@dataclass(frozen=True)
class Verdict:
    """Whether a picture seems to show another product, and why; what was not checked is told in `reason` too."""

    suspect: bool
    reason: str


class Resemblance:
    """Compares made pictures with their sources.

    Args:
        embedder: The embedding service; what it cannot answer is told as not checked.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    async def of_sources(self, pictures: Sequence[Image.Image]) -> Source:
        """Looks at the source pictures once for all made ones; upright RGB, at least one."""
        views = await asyncio.to_thread(lambda: [colours.count(picture) for picture in pictures])
        embedded, unchecked = await self._embed(pictures)
        return Source(colours.merged(views), embedded, unchecked)

    async def check(self, source: Source, made: Image.Image) -> Verdict:
        """Compares one made picture, upright RGB, with its source."""
        found = await asyncio.to_thread(lambda: different_colours(source.colours, colours.count(made)))
        notes = []
        if source.embedded is None:
            notes.append(source.unchecked)
        else:
            embedded, unchecked = await self._embed([made, middle(made)])
            if embedded is None or embedded.vectors.shape[1] != source.embedded.vectors.shape[1]:
                notes.append(unchecked or f"{NOT_CHECKED}: the embedding model is being changed")
            else:
                found += far_apart(source.embedded, embedded.vectors)
        return Verdict(bool(found), "; ".join([*found, *notes]))

    async def _embed(self, pictures: Sequence[Image.Image]) -> tuple[Embedded | None, str]:
        """Vectors, or a sentence that says why there are none."""
        try:
            encoded = await asyncio.to_thread(lambda: [_encoded(picture) for picture in pictures])
            embedded = await self._embedder.embed(encoded)
        except errors.ServiceError as error:
            logger.info("the embedding distance was not checked: %s", error.reason)
            return None, f"{NOT_CHECKED}: {error.message}"
        if not embedded.knows_products:
            return None, f"{NOT_CHECKED}: the embedding service has no model that knows products in other scenes"
        return embedded, ""


def middle(picture: Image.Image) -> Image.Image:
    """The middle of a picture."""
    across, down = (round(side * (1 - MIDDLE) / 2) for side in picture.size)
    return picture.crop((across, down, picture.width - across, picture.height - down))


def far_apart(source: Embedded, made: Vectors) -> list[str]:
    """A sentence where no part of a made picture is near any source picture; nothing otherwise."""
    differences = source.vectors[:, None, :] - made[None, :, :]
    nearest = float(np.square(differences).sum(axis=-1).min())
    limit = FAR * source.similar_distance
    if nearest <= limit:
        return []
    return [f"the picture is far from its source (distance {nearest:.0f}, unrelated from {limit:.0f})"]


def different_colours(source: Readings, made: Readings) -> list[str]:
    """What differs in the colours of metal and stones, a sentence each, in the readings that agree best."""
    return min((_differences(one, other) for one in source for other in made), key=len)


def _differences(source: Colours, made: Colours) -> list[str]:
    """Nothing where the source's ground is busy: what is the product's is not known then."""
    if not source.plain:
        return []
    found = []
    for name in STONES:
        had, has = source.share(name), made.share(name)
        if had >= _STONE and has < (_LEFT * had if made.plain else _LEFT_IN_SCENE):
            found.append(f"the source has {name} stones or parts, this picture has none")
        if made.plain and had < _NO_STONE and has >= _NEW_STONE:
            found.append(f"this picture has {name} stones or parts, the source has none")
    metal = _metal(source)
    if made.plain:
        other = _metal(made)
        if metal and other and metal != other:
            found.append(f"the metal looks {other}, in the source {metal}")
    elif metal in colours.METALS and made.share(metal) < _METAL_IN_SCENE:
        found.append(f"the metal of the source looks {metal}, nothing in this picture does")
    return found


def _metal(seen: Colours) -> str:
    """gold, rose gold or grey; empty where it is not clear."""
    gold, rose = seen.share("gold"), seen.share("rose gold")
    if gold + rose < _GREY_METAL:
        return "grey"
    if gold >= _METAL and gold >= _LEADS * rose:
        return "gold"
    return "rose gold" if rose >= _METAL and rose >= _LEADS * gold else ""


def _encoded(picture: Image.Image) -> bytes:
    small = picture.copy()
    small.thumbnail((EMBEDDED_SIDE, EMBEDDED_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=90, comment=None)
    return buffer.getvalue()
