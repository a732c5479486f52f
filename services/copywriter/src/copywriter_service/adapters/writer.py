"""What writes copy: the Protocol that the provider and its embedded stand-in share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from copywriter_service.domain import AdapterInfo, CopyText, Cost, Finding, Order, Origin, Part, TimeLeft
from copywriter_service.rulebook import Rules


@dataclass(frozen=True)
class Ask:
    """What is to be written.

    Attributes:
        parts: The parts asked for, never empty.
        existing: Parts that are there already and are kept; the new ones should fit them.
        draft: A text that breaks rules, to be mended; empty on the first asking.
        findings: What is wrong with the draft.
    """

    order: Order
    rules: Rules
    parts: tuple[Part, ...]
    existing: CopyText = field(default_factory=CopyText)
    draft: CopyText = field(default_factory=CopyText)
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Draft:
    """What was written: the asked parts only."""

    copy: CopyText
    cost: Cost = field(default_factory=Cost)


class Writer(Protocol):
    """Writes copy. `origin` says as what its texts are stored."""

    @property
    def info(self) -> AdapterInfo:
        """Who writes, and what an operator should know of it."""
        ...

    @property
    def origin(self) -> Origin:
        """MODEL, or COMPOSED for the embedded writer."""
        ...

    @property
    def prompt_version(self) -> str:
        """Version of the prompt or of the wording."""
        ...

    async def write(self, ask: Ask, time_left: TimeLeft) -> Draft:
        """Writes the asked parts.

        Raises:
            errors.ServiceError: Nothing could be written; the reason says why. Nothing is kept of it.
        """
        ...

    async def start(self) -> None:
        """Begins whatever runs beside the calls; never fails."""
        ...

    async def close(self) -> None:
        """Ends it."""
        ...
