"""Recipes: what to train, on what, for how long. Data files; no code in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from medsr.errors import InputError
from medsr.training.patches import Source
from medsr.training.slices.recipe import read_recipe


@dataclass(frozen=True)
class Recipe:
    """One training run; see `medsr/training/recipes` for commented files."""

    name: str
    network: dict[str, Any]
    source: tuple[Source, ...]
    steps: int
    layout: str = "isotropic"
    """Which acquisitions the weights are to serve (`medsr.acquisition.cells`)."""
    cells: int = 24
    """Cells along each axis of a patch, where the volume has as many."""
    batch: float = 2.0
    """Patches of that size a step; smaller ones are more."""
    seed: int = 0
    learning_rate: float = 1e-3
    warmup: int = 100
    decay: float = 0.4
    """Share of the steps over which the learning rate falls to nothing, at the end."""
    start: str = ""
    """Weights (a safetensors file) to start from."""
    stage: Literal["estimate", "interval"] = "estimate"
    """What is trained: the estimate, or, the estimate held as it is, the half width of its error's interval."""
    denoised: float = 0.0
    """Share of the patches that some or all of their noise is taken from, so that clean heads are known too."""
    average: float = 0.999
    save_every: int = 100
    validate_every: int = 250
    odds: dict[str, float] = field(default_factory=dict)
    easy: tuple[int, int] = (0, 0)
    """Steps without noise, wrong point spreads and changed contrasts; then steps over which they come in."""

    def hardness(self, step: int) -> float:
        """From 0 (only clean scans, rightly described) to 1 (the odds as they stand)."""
        alone, rising = self.easy
        return 1.0 if step >= alone + rising else max(0.0, (step - alone) / rising if rising else 0.0)


def load_recipe(name: str) -> Recipe:
    """A recipe by the name of one that medsr ships, or by the path of a file."""
    table = read_recipe(name)
    table.pop("kind", None)
    try:
        sources = tuple(read_source(s) for s in table.pop("source"))
        if "easy" in table:
            table["easy"] = tuple(table["easy"])
        return Recipe(**table, source=sources)
    except (TypeError, KeyError) as error:
        raise InputError(f"{name}: not a recipe", got=str(error), hint="compare with a shipped one") from None


def read_source(table: dict[str, Any]) -> Source:
    """A [[source]] table."""
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
    return Source(**fields)
