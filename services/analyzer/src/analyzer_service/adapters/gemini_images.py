"""Gemini as maker of pictures, through the same pool of keys."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence

from google.genai import types
from PIL import Image

from analyzer_service.adapters.base import AdapterInfo
from analyzer_service.adapters.gemini import GeminiConnection
from analyzer_service.adapters.gemini_models import ModelWatch
from analyzer_service.pricing import Cost
from servicekit import errors, images

_SIDE = 1536


class GeminiPictures:
    """Makes pictures with a Gemini model that has picture output."""

    def __init__(self, connection: GeminiConnection, watch: ModelWatch, *, model: str) -> None:
        self._connection = connection
        self._watch = watch
        self._model = model

    async def make(self, sources: Sequence[bytes], prompt: str) -> tuple[bytes, Cost]:
        """One picture, its bytes as they came.

        Raises:
            errors.ServiceError: As `GeminiConnection.generate`; Unavailable where no picture came (NO_PICTURE_MADE).
        """
        parts = await asyncio.gather(*(asyncio.to_thread(jpeg_part, data) for data in sources))
        config = types.GenerateContentConfig(response_modalities=["IMAGE"])
        reply, cost = await self._connection.generate(self._model, [*parts, types.Part(text=prompt)], config)
        self._watch.note(self._model, reply)
        for candidate in reply.candidates or []:
            for part in (candidate.content.parts if candidate.content else None) or []:
                if part.inline_data is not None and part.inline_data.data and not part.thought:
                    return part.inline_data.data, cost
        raise errors.Unavailable("the model made no picture; try again", reason="NO_PICTURE_MADE")

    async def info(self) -> AdapterInfo:
        """Who answers, with what is known of the model."""
        detail, end = self._watch.detail(self._model), self._watch.ends(self._model)
        return AdapterInfo("image_variations", "gemini", False, self._model, detail, end)


def jpeg_part(data: bytes) -> types.Part:
    """A JPEG of the decoded pixels: none of the file's metadata, such as the place it was taken at, leaves."""
    picture: Image.Image = images.decode_rgb(data, min_side=_SIDE)
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=92)
    return types.Part.from_bytes(data=buffer.getvalue(), mime_type="image/jpeg")
