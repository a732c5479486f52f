"""Fills and number formats of cells: what colour a header has, whether a column wants dates or text."""

from __future__ import annotations

import colorsys
import re
from typing import Literal
from xml.etree import ElementTree

from exporter_service.xlsx.package import local

Format = Literal["general", "text", "number", "date"]

# ECMA-376 part 1, 18.8.30: formats 14 to 22, 27 to 36, 45 to 47 and 50 to 58 are dates or times, 49 is text.
_DATES = {*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)}
_TEXT = 49
_QUOTED = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]|_.|\*.')
# ECMA-376 part 1, 18.8.27: the palette that indexed colours mean unless a file has its own.
_COLOURS = (
    "000000 FFFFFF FF0000 00FF00 0000FF FFFF00 FF00FF 00FFFF 000000 FFFFFF FF0000 00FF00 0000FF FFFF00 FF00FF 00FFFF "
    "800000 008000 000080 808000 800080 008080 C0C0C0 808080 9999FF 993366 FFFFCC CCFFFF 660066 FF8080 0066CC CCCCFF "
    "000080 FF00FF FFFF00 00FFFF 800080 800000 008080 0000FF 00CCFF CCFFFF CCFFCC FFFF99 99CCFF FF99CC CC99FF FFCC99 "
    "3366FF 33CCCC 99CC00 FFCC00 FF9900 FF6600 666699 969696 003366 339966 003300 333300 993300 993366 333399 333333"
)
_PALETTE = re.findall(r"\w{6}", _COLOURS)
# The order in which cells name a theme's colours differs from the theme's own.
_THEME_ORDER = (1, 0, 3, 2, 4, 5, 6, 7, 8, 9, 10, 11)


class Styles:
    """The styles part of a workbook."""

    def __init__(self, styles: ElementTree.Element, theme: ElementTree.Element | None) -> None:
        self._theme = _theme_colours(theme)
        self._palette = _own_palette(styles) or _PALETTE
        fills = [self._fill(each) for each in _children(styles, "fills")]
        codes = {int(each.get("numFmtId", "0")): each.get("formatCode", "") for each in _children(styles, "numFmts")}
        self._fills: list[str] = []
        self._formats: list[Format] = []
        for xf in _children(styles, "cellXfs"):
            number = int(xf.get("fillId", "0"))
            self._fills.append(fills[number] if 0 <= number < len(fills) else "")
            self._formats.append(_format(int(xf.get("numFmtId", "0")), codes))

    def fill(self, style: int) -> str:
        """Colour of a style's fill as RGB in hexadecimal; "" if it has none."""
        return self._fills[style] if 0 <= style < len(self._fills) else ""

    def format(self, style: int) -> Format:
        """What kind of value a style shows."""
        return self._formats[style] if 0 <= style < len(self._formats) else "general"

    def _fill(self, element: ElementTree.Element) -> str:
        pattern = next((each for each in element if local(each.tag) == "patternFill"), None)
        if pattern is None or pattern.get("patternType", "none") in ("none", "gray125"):
            return ""
        solid = pattern.get("patternType") == "solid"
        wanted = "fgColor" if solid else "bgColor"
        colour = next((each for each in pattern if local(each.tag) == wanted), None)
        return "" if colour is None else self._colour(colour)

    def _colour(self, element: ElementTree.Element) -> str:
        if "rgb" in element.attrib:
            colour = element.get("rgb", "")[-6:].upper()
        elif "theme" in element.attrib:
            number = int(element.get("theme", "0"))
            place = _THEME_ORDER[number] if 0 <= number < len(_THEME_ORDER) else -1
            colour = self._theme[place] if 0 <= place < len(self._theme) else ""
        else:
            number = int(element.get("indexed", "64"))
            colour = self._palette[number] if 0 <= number < len(self._palette) else ""
        tint = float(element.get("tint", "0") or 0)
        return _tinted(colour, tint) if colour and tint else colour


def _children(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return next((list(each) for each in root if local(each.tag) == name), [])


def _theme_colours(theme: ElementTree.Element | None) -> list[str]:
    if theme is None:
        return []
    scheme = next((each for each in theme.iter() if local(each.tag) == "clrScheme"), None)
    if scheme is None:
        return []
    return [next((c.get("lastClr") or c.get("val") or "" for c in colour), "").upper() for colour in scheme]


def _own_palette(styles: ElementTree.Element) -> list[str]:
    for element in styles.iter():
        if local(element.tag) == "indexedColors":
            return [each.get("rgb", "")[-6:].upper() for each in element]
    return []


def _tinted(colour: str, tint: float) -> str:
    """ECMA-376 part 1, 18.8.19: a tint darkens towards black or lightens towards white in HLS."""
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4))
    hue, light, saturation = colorsys.rgb_to_hls(red, green, blue)
    light = light * (1 + tint) if tint < 0 else light * (1 - tint) + tint
    back = colorsys.hls_to_rgb(hue, min(1.0, max(0.0, light)), saturation)
    return "".join(f"{round(part * 255):02X}" for part in back)


def _format(number: int, codes: dict[int, str]) -> Format:
    if number in codes:
        return format_of(codes[number])
    if number in _DATES:
        return "date"
    if number == _TEXT:
        return "text"
    return "general" if number == 0 else "number"


def format_of(code: str) -> Format:
    """What a format code shows."""
    plain = _QUOTED.sub("", code).casefold()
    if plain.strip() in ("", "general"):
        return "general"
    if "@" in plain:
        return "text"
    return "date" if re.search(r"[dy]|m{1,4}(?!.*[#0])", plain) else "number"
