"""Small pictures for the cells of tables."""

from __future__ import annotations

import base64

from studio_service.api import own_path
from studio_service.describing import Photo
from studio_service.parts.picture import of_store, thumbnail
from studio_service.problems import Problem


def inline(source: Photo | str, side: int) -> str | None:
    """What an image column shows: inline, as the browser has no key; an outside picture by its address.

    None where the picture cannot be shown.
    """
    try:
        if isinstance(source, Photo):
            content = thumbnail(source.content, side)
        elif own_path(source):
            content = of_store(source, side)
        else:
            return source
    except Problem:
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"
