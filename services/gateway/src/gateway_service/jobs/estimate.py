"""What a job will cost and take, told before anything is paid for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway_service.jobs.model import Experience
from gateway_service.model import Adapter, Order

# Without experience of this installation, per product with one picture: one request for the fields and one for the
# copy; tokens as the prompts and schemas of the ten codes have them, a picture of 1,000 x 1,000 at about 1,100.
_ANALYZE = Experience(1, 1, 3_600, 900, 0)
_WRITE = Experience(1, 1, 2_400, 700, 0)
_PICTURE_TOKENS = 1_100
# Rupees per million tokens, in and out: the dearer of the two default models, so that a bound errs on the safe side.
_INPUT_INR, _OUTPUT_INR = 130.0, 800.0
# Seconds per product, models asked; and where everything is answered by this machine.
_ASKED_SECONDS, _EMBEDDED_SECONDS = 9.0, 1.5


@dataclass(frozen=True)
class Estimate:
    """For all products of an order; money in millionths of a rupee. `basis`: experience, defaults or embedded."""

    products: int
    calls: int
    input_tokens: int
    output_tokens: int
    inr_micros: int
    minutes: float
    basis: str

    @property
    def per_product(self) -> int:
        """Millionths of a rupee that one product is expected to cost."""
        return -(-self.inr_micros // self.products) if self.products else 0


def estimate(order: Order, experience: Experience, adapters: Iterable[Adapter], concurrency: int) -> Estimate:
    """Expected calls, tokens, money and time.

    Args:
        experience: What products of this code cost lately.
        adapters: Who answers now for the roles vision and copy; an embedded one asks nobody.
        concurrency: Products at once.
    """
    embedded = {one.role: one.embedded for one in adapters}
    asked = [part for role, part in (("vision", _ANALYZE), ("copy", _WRITE)) if not embedded.get(role, False)]
    count = len(order.products)
    further = sum(max(0, len(urls) - 1) for _, urls in order.products)
    seconds = _ASKED_SECONDS if asked else _EMBEDDED_SECONDS
    minutes = round(-(-count // max(1, min(concurrency, count or 1))) * seconds / 60, 2)
    if not asked:
        return Estimate(count, 0, 0, 0, 0, minutes, "embedded")
    # Products that were found in the cache, or answered by this machine, tell nothing about a price.
    if experience.products and experience.calls:
        return Estimate(
            count,
            round(count * experience.calls),
            round(count * experience.input_tokens),
            round(count * experience.output_tokens),
            round(count * experience.inr_micros),
            minutes,
            "experience",
        )
    tokens_in = round(sum(part.input_tokens for part in asked) * count + further * _PICTURE_TOKENS * len(asked))
    tokens_out = round(sum(part.output_tokens for part in asked) * count)
    money = round(tokens_in * _INPUT_INR + tokens_out * _OUTPUT_INR)
    return Estimate(count, len(asked) * count, tokens_in, tokens_out, money, minutes, "defaults")
