"""Figures in words that need no manual, and words that are safe in a page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from medsr.errors import one_line
from medsr.models.card import Promise

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_THIN = "\N{NARROW NO-BREAK SPACE}"


@dataclass(frozen=True)
class Figure:
    """One row of the table of figures.

    symbol : a formula, or the figure's name. bound : what the card promises at most; None for no promise.
    """

    symbol: str
    value: float
    words: str
    bound: float | None = None

    @property
    def kept(self) -> bool | None:
        """Whether the promise was kept; None where there is none."""
        return None if self.bound is None else self.value <= self.bound


_KNOWN = {
    "residual_over_data": (
        "‖Ax − y‖ / ‖y‖",
        "The result x was sent through the model of the scanner, A, and compared with the scan y. 0 is a perfect "
        "match; what is left should be the scan's noise.",
    ),
    "residual_over_noise": (
        "‖Ax − y‖ / (σ√N)",
        "The same mismatch against the noise, of standard deviation σ in each of the N voxels or samples. About 1 "
        "or a little less: what is left is noise. Above that: something in the scan is not explained.",
    ),
    "negative_voxels": (
        "voxels below zero",
        "The scan has no values below zero; these of the result lie below it by more than 0.1 % of the scan's "
        "greatest: undershoots beside sharp edges, and noise in air.",
    ),
}


def figures(values: Mapping[str, float], promise: Promise) -> list[Figure]:
    """The figures of a result in words; the promise stands with the one it is judged by.

    That is the residual over the noise, and over the data where the noise is zero.
    """
    judged = "residual_over_noise" if "residual_over_noise" in values else "residual_over_data"
    bound = promise.noisy if judged == "residual_over_noise" else promise.exact
    rows = []
    for name in [*(n for n in _KNOWN if n in values), *(n for n in values if n not in _KNOWN)]:
        symbol, words = _KNOWN.get(name, (name.replace("_", " "), ""))
        rows.append(Figure(symbol, float(values[name]), words, bound if name == judged else None))
    return rows


def number(value: float) -> str:
    """Three digits that count; whole numbers in full, powers of ten where they are needed."""
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace(",", _THIN).replace("-", "−")
    power = math.floor(math.log10(abs(value)))
    if -3 <= power < 6:
        return f"{value:.{max(0, 2 - power)}f}".replace("-", "−")
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa} × 10{str(int(exponent)).translate(_SUPERSCRIPT)}".replace("-", "−")


def text(value: object) -> str:
    """`value` on one line, safe between tags and in quotes."""
    return escape(one_line(str(value)))
