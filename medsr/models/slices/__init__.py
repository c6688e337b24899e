"""Models: trained 2D networks, each with a card that names its weights. Data files, read without torch."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsr.errors import UsageError, WeightsError

if TYPE_CHECKING:
    from medsr.networks.base import SliceNetwork

FINAL = "-final"
"""Ends the name of a model's second set of weights, those trained for perception."""


@dataclass(frozen=True)
class Weights:
    """One file of weights, and how it came about.

    file : in `medsr/models/weights`. sha256 : of it.
    scale : pixels along the rows and the columns for one of the scan: (4, 1) through-plane, (2, 2) in-plane.
    stage : "pixel", or "final": trained for perception.
    recipe, seed, patches : what trained it, from which seed, on how many patches.
    parameters : of the network as it runs.
    gain_db : PSNR over `spline` on the selection subjects, slice by slice, projection included.
    """

    file: str
    sha256: str
    scale: tuple[int, int]
    stage: str
    recipe: str
    seed: int
    patches: int
    parameters: int
    gain_db: float
    figures: dict[str, float] = field(default_factory=dict, hash=False)
    """On test heads, by `pipelines.benchmarks.models`: PSNR in dB, and that over `spline`."""


@dataclass(frozen=True)
class Model:
    """One model's card.

    data : what it was trained on, with licences.
    """

    name: str
    title: str
    citation: str
    licence: str
    data: tuple[str, ...]
    order: int = 100
    weights: tuple[Weights, ...] = field(default_factory=tuple)

    def choose(self, scale: tuple[int, int], stage: str = "pixel") -> Weights:
        """The weights for a scale.

        Raises
        ------
        WeightsError
            where there are none.
        """
        for one in self.weights:
            if one.scale == scale and one.stage == stage:
                return one
        others = [m.name for m in models().values() if (scale, stage) in {(w.scale, w.stage) for w in m.weights}]
        mode = f"through-plane x{scale[0]}" if scale[1] == 1 else f"in-plane x{scale[0]}"
        raise WeightsError(
            f"the model {self.name} has no weights for {mode} ({stage} stage)",
            hint=f"choose --model {' or '.join(others)}" if others else "train them with medsr train",
        )


@cache
def models() -> dict[str, Model]:
    """All models by name, in the order to show them."""
    found = []
    for entry in (resources.files("medsr") / "models" / "slices").iterdir():
        if entry.name.endswith(".toml"):
            found.append(_read(tomllib.loads(entry.read_text(encoding="utf-8"))))
    return {model.name: model for model in sorted(found, key=lambda m: (m.order, m.name))}


def model(name: str) -> tuple[Model, str]:
    """The model of a name, and the stage that is meant: "gcn" is its pixel stage, "gcn-final" its final one.

    Raises
    ------
    UsageError
        where there is none of that name.
    """
    base = name.removesuffix(FINAL)
    stage = "pixel" if base == name else "final"
    if base not in models() or (stage == "final" and not any(w.stage == stage for w in models()[base].weights)):
        raise UsageError("unknown model", got=repr(name), hint=f"choose from {', '.join(model_names())}")
    return models()[base], stage


def model_names() -> list[str]:
    """All that `--model` takes."""
    finals = [m.name + FINAL for m in models().values() if any(w.stage == "final" for w in m.weights)]
    return [*models(), *finals]


@cache
def load_network(weights: Weights) -> SliceNetwork:
    """The network with its weights, checked against the card; loaded once.

    Raises
    ------
    WeightsError
        where the file is missing or not the one on the card.
    """
    from medsr.models.weights import read_weights

    return read_weights(weights_folder() / weights.file, weights.sha256)


def weights_folder() -> Path:
    """Where the weights lie."""
    return Path(__file__).parents[1] / "weights"


def _read(table: dict[str, Any]) -> Model:
    weights = tuple(Weights(**{**w, "scale": tuple(w["scale"])}) for w in table.pop("weights", []))
    return Model(**{**table, "data": tuple(table["data"]), "weights": weights})
