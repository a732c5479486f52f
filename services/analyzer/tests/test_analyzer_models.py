"""The table of models: prices in rupees, ends, quotas by group."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from analyzer_service.pricing import Models
from analyzer_service.quota import Limits
from servicekit import errors

BEFORE, AFTER = datetime.date(2026, 12, 31), datetime.date(2027, 1, 1)


@pytest.mark.parametrize(
    ("model", "day", "tokens", "rupees"),
    [
        # Dollars per million tokens: 0.75 and 3.75 until the end of 2026, then twice that; 90 rupees to a dollar.
        ("gemini-3.8-flash", BEFORE, (1_000_000, 100_000, 0), (0.75 + 0.375) * 90),
        ("gemini-3.8-flash", AFTER, (1_000_000, 100_000, 0), (1.5 + 0.75) * 90),
        # A made picture of 1,120 tokens at 60 dollars per million.
        ("gemini-3.1-flash-image", BEFORE, (0, 1120, 1120), 1120 * 60 * 90 / 1e6),
        ("gemini-3.1-flash-image", BEFORE, (1000, 1220, 1120), (0.5 * 1000 + 3 * 100 + 60 * 1120) * 90 / 1e6),
        ("gemini-embedding-2", BEFORE, (1_000_000, 0, 0), 0.2 * 90),
        ("nobody-knows-it", BEFORE, (1_000_000, 1_000_000, 0), 0),
    ],
)
def test_rupees_per_call(model: str, day: datetime.date, tokens: tuple[int, int, int], rupees: float) -> None:
    cost = Models(inr_per_usd=90, today=lambda: day).cost(model, *tokens)
    assert cost.inr_micros == pytest.approx(rupees * 1e6, abs=1)
    assert (cost.calls, cost.input_tokens, cost.output_tokens) == (1, tokens[0], tokens[1])


def test_a_file_of_the_sellers_wins(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    path.write_text(
        """
        [prices]
        "my-model" = [{ input = 1, output = 2 }]
        [shutdown]
        "my-model" = 2030-01-31
        [quotas."my-model"]
        requests_per_minute = 60
        requests_per_day = 1000
        [groups.rich."my-model"]
        requests_per_minute = 600
        """,
        encoding="utf-8",
    )
    models = Models(path, defaults=Limits(10, 20_000, None, None), inr_per_usd=100)
    assert models.cost("my-model", 10, 10).inr_micros == 3000
    assert models.cost("gemini-embedding-2", 10, 0).inr_micros > 0
    assert (models.shutdown_date("my-model"), models.shutdown_date("gemini-2.5-flash")) == ("2030-01-31", "2026-12-01")
    assert models.limits("poor", "my-model") == Limits(60, 20_000, 1000, None)
    assert models.limits("rich", "my-model") == Limits(600, 20_000, 1000, None)
    assert models.limits("rich", "another") == Limits(10, 20_000, None, None)
    assert models.limits("rich", "models.list") == Limits()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("this is = no [toml", "line 1"),
        ('[prices]\n"m" = [{ input = -1, output = 2 }]', "prices.m.0.input"),
        ('[quotas."m"]\nper_minute = 5', "quotas.m.per_minute"),
        ('[quotas."m"]\nrequests_per_minute = 0', "quotas.m.requests_per_minute"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "models.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(errors.FailedPrecondition) as caught:
        Models(path)
    assert caught.value.reason == "BAD_SETTINGS"
    assert named in caught.value.message
    with pytest.raises(errors.FailedPrecondition):
        Models(tmp_path / "missing.toml")
