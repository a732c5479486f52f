"""Values that obey a JSON schema, chosen by a seed; and the limits at which providers refuse a schema."""

from __future__ import annotations

import json
import random
import re
from typing import Any

# Gemini answers a bare 400 near 100 values in one enum, for large totals, and when the maxItems of all arrays add up
# to about 960 (googleapis/python-genai issues 950, 2133, 2170).
MAX_ENUM = 100
MAX_ENUM_TOTAL = 500
MAX_ITEMS_TOTAL = 960

# Three lists of words, one of each making a phrase.
Words = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]

ENGLISH: Words = (
    ("graceful", "timeless", "delicate", "radiant", "festive", "refined", "charming", "classic"),
    ("design", "finish", "silhouette", "detail", "pattern", "contour", "look", "accent"),
    ("for everyday wear", "for celebrations", "that is easy to style", "with a light feel", "made to be noticed"),
)
# A few words in other letters, by Unicode's name of the script: which letters an answer has is all that counts.
OTHER_SCRIPTS: dict[str, Words] = {
    "Devanagari": (("सुंदर", "हल्के", "लाल"), ("झुमके", "कंगन", "हार"), ("त्योहार के लिए", "साड़ी के साथ", "हर दिन")),
    "Bengali": (("সুন্দর", "হালকা", "লাল"), ("দুল", "চুড়ি", "হার"), ("উৎসবের জন্য", "শাড়ির সাথে", "প্রতিদিন")),
    "Tamil": (("அழகான", "இலகுவான", "சிவப்பு"), ("காதணி", "வளையல்", "மாலை"), ("விழாவிற்கு", "புடவையுடன்", "தினமும்")),
    "Telugu": (("అందమైన", "తేలికైన", "ఎర్రటి"), ("చెవిపోగులు", "గాజులు", "హారం"), ("పండుగకు", "చీరతో", "ప్రతిరోజు")),
    "Gujarati": (("સુંદર", "હળવા", "લાલ"), ("બુટ્ટી", "બંગડી", "હાર"), ("તહેવાર માટે", "સાડી સાથે", "દરરોજ")),
    "Kannada": (("ಸುಂದರ", "ಹಗುರ", "ಕೆಂಪು"), ("ಕಿವಿಯೋಲೆ", "ಬಳೆ", "ಹಾರ"), ("ಹಬ್ಬಕ್ಕೆ", "ಸೀರೆಯೊಂದಿಗೆ", "ಪ್ರತಿದಿನ")),
    "Malayalam": (("മനോഹരമായ", "ലഘുവായ", "ചുവന്ന"), ("കമ്മൽ", "വള", "മാല"), ("ഉത്സവത്തിന്", "സാരിക്കൊപ്പം", "ദിവസവും")),
    "Gurmukhi": (("ਸੁੰਦਰ", "ਹਲਕੇ", "ਲਾਲ"), ("ਝੁਮਕੇ", "ਚੂੜੀ", "ਹਾਰ"), ("ਤਿਉਹਾਰ ਲਈ", "ਸਾੜੀ ਨਾਲ", "ਹਰ ਰੋਜ਼")),
    "Oriya": (("ସୁନ୍ଦର", "ହାଲୁକା", "ଲାଲ"), ("କାନଫୁଲ", "ଚୁଡ଼ି", "ହାର"), ("ପର୍ବ ପାଇଁ", "ଶାଢ଼ୀ ସହିତ", "ପ୍ରତିଦିନ")),
    "Arabic": (("خوبصورت", "ہلکے", "سرخ"), ("جھمکے", "چوڑی", "ہار"), ("تہوار کے لیے", "ساڑھی کے ساتھ", "ہر روز")),
}
_OPTIONS_IN_TEXT = re.compile(r"[Oo]ne of: ([^\n]+)")

Schema = dict[str, Any]


def enum_problem(schema: Schema) -> str | None:
    """Why Gemini would refuse this schema, or None."""
    sizes: list[int] = []
    max_items = 0
    for node in _nodes(schema):
        if isinstance(node.get("enum"), list):
            sizes.append(len(node["enum"]))
        bound = node.get("maxItems")
        max_items += int(bound) if bound is not None else 0
    if sizes and (max(sizes) > MAX_ENUM or sum(sizes) > MAX_ENUM_TOTAL):
        return "The specified schema produces a constraint that has too many states for serving."
    if max_items > MAX_ITEMS_TOTAL:
        return "Request contains an invalid argument."
    return None


def strict_problem(schema: Schema) -> str | None:
    """Why OpenAI would refuse this schema with `strict: true`, or None."""
    for node in _nodes(schema):
        properties = node.get("properties")
        if not isinstance(properties, dict):
            continue
        if node.get("additionalProperties") is not False:
            return "'additionalProperties' is required to be supplied and to be false."
        missing = sorted(set(properties) - set(node.get("required", [])))
        if missing:
            return f"'required' is required to be supplied and to include every key in properties. Missing: {missing}"
    return None


