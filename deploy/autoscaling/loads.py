"""Loads to replay: images per second, for each second."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping

HOUR = 3600
# Short bursts: the mean of each second varies by this share of itself. The seed makes every run the same.
_NOISE = 0.12
_SEED = 12

Load = list[float]


def _noisy(seconds: int, level: Callable[[int], float]) -> Load:
    chance = random.Random(_SEED)  # noqa: S311  # noise, not a secret
    return [max(0.0, level(second) * (1 + chance.gauss(0, _NOISE))) for second in range(seconds)]


def step(peak: float) -> Load:
    """5% of the peak; 60% from one second to the next after ten minutes; back after forty more."""
    return _noisy(2 * HOUR, lambda at: peak * (0.6 if 600 <= at < 3000 else 0.05))


def ramp(peak: float) -> Load:
    """From 5% to the peak in half an hour, ten minutes of it, and back in half an hour."""

    def level(at: int) -> float:
        return peak * (0.05 + 0.95 * max(0.0, min(1.0, at / 1800, (4200 - at) / 1800)))

    return _noisy(2 * HOUR, level)


def sawtooth(peak: float) -> Load:
    """Between 10% and 50%, every ten minutes: what makes an eager scaler run after its own tail."""
    return _noisy(2 * HOUR, lambda at: peak * (0.1 + 0.4 * (at % 600) / 600))


def sale_day(peak: float) -> Load:
    """From noon to midnight: busy at noon, more so in the evening; a sale opens at 20:00, within two minutes."""

    def level(at: int) -> float:
        hour = 12 + at / HOUR
        everyday = 0.04 + 0.10 * math.exp(-((hour - 12) ** 2) / 8) + 0.16 * math.exp(-((hour - 19.5) ** 2) / 6)
        since = hour - 20
        sale = 0.0 if since < 0 else 0.75 * min(1.0, since * 30) * math.exp(-max(0.0, since - 0.5) / 1.2)
        return peak * min(1.0, everyday + sale)

    return _noisy(12 * HOUR, level)


LOADS: Mapping[str, Callable[[float], Load]] = {
    "step": step,
    "ramp": ramp,
    "sawtooth": sawtooth,
    "sale day": sale_day,
}
