"""Pictures on the screen, wherever they lie."""

from __future__ import annotations

import io

import streamlit as st
from PIL import Image, ImageOps, UnidentifiedImageError

from studio_service import state
from studio_service.api import own_path
from studio_service.labels import t
from studio_service.problems import Problem

# Wide enough for half a page on a dense screen; pixels.
SIDE = 720
_VERDICT_COLORS = {"new": "green", "similar": "orange", "duplicate": "red", "exact": "red", "failed": "red"}
_VERDICT_ICONS = {
    "new": ":material/fiber_new:",
    "similar": ":material/join_inner:",
    "duplicate": ":material/content_copy:",
    "exact": ":material/content_copy:",
    "failed": ":material/error:",
}


def show(source: bytes | str, caption: str = "", *, side: int = SIDE, fill: bool = True) -> None:
    """A picture from its bytes or its address; a sentence where it cannot be shown.

    A picture of the embedded store comes through the studio, which has the key; any other is left to the browser.
    """
    shown: bytes | str = source
    try:
        if isinstance(source, bytes):
            shown = thumbnail(source, side)
        elif own_path(source):
            shown = of_store(source, side)
    except Problem as problem:
        st.caption(problem.sentence)
        return
    width: int | str = "stretch" if fill else side
    st.image(shown, width=width, alt=caption or t("common.picture"))  # type: ignore[arg-type]  # a literal or pixels
    if caption:
        st.caption(caption)


def verdict(name: str) -> None:
    """The badge of a verdict."""
    if name in _VERDICT_COLORS:
        st.badge(t(f"verdict.{name}"), icon=_VERDICT_ICONS[name], color=_VERDICT_COLORS[name])  # type: ignore[arg-type]


@st.cache_data(max_entries=600, show_spinner=False)
def thumbnail(content: bytes, side: int) -> bytes:
    """The picture as JPEG, at most `side` pixels wide and high, upright, on white. Raises Problem."""
    try:
        with Image.open(io.BytesIO(content)) as opened:
            opened.draft("RGB", (side, side))
            upright = ImageOps.exif_transpose(opened)
            upright.thumbnail((side, side))
            if upright.mode in ("RGBA", "LA", "P", "PA"):
                layer = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
            out = io.BytesIO()
            upright.convert("RGB").save(out, "JPEG", quality=86)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Problem(t("picture.unreadable")) from error
    return out.getvalue()


@st.cache_data(ttl=3600, max_entries=600, show_spinner=False)
def of_store(url: str, side: int) -> bytes:
    """The same for a picture of the embedded store. Raises Problem."""
    return thumbnail(state.api().file(url), side)