def _nodes(schema: Any) -> list[Schema]:
    if isinstance(schema, list):
        return [node for item in schema for node in _nodes(item)]
    if not isinstance(schema, dict):
        return []
    found = [schema]
    for name, value in schema.items():
        if name in ("properties", "$defs", "definitions") and isinstance(value, dict):
            found += [node for item in value.values() for node in _nodes(item)]
        elif name in ("items", "anyOf", "oneOf", "allOf", "prefixItems"):
            found += _nodes(value)
    return found


class Filler:
    """Fills a schema; the same seed and schema give the same value.

    Args:
        words: What texts are made of.
    """

    def __init__(self, schema: Schema, seed: int, words: Words = ENGLISH) -> None:
        self._root = schema
        self._words = words
        self._random = random.Random(seed)

    def value(self) -> Any:
        """A value that the schema accepts."""
        return self._fill(self._root, "value")

    def text(self) -> str:
        """The value as JSON."""
        return json.dumps(self.value(), ensure_ascii=False)

    def _fill(self, schema: Schema, name: str) -> Any:
        schema = self._resolve(schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._random.choice(schema["enum"])
        kind = self._kind(schema)
        if kind == "object":
            return {key: self._fill(item, key) for key, item in schema.get("properties", {}).items()}
        if kind == "array":
            return self._array(schema, name)
        if kind in ("number", "integer"):
            return self._number(schema, name, kind)
        if kind == "boolean":
            # A model says "cannot be seen" of some fields, not of most.
            return self._random.random() < 0.1
        if kind == "null":
            return None
        return self._string(schema, name)

    def _resolve(self, schema: Schema) -> Schema:
        for _ in range(20):
            if "$ref" in schema:
                target: Any = self._root
                for step in str(schema["$ref"]).removeprefix("#/").split("/"):
                    target = target[step]
                schema = target
            elif schema.get("anyOf") or schema.get("oneOf"):
                branches = schema.get("anyOf") or schema["oneOf"]
                schema = next((item for item in branches if item.get("type") != "null"), branches[0])
            else:
                return schema
        raise ValueError("the schema refers to itself without an end")

    @staticmethod
    def _kind(schema: Schema) -> str:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = next((item for item in kind if item != "null"), "null")
        return str(kind).lower()

    def _array(self, schema: Schema, name: str) -> list[Any]:
        if "conflict" in name:
            # Views of one product agree.
            return []
        low = int(schema.get("minItems") or 0)
        high = int(schema["maxItems"]) if schema.get("maxItems") is not None else max(low, 2)
        count = self._random.randint(max(low, min(1, high)), max(low, high)) if high <= 10 else max(low, 2)
        items: list[Any] = []
        for index in range(count):
            item = self._fill(schema.get("items", {"type": "string"}), f"{name} {index + 1}")
            # A model does not repeat itself in a list; a small enum may leave nothing new to say.
            if item not in items or len(items) < low:
                items.append(item)
        return items

    def _number(self, schema: Schema, name: str, kind: str) -> float | int:
        default_low, default_high = (0.6, 0.97) if "confidence" in name else (1, 40)
        bounds: dict[str, float] = {"minimum": default_low, "maximum": default_high}
        bounds |= {key: float(schema[key]) for key in bounds if schema.get(key) is not None}
        low, high = bounds["minimum"], bounds["maximum"]
        if "confidence" in name:
            low, high = max(low, 0.6), min(high, 0.97)
        if kind == "integer":
            return self._random.randint(round(low), max(round(low), round(high)))
        return round(self._random.uniform(low, max(low, high)), 2)

    def _string(self, schema: Schema, name: str) -> str:
        listed = _OPTIONS_IN_TEXT.search(str(schema.get("description", "")))
        if listed:
            return self._random.choice([option.strip() for option in listed.group(1).split(" | ")])
        if schema.get("format") == "date":
            return f"2026-{self._random.randint(1, 11):02d}-{self._random.randint(1, 28):02d}"
        text = self._phrase()
        text = text[0].upper() + text[1:]
        low, high = int(schema.get("minLength") or 0), schema.get("maxLength")
        wanted = max(low, 240 if "description" in name.lower() else 0)
        if high is not None:
            wanted = min(wanted, int(high))
        while len(text) < wanted:
            text += ". " + self._phrase().capitalize()
        return text if high is None else text[: int(high)].rstrip() if low == 0 else text[: int(high)]

    def _phrase(self) -> str:
        return " ".join(self._random.choice(words) for words in self._words)
