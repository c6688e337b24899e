"""Recipes of the learned methods of spiral fMRI."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medsr.errors import InputError
from medsr.training.spiral.loss import Weights
from medsr.training.spiral.runs import Odds

METHODS = ("spiral-fmri-dc", "spiral-fmri", "deblur")


@dataclass(frozen=True)
class SpiralRecipe:
    """One training run; see `medsr/training/recipes/spiral-fmri-dc.toml`.

    method : spiral-fmri-dc, spiral-fmri, or "deblur", of the former's mean image. heads, val : patterns of images
    under the data folder, to train and to choose by. whole : patterns of images with skull and scalp, for every
    other run. runs, val_runs : how many to simulate. moments : of how many truths the spectra make the beginning.
    lift : what the variances are multiplied by in the weights that are left, chosen by selection runs: training
    buys image error with the response. network, layers : options of the method's parts.
    """

    name: str
    method: str
    heads: tuple[str, ...]
    val: tuple[str, ...]
    steps: int
    whole: tuple[str, ...] = ()
    runs: int = 24
    val_runs: int = 5
    seed: int = 0
    learning_rate: float = 3e-3
    warmup: int = 10
    average: float = 0.98
    moments: int = 7
    lift: float = 1.0
    save_every: int = 10
    validate_every: int = 40
    network: dict[str, Any] = field(default_factory=dict)
    layers: dict[str, int] = field(default_factory=dict)
    loss: Weights = field(default_factory=Weights)
    odds: Odds = field(default_factory=Odds)


def spiral_recipe(name: str, table: dict[str, Any]) -> SpiralRecipe:
    """The recipe in a TOML table of kind "spiral".

    Raises
    ------
    InputError
        if it is none.
    """
    try:
        fields = _tuples({k: v for k, v in table.items() if k != "kind"})
        if fields.get("method") not in METHODS:
            raise InputError(f"{name}: not a recipe of kind spiral", rule=f"method is one of {', '.join(METHODS)}")
        loss, odds = Weights(**fields.pop("loss", {})), Odds(**_tuples(fields.pop("odds", {})))
        return SpiralRecipe(**fields, loss=loss, odds=odds)
    except TypeError as error:
        raise InputError(f"{name}: not a recipe of kind spiral", got=str(error)) from None


def _tuples(table: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}


def heads_of(data: Path, patterns: tuple[str, ...], whole: tuple[str, ...] = ()) -> list[Path]:
    """The images that patterns name, each pattern's in turn: one of the first, one of the second, ...; with those
    of `whole`, in the same order, between them, as often as it takes."""
    lists = [sorted(data.glob(p)) for p in patterns]
    longest = max((len(found) for found in lists), default=0)
    heads = [found[i] for i in range(longest) for found in lists if i < len(found)]
    others = heads_of(data, whole) if whole else []
    if not heads or not others:
        return heads or others
    return [
        (heads, others)[i % 2][i // 2 % (len(others) if i % 2 else len(heads))]
        for i in range(2 * math.lcm(len(heads), len(others)))
    ]
