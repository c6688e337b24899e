"""Cards: what each method takes, promises and was measured to do. Data files, read without torch."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from medsr.errors import UsageError

AUTO = "auto"
"""The name that stands for the default method of the scan's kind."""


@dataclass(frozen=True)
class Domain:
    """What a method was made for; None where it does not care.

    contrasts : in words. spacing : least and greatest voxel size of the scan, mm. ratio : least and greatest
    refinement of an axis. noise : least and greatest standard deviation over the scan's 99.5th percentile.
    """

    contrasts: str | None = None
    spacing: tuple[float, float] | None = None
    ratio: tuple[float, float] | None = None
    noise: tuple[float, float] | None = None


@dataclass(frozen=True)
class Promise:
    """Bounds on the data residual ``‖A x - y‖``.

    exact : over ``‖y‖``, where the noise is zero. noisy : over ``σ √N``, where it is not.
    """

    exact: float | None = None
    noisy: float | None = None


@dataclass(frozen=True)
class Weights:
    """One file of weights.

    file : in `medsr/models/weights`. calibration : by what the uncertainty that the network gives is multiplied to
    get the half width of the interval that the card names, at each of `ratios`.
    """

    file: str
    sha256: str
    ratios: list[float] = field(default_factory=list)
    calibration: list[float] = field(default_factory=list)

    def calibrated(self, ratio: float) -> float:
        """The calibration at a ratio, linear between those on the card; 1 where the card has none."""
        import numpy as np

        return float(np.interp(ratio, self.ratios, self.calibration)) if self.ratios else 1.0


@dataclass(frozen=True)
class Card:
    """One method's card; see CONTRIBUTING.md for the file."""

    name: str
    summary: str
    entry: str
    kind: str
    licence: str
    citation: str
    order: int = 100
    default: bool = False
    """Whether it is what is done unless another method is named, for its kind."""
    learned: bool = False
    fast: bool = False
    """Whether it has a faster form (`--fast`)."""
    models: bool = False
    """Whether it takes one of the trained 2D networks (`medsr.models.slices`)."""
    uncertainty: str | None = None
    promise: Promise = field(default_factory=Promise)
    domain: Domain = field(default_factory=Domain)
    memory: float = 3.0
    """Copies of the result (float32) held at the peak, the result itself included; of k-space, copies (complex64)
    of the frames that are solved together."""
    cap: float | None = None
    """The most that a network may add to `spline`, over the scan's 99.5th percentile."""
    weights: dict[str, Weights] = field(default_factory=dict)
    """By what they serve."""
    licences: list[str] = field(default_factory=list)
    """Of the data that the weights were trained on."""
    figures: dict[str, Any] = field(default_factory=dict)


@cache
def cards() -> dict[str, Card]:
    """All cards by name, in the order to show them."""
    found = []
    for entry in (resources.files("medsr") / "models" / "cards").iterdir():
        if entry.name.endswith(".toml"):
            found.append(_read(tomllib.loads(entry.read_text(encoding="utf-8"))))
    return {card.name: card for card in sorted(found, key=lambda c: (c.order, c.name))}


def card(name: str) -> Card:
    """The card of method `name`; a UsageError names the ones there are."""
    if name not in cards():
        raise UsageError("unknown method", got=repr(name), hint=f"choose from {', '.join(cards())}")
    return cards()[name]


def chosen_card(name: str, kind: str) -> Card:
    """The card of method `name` for scans of a `kind` ("image" or "kspace"); of "auto", the kind's default.

    Raises
    ------
    UsageError
        if there is no such method, or it is for the other kind.
    """
    fitting = {c.name: c for c in cards().values() if c.kind == kind}
    if name == AUTO:
        return next(c for c in fitting.values() if c.default)
    found = card(name)
    if found.kind != kind:
        what = {"image": "images", "kspace": "raw data"}
        raise UsageError(
            f"{name} is a method for {what[found.kind]}, not for {what[kind]}",
            hint=f"choose from {', '.join(fitting)}",
        )
    return found


def _read(table: dict[str, Any]) -> Card:
    domain: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in table.pop("domain", {}).items()
    }
    weights = {name: Weights(**w) for name, w in table.pop("weights", {}).items()}
    promise = Promise(**table.pop("promise", {}))
    return Card(**table, promise=promise, domain=Domain(**domain), weights=weights)
