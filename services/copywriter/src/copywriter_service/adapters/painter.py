"""What makes mock-up pictures: the Protocol of the provider, and its stand-in where no key is configured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from copywriter_service.domain import AdapterInfo, Cost, TimeLeft
from servicekit import errors


@dataclass(frozen=True)
class Painted:
    """An answer that was paid for.

    Attributes:
        data: The picture's bytes as the provider made them; empty where the answer held none that could be read.
    """

    data: bytes = field(repr=False)
    cost: Cost


class Painter(Protocol):
    """Makes one picture at a time from source pictures and a prompt."""

    @property
    def info(self) -> AdapterInfo:
        """Who makes pictures, and what an operator should know of it."""
        ...

    @property
    def longest_side(self) -> int:
        """Pixels that a source picture should have at most."""
        ...

    def require(self) -> None:
        """Does nothing where pictures can be made.

        Raises:
            errors.FailedPrecondition: NO_PROVIDER_KEY: they cannot.
        """
        ...

    def planned_micros(self, sources: int) -> int | None:
        """What one picture may cost at most as far as can be told before, in millionths of a rupee.

        Args:
            sources: How many source pictures go along.

        Returns:
            None where no price is known.
        """
        ...

    async def paint(self, sources: Sequence[bytes], prompt: str, time_left: TimeLeft) -> Painted:
        """Makes a picture.

        Args:
            sources: JPEGs.
            prompt: What is to be seen.
            time_left: Seconds that the caller has.

        Raises:
            errors.ServiceError: Nothing was made; the reason says why.
        """
        ...


class NoPainter:
    """Stands where no key is configured. There is no embedded way to make such pictures, and it does not pretend."""

    info = AdapterInfo(
        "image_edits", "none", embedded=False, detail="no key configured: mock-up pictures need OPENAI_API_KEY"
    )
    longest_side = 1024

    def require(self) -> None:
        """Always refuses."""
        raise errors.FailedPrecondition(
            "mock-up pictures are made by OpenAI and need a key; set OPENAI_API_KEY", reason="NO_PROVIDER_KEY"
        )

    def planned_micros(self, sources: int) -> int | None:
        """Nothing is made, so nothing is paid."""
        return 0

    async def paint(self, sources: Sequence[bytes], prompt: str, time_left: TimeLeft) -> Painted:
        """Refuses, as `require`."""
        self.require()
        raise AssertionError("require raises")
