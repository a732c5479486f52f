"""What a seller reads when something does not work: a sentence, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jewelry_client import ApiError, JewelryError


@dataclass(frozen=True)
class Field:
    """A broken field and what is wrong with it."""

    name: str
    sentence: str


class Problem(Exception):
    """Something that did not work.

    Attributes:
        sentence: What happened and what to do; the gateway's own sentence where it sent one.
        kind: Which advice goes with it: a key below `problem` in the labels, such as `unreachable` or `slow`.
        code: Machine-readable reason, such as `IMAGE_UNREADABLE`; empty where there is none.
        fields: Broken fields.
        request_id: Id under which the gateway's log has it.
        retry_after: Seconds after which a repetition may succeed; None where unknown.
    """

    def __init__(
        self,
        sentence: str,
        *,
        kind: str = "",
        code: str = "",
        fields: Sequence[Field] = (),
        request_id: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.kind = kind
        self.code = code
        self.fields = tuple(fields)
        self.request_id = request_id
        self.retry_after = retry_after


# Which advice goes with which status; the sentence itself is the gateway's.
_KINDS = {401: "key", 403: "key", 404: "", 413: "", 429: "busy", 500: "broken", 502: "behind", 503: "busy", 504: "slow"}


def from_api(error: ApiError) -> Problem:
    """The problem that the gateway tells of."""
    fields = tuple(Field(_name(entry.get("loc")), str(entry.get("msg", ""))) for entry in error.errors)
    return Problem(
        _sentence(error.detail),
        kind=_KINDS.get(error.status, ""),
        code=error.code,
        # A field whose sentence is the detail again says nothing new.
        fields=tuple(field for field in fields if field.sentence and field.sentence not in error.detail),
        request_id=error.request_id,
        retry_after=error.retry_after,
    )


def from_connection(error: JewelryError) -> Problem:
    """Nobody answers."""
    return Problem(_sentence(str(error)), kind="unreachable")


def _sentence(text: str) -> str:
    """A sentence as people write it: a capital first, a full stop at the end."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"


def _name(loc: object) -> str:
    return str(loc[-1]) if isinstance(loc, list) and loc else ""
