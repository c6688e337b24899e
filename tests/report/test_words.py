"""Figures in words."""

from __future__ import annotations

import math

import pytest

from medsr.models.card import Promise
from medsr.report.words import figures, number


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0"),
        (1234567, "1\N{NARROW NO-BREAK SPACE}234\N{NARROW NO-BREAK SPACE}567"),
        (0.987, "0.987"),
        (0.00123, "0.00123"),
        (12.345, "12.3"),
        (1234.5, "1234"),
        (-2.5, "−2.50"),
        (3.21e-7, "3.21 × 10⁻⁷"),
        (1.5e20, "1.50 × 10²⁰"),
        (math.inf, "inf"),
        (math.nan, "nan"),
    ],
)
def test_number(value: float, words: str) -> None:
    assert number(value) == words


def test_promise_stands_with_the_figure_that_it_is_judged_by() -> None:
    promise = Promise(exact=1e-3, noisy=1.1)
    rows = figures(
        {"negative_voxels": 3, "residual_over_data": 0.02, "residual_over_noise": 1.2, "other": 5}, promise
    )
    assert [row.kept for row in rows] == [None, False, None, None]
    assert rows[1].symbol == "‖Ax − y‖ / (σ√N)"
    assert rows[3].symbol == "other"
    rows = figures({"residual_over_data": 0.0005}, promise)
    assert [row.kept for row in rows] == [True]
    assert figures({"residual_over_data": math.nan}, promise)[0].kept is False
    assert figures({"residual_over_data": 0.02, "residual_over_noise": 1.0}, Promise(exact=1e-3))[1].kept is None
