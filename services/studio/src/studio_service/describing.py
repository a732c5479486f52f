"""Photos to describe and what became of them; no Streamlit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jewelry_client import Client, File

from studio_service.api import Api
from studio_service.problems import Problem

# The gateway's own bound for one picture; bytes.
MAX_PICTURE = 20 * 1024 * 1024
TYPES = ("auto", "earrings", "necklace", "bracelet", "ring")
PICTURES = ("jpg", "jpeg", "png", "webp", "avif", "gif", "tif", "tiff", "bmp")


@dataclass(frozen=True)
class Photo:
    """A photo as it was dropped."""

    name: str
    content: bytes = field(repr=False)

    @property
    def sku(self) -> str:
        """The SKU that its name stands for."""
        return sku_of(self.name)


@dataclass(frozen=True)
class Wish:
    """How photos are to be described."""

    website: str = ""
    product_type: str = "auto"
    check: bool = True


@dataclass(frozen=True)
class Described:
    """What became of a photo: an answer, or a problem."""

    photo: Photo
    answer: Mapping[str, Any] | None = None
    problem: Problem | None = None

    @property
    def url(self) -> str:
        """Where the picture is stored; empty where it is not."""
        return str((self.answer or {}).get("s3_url") or "")

    @property
    def verdict(self) -> str:
        """new, similar, duplicate, exact, or failed."""
        return "failed" if self.answer is None else str(self.answer.get("verdict") or "new")

    @property
    def is_described(self) -> bool:
        """False for a picture that was stored before."""
        return bool(self.answer and self.answer.get("generated_name"))


def describe(api: Api, photo: Photo, wish: Wish) -> Described:
    """Describes one photo; a failure is the photo's own and leaves the others alone."""

    async def asked(client: Client) -> dict[str, Any]:
        return await client.caption(
            File(photo.content, photo.name),
            product_type=wish.product_type,
            website=wish.website,
            check_duplicate=wish.check,
            sku=photo.sku,
        )

    try:
        return Described(photo, answer=api.ask(asked))
    except Problem as problem:
        return Described(photo, problem=problem)


def sku_of(name: str) -> str:
    """A SKU from a file's name: its stem, without what no marketplace takes."""
    stem = name.rpartition("/")[2].rpartition("\\")[2]
    stem = stem.rpartition(".")[0] or stem
    return re.sub(r"[^\w.-]+", "-", stem).strip("-_. ")[:40]


def as_text(answer: Mapping[str, Any]) -> str:
    """Everything about a product as text to be pasted elsewhere."""
    lines = [str(answer.get("name") or ""), "", str(answer.get("description") or ""), ""]
    lines += [f"- {one}" for one in answer.get("attributes_list") or []]
    return "\n".join(lines).strip()
