"""What pages carry inside their scripts: JSON-LD, assigned state, and JSON wrapped in calls. Total: nothing raises."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice

# A state of this size or more of hits is no product page; it bounds the work on hostile input.
MAX_HITS = 2_000
MAX_ASSIGNMENTS = 5  # of one name in one script

_DECODER = json.JSONDecoder(strict=False)
_PARSE_CALL = re.compile(r"""(?:[\w.$]+\.parseJSON|JSON\.parse)\(\s*(['"])""")
_SINGLE_QUOTED_KEY = re.compile(r"\{\s*'([^'\\]{1,80})'\s*:\s*")
_UNDEFINED = re.compile(r"(?<=[:\[,])\s*undefined(?=\s*[,}\]])")
_ESCAPED_QUOTE = re.compile(r"\\'")


def loads(text: str) -> object:
    """The JSON value of the text, None where it is none (or nested beyond reason)."""
    try:
        return _DECODER.decode(text.strip())
    except (ValueError, RecursionError):
        return None


def decode_at(script: str, position: int, depth: int = 0) -> object:
    """The value that begins at `position` of a script, None where none can be read.

    Read are JSON, `A.$.parseJSON('...')`, `JSON.parse("...")`, and the first key of an object literal in single quotes
    (`{ 'initial': [...] }`). Nothing is ever executed.
    """
    try:
        return _DECODER.raw_decode(script, position)[0]
    except (ValueError, RecursionError):
        pass
    if depth > 3:
        return None
    call = _PARSE_CALL.match(script, position)
    if call:
        return loads(_string_literal(script, call.end(), call[1]))
    key = _SINGLE_QUOTED_KEY.match(script, position)
    if key:
        value = decode_at(script, key.end(), depth + 1)
        return None if value is None else {key[1]: value}
    if "undefined" in script[position:] and depth == 0:
        return decode_at(_UNDEFINED.sub("null", script[position:]), 0, depth + 1)
    return None


def _string_literal(script: str, start: int, quote: str) -> str:
    """The text of the string literal whose opening quote ends at `start`, with its escapes resolved."""
    end = start
    while end < len(script) and script[end] != quote:
        end += 2 if script[end] == "\\" else 1
    body = script[start:end]
    if "\\" not in body:
        return body
    inner = _ESCAPED_QUOTE.sub("'", body)
    if quote == "'":
        inner = re.sub(r'(?<!\\)"', r"\"", inner)
    resolved = loads(f'"{inner}"')
    return resolved if isinstance(resolved, str) else body


def assigned(scripts: Iterable[str], marker: str) -> object:
    """The value assigned to `marker` (such as `window.__myx`) in the first script where it can be read."""
    pattern = re.compile(re.escape(marker) + r"\s*=\s*")
    for script in scripts:
        for match in islice(pattern.finditer(script), MAX_ASSIGNMENTS):
            value = decode_at(script, match.end())
            if isinstance(value, dict):
                return value
    return None


def dig(root: object, path: str) -> list[object]:
    """Everything at a path: keys and list indexes, `*` for every child, `?key=value` keeps objects with that value."""
    here: list[object] = [root]
    for segment in path.split("."):
        here = [child for value in here for child in _step(value, segment)][:MAX_HITS]
        if not here:
            break
    return [value for value in here if value is not None]


def _step(value: object, segment: str) -> Iterable[object]:
    if segment == "*":
        if isinstance(value, dict):
            return list(value.values())
        return value if isinstance(value, list) else ()
    if segment.startswith("?"):
        key, _, wanted = segment[1:].partition("=")
        kept = isinstance(value, dict) and str(value.get(key)).lower() == wanted.lower()
        return (value,) if kept else ()
    if isinstance(value, dict):
        return (value[segment],) if segment in value else ()
    if isinstance(value, list) and segment.isascii() and segment.isdigit():
        return value[int(segment[:6]) : int(segment[:6]) + 1]
    return ()


def json_ld(blocks: Iterable[str]) -> list[dict[str, object]]:
    """Every JSON-LD node of the blocks, `@graph` and `mainEntity` opened."""
    nodes: list[dict[str, object]] = []
    for block in blocks:
        nodes.extend(_nodes(loads(block), 0))
    return nodes[:MAX_HITS]


def _nodes(value: object, depth: int) -> Iterator[dict[str, object]]:
    if depth > 4:
        return
    if isinstance(value, list):
        for item in value[:MAX_HITS]:
            yield from _nodes(item, depth + 1)
    elif isinstance(value, dict):
        yield value
        for key in ("@graph", "mainEntity"):
            yield from _nodes(value.get(key), depth + 1)


def is_type(node: dict[str, object], name: str) -> bool:
    """True for a JSON-LD node of that type."""
    kind = node.get("@type")
    return kind == name or (isinstance(kind, list) and name in kind)
